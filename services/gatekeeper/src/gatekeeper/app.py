"""Assembly of the gatekeeper service."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from uuid import uuid4

from fastapi import FastAPI

from chassis.bus import Bus
from chassis.database import Database
from chassis.job_queue_gauge import JobQueueGauge
from chassis.job_worker import JobWorker
from chassis.jobs import Jobs
from chassis.policy_store import PolicyStore
from chassis.pruning import Pruning
from chassis.registry import Registry
from chassis.relay import Relay
from chassis.service import Check, Part, Schema, Topics, build_app, run_service
from chassis.signing.dsse import Signer
from chassis.warmup import Warmup
from contracts import (
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    AuditHeadSigned,
    BenchmarkCompleted,
    BenchmarkDue,
    DriftDetected,
    GateFailed,
    GatePassed,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
)
from gatekeeper.api.benchmarks import benchmarks_router
from gatekeeper.api.evidence import evidence_router
from gatekeeper.api.models import deciding_router, reading_router
from gatekeeper.api.notifications import notifications_router
from gatekeeper.api.rollouts import rollouts_router
from gatekeeper.api.stories import stories_router
from gatekeeper.api.tournaments import tournaments_router
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.benchmarks.job import BenchmarkJob
from gatekeeper.console.live import LiveFeed
from gatekeeper.console.routes import PREFIX, show_problems_as_pages
from gatekeeper.console.services import Services
from gatekeeper.console.site import Site, console_routers
from gatekeeper.database.job_kinds import BENCHMARK, GATE, MANIFEST, MIRROR, TOURNAMENT
from gatekeeper.database.kept_events import KeepingOutbox
from gatekeeper.database.recorder import Recorder
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.export.bundle import EvidenceExport
from gatekeeper.handlers import Handlers
from gatekeeper.model_gauges import ModelGauges
from gatekeeper.notifications.channels import Channels
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.gauges import NotificationGauges
from gatekeeper.notifications.planner import Planner
from gatekeeper.notifications.sender import Sender
from gatekeeper.operations.letters import LetterIntake
from gatekeeper.promotion.audit_heads import AuditHeads
from gatekeeper.promotion.commands import Decisions
from gatekeeper.promotion.gate_job import GateJob
from gatekeeper.promotion.manifest_job import ManifestJob
from gatekeeper.promotion.mlflow_mirror import Mirror
from gatekeeper.promotion.reconciler import Reconciler
from gatekeeper.promotion.restore import Restoration
from gatekeeper.promotion.waiting import WaitingVersions
from gatekeeper.replay import Replayer
from gatekeeper.rollout.approvals import Approvals
from gatekeeper.rollout.clock import RolloutClock
from gatekeeper.rollout.decisions import RolloutDecisions
from gatekeeper.rollout.waiting import WaitingChallengers
from gatekeeper.sandbox.part import SandboxPart
from gatekeeper.sandbox.sandbox import Sandbox
from gatekeeper.settings import Settings
from gatekeeper.signing import read_signing
from gatekeeper.stories.intake import LOGGED, EventLog
from gatekeeper.stories.reading import Stories
from gatekeeper.tournaments.job import TournamentJob
from gatekeeper.tournaments.runner import Tournament

SERVICE = "gatekeeper"
EMITS = (
    GatePassed,
    GateFailed,
    Promoted,
    RolloutChanged,
    ApprovalRequested,
    ApprovalGiven,
    ApprovalRefused,
    BenchmarkCompleted,
    AuditHeadSigned,
)


def build(settings: Settings) -> FastAPI:
    folder = settings.data_dir.resolve() / SERVICE
    database = Database(settings.database(SERVICE))
    policies = PolicyStore(settings.policies_dir)
    registry = Registry(settings.mlflow_tracking_uri, allowed_uris=settings.allowed_uri_prefixes)
    owner = f"{SERVICE}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
    jobs = Jobs(database, owner=owner, lease=timedelta(seconds=settings.lease_seconds))
    signing = read_signing(settings)
    outbox = KeepingOutbox(SERVICE, settings.max_event_bytes, signers=signing.signers)
    recorder = Recorder(outbox, jobs)
    artifacts = Artifacts(folder / "artifacts", registry, settings.cache_mb)
    advisories = Advisories(settings.advisories_folder, expected=settings.advisories_dir is not None)
    kept = EvidenceStore(folder / "evidence", registry)
    rolling = RolloutDecisions(recorder, policies)
    handlers = Handlers(jobs, recorder, policies, rolling)
    decisions = Decisions(database, registry, artifacts, recorder, policies)
    restoration = Restoration(settings, database, recorder, signing)
    mirror = Mirror(database, registry)
    replayer = Replayer(artifacts, kept)
    manifests = ManifestJob(database, registry, artifacts, replayer)
    bus = Bus(settings, service=SERVICE, database=database, emits=EMITS)
    bus.on(ModelRegistered, handlers.on_model_registered)
    bus.on(DriftDetected, handlers.on_drift_detected)
    bus.on(BenchmarkDue, handlers.on_benchmark_due)
    bus.on(ModelLoaded, handlers.on_model_loaded)
    bus.on(ModelLoadFailed, handlers.on_model_load_failed)
    bus.on(RolloutMeasured, handlers.on_rollout_measured)
    live = LiveFeed(database)
    event_log = EventLog(database, signing.trusted, timedelta(days=settings.event_log_days))
    bus.on_all("event-log", LOGGED, event_log.on_events, read=event_log.read)
    parts: list[Part] = [
        policies,
        Schema(database, SERVICE),
        live,
        Topics(settings),
        restoration,
        Relay(settings, database),
        *_audit_heads(settings, database, outbox, signing.signers),
        Pruning(database, more=[event_log.prune]),
        bus,
        LetterIntake(settings, database),
        JobWorker(jobs, {MIRROR: mirror.run}),
        JobWorker(jobs, {MANIFEST: manifests.run}, on_failed={MANIFEST: manifests.on_failed}),
        RolloutClock(database, rolling, WaitingChallengers(database, recorder, policies)),
    ]
    parts += [ModelGauges(database), JobQueueGauge(database)]
    notifications = NotificationsFile(settings.notifications_path)
    channels = Channels(notifications, settings.notification_timeout_seconds)
    parts += _notifications(settings, database, notifications, channels, owner)
    for _ in range(settings.workers):
        sandbox = Sandbox(folder / "sandbox")
        predictions = PredictionCache(folder / "predictions")
        evaluator = Evaluator(
            artifacts,
            predictions,
            sandbox,
            settings.timing_seconds,
            advisories,
            proves_form=settings.proves_form,
        )
        tournament = Tournament(database, registry, evaluator)
        gating = GateJob(database, registry, evaluator, tournament, recorder, kept, policies)
        playing = TournamentJob(database, registry, evaluator, tournament, recorder, kept, policies)
        comparing = BenchmarkJob(database, registry, evaluator, tournament, jobs, outbox, policies)
        worker = JobWorker(
            jobs,
            {GATE: gating.run, TOURNAMENT: playing.run, BENCHMARK: comparing.run},
            on_failed={GATE: gating.on_failed, TOURNAMENT: playing.on_failed, BENCHMARK: comparing.on_failed},
            one_queue=True,  # comparisons on the same golden rows spend their α one after another
        )
        parts += [SandboxPart(sandbox), worker]
    parts.append(
        Reconciler(
            database,
            registry,
            handlers,
            recorder,
            policies,
            WaitingVersions(database, registry, jobs, policies),
            every=timedelta(seconds=settings.reconcile_seconds),
            grace=timedelta(seconds=settings.reconcile_grace_seconds),
        )
    )
    parts.append(Warmup("mlflow", "scipy.stats"))  # for manual promotions and replays of verdicts
    checks: dict[str, Check] = {
        "broker": bus.check,
        "database": database.check,
        "promotions": restoration.check,
        "mlflow": registry.check,
    }
    approvals = Approvals(database, recorder, rolling)
    services = Services({"drift": settings.drift_url, "serving": settings.serving_url, "trainer": settings.trainer_url})
    stories = Stories(database, jobs, services.get)
    site = Site(
        settings, database, policies, decisions, approvals, restoration.check, services, live, stories, replayer
    )
    exporter = EvidenceExport(database, artifacts, kept, signing.signers)
    routers = [
        reading_router(database, decisions, policies),
        deciding_router(decisions, restoration.check),
        evidence_router(database, decisions, replayer, kept, exporter),
        benchmarks_router(database, decisions, replayer),
        tournaments_router(database, decisions, replayer),
        rollouts_router(database, decisions, approvals, restoration.check),
        stories_router(stories, decisions),
        notifications_router(database, notifications, channels, settings.console_url),
        *console_routers(site),
    ]
    details = {policies.name: policies.details, notifications.name: notifications.details}
    app = build_app(SERVICE, settings, parts=parts, checks=checks, routers=routers, details=details, forms=PREFIX)
    show_problems_as_pages(app)
    return app


def _audit_heads(
    settings: Settings, database: Database, outbox: KeepingOutbox, signers: tuple[Signer, ...]
) -> list[AuditHeads]:
    """After the relay, which publishes a last head when the service stops, and before what still writes the trail."""
    every = timedelta(seconds=settings.audit_head_seconds)
    return [AuditHeads(database, outbox, signer.key_id, every) for signer in signers[:1]]


def _notifications(
    settings: Settings, database: Database, file: NotificationsFile, channels: Channels, owner: str
) -> list[Part]:
    timeout = settings.notification_timeout_seconds
    sender = Sender(database, file, channels, owner=owner, public_url=settings.console_url, timeout=timeout)
    return [file, sender, Planner(database, file, sender.wake), NotificationGauges(database, file)]


def main() -> int:
    return run_service(SERVICE, Settings(), build)
