"""The composition root: builds the parts of a serving replica and wires them."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from chassis.artifact_cache import ArtifactCache
from chassis.auth.access import access_of
from chassis.follower import Follower
from chassis.registry import Registry
from chassis.service import Part, Topics, build_app, run_service
from chassis.settings import MEBIBYTE
from contracts import Envelope, Event, GatePassed, Promoted, RolloutChanged
from serving.features.live_tables import FeatureTables
from serving.handlers import in_production, in_staging
from serving.http.open_inference import build_inference_router
from serving.http.predict_by_id import Features
from serving.http.prediction_service import GuardedPredictionService, PredictionService
from serving.http.routes import build_models_router, build_router, endpoints, fast_path, rollouts
from serving.inference.batcher import AdaptiveBatcher
from serving.loading.reconciler import ModelReconciler
from serving.policies import parity_tolerances, policies_of, prediction_shares
from serving.publishing.feedback import FeedbackPublisher
from serving.publishing.predictions import PredictionPublisher
from serving.publishing.status import StatusPublisher
from serving.settings import Settings
from serving.workers.supervisor import Worker, supervise
from serving.workers.swap_barrier import SwapBarrier

if TYPE_CHECKING:
    from serving.decisions.verified import VerifiedDecisions


def build(settings: Settings, worker: Worker | None = None) -> FastAPI:
    """Build the application. /ready does not check Kafka or MLflow: a replica with a desired version needs neither."""
    worker = worker or Worker()
    registry = Registry(settings.mlflow_tracking_uri, allowed_uris=settings.allowed_uri_prefixes)
    cache = ArtifactCache(settings.cache_folder, settings.cache_max_mb * MEBIBYTE)
    policies = policies_of(settings)
    publisher = PredictionPublisher(settings, prediction_shares(policies))
    status_publisher = StatusPublisher(settings)
    feedback_publisher = FeedbackPublisher(settings)
    batcher = AdaptiveBatcher(settings)
    barrier = None  # in staging, workers need not agree
    if worker.referee is not None and settings.role == "production":
        barrier = SwapBarrier(worker.referee, settings.swap_seconds)
    tolerances = parity_tolerances(policies)
    reconciler = ModelReconciler(settings, cache, registry.download, status_publisher.report, barrier, tolerances)
    in_charge = settings.role == "production"
    events: tuple[type[Event], ...] = (Promoted, RolloutChanged) if in_charge else (GatePassed, Promoted)
    handler = in_production if in_charge else in_staging
    trust, follower = _follower(settings, events, partial(handler, reconciler))
    access = access_of(settings)
    service_of = GuardedPredictionService if access.on else PredictionService
    service = service_of(reconciler, batcher, publisher, settings)
    tables = FeatureTables(policies, settings)
    policies.on_change(tables.refresh)
    features = Features(settings, batcher, tables)
    found = endpoints(service, feedback_publisher, features, access)
    reconciler.hold_until(follower.caught_up)
    senders: list[Part] = [publisher, status_publisher, feedback_publisher]
    return build_app(
        f"serving ({settings.role})",
        settings,
        parts=[
            policies,
            *([barrier] if barrier else []),
            *senders,
            batcher,
            service.trials,
            reconciler,
            *(trust.parts if trust else []),
            Topics(settings),
            follower,
        ],
        checks={"follower": follower.check, "models": reconciler.check},
        routers=[
            build_router(found),
            build_models_router(service, trust.about if trust else None),
            build_inference_router(service),
        ],
        details={
            policies.name: policies.details,
            "rollouts": lambda: rollouts(reconciler.states()),
            **({"decisions": trust.details} if trust else {}),
        },
        entry=partial(fast_path, found),
        accept_when_ready=worker.replaces,
        access=access,
    )


def _follower(
    settings: Settings, events: tuple[type[Event], ...], on_event: Callable[[Envelope[Any]], None]
) -> tuple[VerifiedDecisions | None, Follower]:
    """Return what verifies decisions, without which all are believed, and the follower of their topics."""
    if settings.trusted_keys is None:
        return None, Follower(settings, events=events, on_event=on_event)
    from chassis.signing.key_folder import KeyFolder  # cryptography: only where keys are trusted
    from serving.decisions.record import DecisionRecord
    from serving.decisions.verified import VerifiedDecisions

    keys = KeyFolder(settings.trusted_keys)
    record = DecisionRecord(settings.decisions_file, settings.topic_prefix)
    trust = VerifiedDecisions(keys, record, events, on_event, settings.max_event_bytes)
    follower = trust.follower(settings)
    return trust, follower


def main() -> int:
    settings, worker = Settings(), Worker()
    if worker.listener is not None:
        return run_service("serving", settings, partial(build, worker=worker), socket.socket(fileno=worker.listener))
    if settings.workers > 1:
        return supervise(settings)
    return run_service("serving", settings, build)
