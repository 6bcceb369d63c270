"""The only place that builds and wires drift."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.database import Database
from chassis.job_worker import JobWorker
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.policies import load_policies
from chassis.registry import Registry
from chassis.relay import Relay
from chassis.service import Schema, Topics, build_app, run_service
from contracts import DriftDetected, GroundTruthReceived, PredictionMade, Promoted
from drift.announcing import Announcer
from drift.api import build_router
from drift.handlers import PERFORMANCE, SCORE, Handlers
from drift.housekeeping import Housekeeper
from drift.plan import Plans
from drift.settings import Settings

if TYPE_CHECKING:
    from drift.judging import Judge

NAME = "drift"


def build(settings: Settings) -> FastAPI:
    plans = Plans(load_policies(settings.policies_dir))
    database = Database(settings.database(NAME))
    jobs = Jobs(database, owner=f"{NAME}:{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}")
    handlers = Handlers(jobs, plans, settings)
    announcer = Announcer(Outbox(NAME, settings.max_event_bytes), plans, settings.public_url)

    @cache
    def judge() -> Judge:
        """With the first window: until then nobody waits for pandas, SciPy and scikit-learn."""
        from drift.judging import Judge
        from drift.references import References

        references = References(Registry(settings.mlflow_tracking_uri), settings.data_dir / NAME / "references")
        return Judge(database, references, plans, announcer, settings)

    bus = Bus(settings, service=NAME, database=database, emits=[DriftDetected])
    bus.on(Promoted, handlers.on_promoted)
    bus.on_batch(PredictionMade, handlers.on_predictions)
    bus.on_batch(GroundTruthReceived, handlers.on_ground_truth)

    worker = JobWorker(
        jobs,
        {SCORE: lambda run: judge().score(run), PERFORMANCE: lambda run: judge().performance(run)},
        on_failed={
            SCORE: lambda *failed: judge().on_score_failed(*failed),
            PERFORMANCE: lambda *failed: judge().on_performance_failed(*failed),
        },
    )
    return build_app(
        NAME,
        settings,
        parts=[
            Schema(database, NAME),
            Topics(settings),
            Relay(settings, database),
            worker,
            bus,
            Housekeeper(database, handlers, settings),
        ],
        checks={"broker": bus.check, "database": database.check},
        routers=[build_router(database, handlers, plans, settings.public_url)],
    )


def main() -> int:
    return run_service(NAME, Settings(), build)
