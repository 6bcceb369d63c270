"""The composition root: builds the parts of a serving replica and wires them."""

from __future__ import annotations

from functools import partial

from fastapi import FastAPI

from chassis.follower import Follower
from chassis.registry import Registry
from chassis.service import Topics, build_app, run_service
from chassis.settings import MEBIBYTE
from contracts import GatePassed, Promoted
from serving.batching import Desk
from serving.cache import ArtifactCache
from serving.deliveries import Deliveries
from serving.front import Front
from serving.handlers import on_gate_passed, on_promoted
from serving.loader import Loader
from serving.publisher import Publisher
from serving.routes import build_models_router, build_router, endpoints, shortcut
from serving.settings import Settings


def build(settings: Settings) -> FastAPI:
    """/ready does not ask Kafka or MLflow: once a replica knows what to serve, it serves without them."""
    registry = Registry(settings.mlflow_tracking_uri)
    cache = ArtifactCache(settings.cache_folder, settings.cache_max_mb * MEBIBYTE)
    publisher = Publisher(settings)
    deliveries = Deliveries(settings)
    desk = Desk(settings)
    loader = Loader(settings, cache, registry.download, publisher.report)
    event, handler = (Promoted, on_promoted) if settings.role == "production" else (GatePassed, on_gate_passed)
    follower = Follower(settings, events=[event], on_event=partial(handler, loader))
    front = Front(loader, desk, publisher, settings)
    found = endpoints(front, deliveries)
    loader.hold_until(follower.caught_up)
    return build_app(
        f"serving ({settings.role})",
        settings,
        parts=[publisher, deliveries, desk, loader, Topics(settings), follower],
        checks={"follower": follower.check, "models": loader.check},
        routers=[build_router(found), build_models_router(front)],
        entry=partial(shortcut, found),
    )


def main() -> int:
    return run_service("serving", Settings(), build)
