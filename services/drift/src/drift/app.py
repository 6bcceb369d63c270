"""Build and wire the drift service; nothing else does."""

from __future__ import annotations

import os
import socket
from functools import cache
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.database import Database
from chassis.job_queue_gauge import JobQueueGauge
from chassis.job_worker import JobWorker
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.policy_store import PolicyStore
from chassis.pruning import Pruning
from chassis.registry import Registry
from chassis.relay import Relay
from chassis.service import Schema, Topics, build_app, run_service
from contracts import (
    BenchmarkDue,
    DriftDetected,
    GroundTruthReceived,
    PredictionMade,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
)
from drift.api.benchmarks import benchmarks_router
from drift.api.models import build_router
from drift.benchmarks.clock import BenchmarkClock
from drift.benchmarks.scheduler import BENCHMARK, Scheduler
from drift.database.birth import Birth
from drift.detection.emitter import DriftEmitter
from drift.detection.live_metrics import LIVE_METRICS, LiveMetrics
from drift.handlers import PERFORMANCE, SCORE, Handlers
from drift.housekeeping import Housekeeper
from drift.ingestion import labels, predictions
from drift.ingestion.backpressure import Backpressure
from drift.policies import DriftPolicies
from drift.reports.drawer import Drawer
from drift.reports.drawings import DRAW, Drawings
from drift.rollouts.measurer import Measurer
from drift.rollouts.measures import Measures
from drift.rollouts.recount import Recount
from drift.rollouts.rollouts import RECOUNT, Rollouts
from drift.settings import Settings

if TYPE_CHECKING:
    from chassis.signing.key_folder import KeyFolder
    from drift.benchmarks.job import BenchmarkJob
    from drift.detection.performance_job import PerformanceJob
    from drift.detection.score_job import ScoreJob
    from drift.scoring.references import References

NAME = "drift"


def build(settings: Settings) -> FastAPI:
    store = PolicyStore(settings.policies_dir)
    policies = DriftPolicies(store)
    database = Database(settings.database(NAME))
    jobs = Jobs(database, owner=f"{NAME}:{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}")
    outbox = Outbox(NAME, settings.max_event_bytes)
    rollouts = Rollouts(jobs, policies, Measures(outbox))
    handlers = Handlers(jobs, policies, settings, rollouts)
    emitter = DriftEmitter(jobs, outbox, policies, settings.public_url)
    files = settings.data_dir / NAME / "references"
    drawer = Drawer(settings, settings.database(NAME), str(files))
    drawings = Drawings(jobs, policies, drawer, settings.windows_kept)
    registry = Registry(settings.mlflow_tracking_uri, allowed_uris=settings.allowed_uri_prefixes)
    scheduler = Scheduler(jobs, policies)
    recount = Recount(database, rollouts, handlers.on_earlier_predictions, handlers.on_earlier_ground_truth, settings)

    # Created with the first window: until then pandas, SciPy and scikit-learn are not imported.
    @cache
    def references() -> References:
        from drift.scoring.references import References

        return References(registry, files)

    @cache
    def score() -> ScoreJob:
        from drift.detection.score_job import ScoreJob

        return ScoreJob(database, references(), policies, emitter, drawings)

    @cache
    def performance() -> PerformanceJob:
        from drift.detection.performance_job import PerformanceJob

        return PerformanceJob(database, references(), policies, emitter, drawings)

    @cache
    def exporting() -> BenchmarkJob:
        from drift.benchmarks.job import BenchmarkJob

        return BenchmarkJob(database, registry, policies, outbox, handlers.maturity)

    emits = [DriftDetected, RolloutMeasured, BenchmarkDue]
    keys = _trusted_keys(settings)
    bus = Bus(settings, service=NAME, database=database, emits=emits, keys=keys)
    backpressure = Backpressure(lambda: bus.streams, settings.lag, sample=settings.sample_when_behind)
    bus.on(Promoted, handlers.on_promoted)
    bus.on(RolloutChanged, rollouts.on_changed)
    bus.on_batch(PredictionMade, handlers.on_predictions, read=backpressure.read, gather=predictions.gather)
    bus.on_batch(GroundTruthReceived, handlers.on_ground_truth, read=labels.read, gather=labels.gather)

    worker = JobWorker(
        jobs,
        {
            SCORE: lambda run: score().run(run),
            PERFORMANCE: lambda run: performance().run(run),
            RECOUNT: recount.run,
            BENCHMARK: lambda run: exporting().run(run),
        },
        on_failed={
            SCORE: lambda *failed: score().on_failed(*failed),
            PERFORMANCE: lambda *failed: performance().on_failed(*failed),
            RECOUNT: recount.on_failed,
            BENCHMARK: lambda *failed: exporting().on_failed(*failed),
        },
    )
    # A worker of its own: it may have to wait for MLflow, and verdicts must not.
    writer = JobWorker(jobs, {LIVE_METRICS: LiveMetrics(database, registry).run})
    # Of its own: a drawing that takes long keeps no window waiting for its verdict.
    painter = JobWorker(jobs, {DRAW: drawings.run}, on_failed={DRAW: drawings.on_failed})
    return build_app(
        NAME,
        settings,
        parts=[
            store,
            Schema(database, NAME),
            Topics(settings),
            *([keys] if keys else []),
            Birth(database, settings, NAME),
            Relay(settings, database),
            Pruning(database),
            JobQueueGauge(database),
            worker,
            writer,
            drawer,
            painter,
            bus,
            backpressure,
            Housekeeper(database, handlers, settings),
            Measurer(database, rollouts),
            BenchmarkClock(database, scheduler, policies),
        ],
        checks={"broker": bus.check, "database": database.check},
        routers=[
            build_router(database, handlers, rollouts, policies, drawings, settings.public_url),
            benchmarks_router(database, scheduler, policies),
        ],
        details={
            store.name: store.details,
            "streams": backpressure.details,
            **({"decisions": keys.details} if keys else {}),
        },
    )


def _trusted_keys(settings: Settings) -> KeyFolder | None:
    if settings.trusted_keys is None:
        return None
    from chassis.signing.key_folder import KeyFolder  # cryptography: only where keys are trusted

    return KeyFolder(settings.trusted_keys)


def main() -> int:
    return run_service(NAME, Settings(), build)
