"""Build and wire the trainer service."""

from __future__ import annotations

import os
import socket
from functools import partial

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.database import Database
from chassis.job_queue_gauge import JobQueueGauge
from chassis.job_worker import JobWorker
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.policy_store import PolicyStore
from chassis.pruning import Pruning
from chassis.registry import check_mlflow
from chassis.relay import Relay
from chassis.service import Check, Part, Schema, Topics, build_app, run_service
from contracts import DriftDetected, ModelRegistered, TrainingFailed, TrainingRequested
from trainer.api import jobs_router
from trainer.handlers import KIND, Handlers
from trainer.jobs.training_job import TrainingJob
from trainer.settings import Settings

SERVICE = "trainer"


def build(settings: Settings) -> FastAPI:
    database = Database(settings.database(SERVICE))
    policies = PolicyStore(settings.policies_dir)
    outbox = Outbox(SERVICE, settings.max_event_bytes)
    jobs = Jobs(database, owner=f"{SERVICE}-{socket.gethostname()}-{os.getpid()}")
    handlers = Handlers(jobs, policies)
    training = TrainingJob(settings, database, outbox, policies)
    bus = Bus(settings, service=SERVICE, database=database, emits=[ModelRegistered, TrainingFailed])
    bus.on(TrainingRequested, handlers.on_training_requested)
    bus.on(DriftDetected, handlers.on_drift_detected)
    parts: list[Part] = [
        policies,
        Schema(database, SERVICE),
        Topics(settings),
        bus,
        Relay(settings, database),
        Pruning(database),
        JobQueueGauge(database),
        JobWorker(jobs, {KIND: training.run}, on_failed={KIND: training.on_failed}),
    ]
    checks: dict[str, Check] = {
        "broker": bus.check,
        "database": database.check,
        "mlflow": partial(check_mlflow, settings.mlflow_tracking_uri),
    }
    return build_app(
        SERVICE,
        settings,
        parts=parts,
        checks=checks,
        routers=[jobs_router(database, jobs)],
        details={policies.name: policies.details},
    )


def main() -> int:
    return run_service(SERVICE, Settings(), build)
