"""Event handlers of the gatekeeper: one method per event type."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.policy_store import PolicyStore
from chassis.telemetry import get_logger
from contracts import (
    BenchmarkDue,
    DriftDetected,
    Envelope,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    RolloutMeasured,
)
from gatekeeper.database import benchmarks, queries, registrations
from gatekeeper.database.job_kinds import BENCHMARK, BENCHMARK_ID, GATE, TOURNAMENT, first_job
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.tables import UNJUDGED, WAITING, ReplicaRow
from gatekeeper.policy.tournament_trigger import Skip, after_drift
from gatekeeper.rollout.decisions import RolloutDecisions
from gatekeeper.tournaments.eligibility import tournament_trigger
from gatekeeper.tournaments.job import DRIFTED

log = get_logger(__name__)


class Handlers:
    def __init__(self, jobs: Jobs, recorder: Recorder, policies: PolicyStore, rolling: RolloutDecisions) -> None:
        self._jobs = jobs
        self._recorder = recorder
        self._policies = policies
        self._rolling = rolling

    def on_model_registered(self, session: Session, envelope: Envelope[ModelRegistered]) -> None:
        """Add the version as a candidate and enqueue its gate job; for one that has a verdict, the job decides
        whether it is judged again."""
        if not self.enter(session, envelope):
            self._registered_again(session, envelope)

    def enter(self, session: Session, envelope: Envelope[ModelRegistered]) -> bool:
        """Add a candidate; return False when the version is one already."""
        event = envelope.data
        row = queries.add_candidate(session, envelope)
        if row is None:
            return False
        registrations.add(session, row, envelope, row.judgement)
        self._recorder.audit(session, "registered", row, registrations.by_whom(event), envelope)
        self._jobs.enqueue(
            session,
            kind=GATE,
            key=event.model_name,
            payload={"candidate_id": row.id},
            job_id=first_job(row.id),
            cause=envelope,
        )
        return True

    def _registered_again(self, session: Session, envelope: Envelope[ModelRegistered]) -> None:
        name = envelope.model_name
        queries.lock(session, name)
        row = queries.candidate(session, name, envelope.data.model_version)
        assert row is not None, "it could not be added, since it is there"
        unjudged = row.state in UNJUDGED
        waits = bool(registrations.undecided(session, row.id))
        if not registrations.add(session, row, envelope, row.judgement if unjudged else None):
            return
        if row.state == WAITING:
            registrations.resume(session, self._jobs, row, envelope)
        elif not unjudged and not waits:  # else the job of the earlier one decides on this one too
            self._jobs.enqueue(session, kind=GATE, key=name, payload={"candidate_id": row.id}, cause=envelope)

    def on_drift_detected(self, session: Session, envelope: Envelope[DriftDetected]) -> None:
        """Enqueue a tournament of retained versions if there are new golden rows; the trainer decides by itself."""
        event, name = envelope.data, envelope.data.model_name
        policy = self._policies.get(name)
        trigger = replace(tournament_trigger(session, name, event.model_version, policy), decides=event.decides)
        action = after_drift(trigger, policy)
        if isinstance(action, Skip):
            log.info("no tournament after a drift", event_id=envelope.id, reason=action.reason)
            return
        epoch = queries.state(session, name).epoch
        job_id = self._jobs.enqueue(
            session,
            kind=TOURNAMENT,
            key=name,
            payload={DRIFTED: event.model_version, "golden_digest": action.golden_digest},
            job_id=str(uuid5(NAMESPACE_URL, f"tournament\0{name}\0{epoch}\0{action.golden_digest}")),
            cause=envelope,
        )
        log.info("tournament recorded", job=job_id, reason=action.reason)

    def on_benchmark_due(self, session: Session, envelope: Envelope[BenchmarkDue]) -> None:
        """Record the benchmark and enqueue its job, once, however often it is announced."""
        event = envelope.data
        if not benchmarks.add(session, envelope):
            log.info("benchmark known already", benchmark=event.benchmark_id)
            return
        self._jobs.enqueue(
            session,
            kind=BENCHMARK,
            key=event.model_name,
            payload={BENCHMARK_ID: event.benchmark_id},
            cause=envelope,
        )

    def on_model_loaded(self, session: Session, envelope: Envelope[ModelLoaded]) -> None:
        """Note what the replica has loaded; for a version that a rollout tries, beside its champion."""
        event = envelope.data
        row = _replica(session, event)
        if event.rollout_id is not None:
            if _is_news(row.tried_since, envelope.time):
                row.tried_version, row.tried_rollout = event.model_version, event.rollout_id
                row.tried_since = envelope.time
            return
        if _is_news(row.loaded_at, envelope.time):
            row.role, row.loaded_at = event.role, envelope.time
            row.model_version, row.epoch = event.model_version, event.epoch
            session.flush()
        self._rolling.loaded(session, envelope, datetime.now(UTC))

    def on_model_load_failed(self, session: Session, envelope: Envelope[ModelLoadFailed]) -> None:
        """Note the failure; a rollout that depends on the version ends, unless the replica tries again."""
        event = envelope.data
        row = _replica(session, event)
        if _is_news(row.failed_at, envelope.time):
            row.role, row.failed_at = event.role, envelope.time
            row.failed_version, row.failure = event.model_version, event.reason
        if event.permanent:
            self._rolling.load_failed(session, envelope, datetime.now(UTC))

    def on_rollout_measured(self, session: Session, envelope: Envelope[RolloutMeasured]) -> None:
        """Decide on the running rollout of the model with the sums of its step."""
        self._rolling.measured(session, envelope, datetime.now(UTC))


def _replica(session: Session, event: ModelLoaded | ModelLoadFailed) -> ReplicaRow:
    return queries.replica(session, event.replica, event.model_name, event.role)


def _is_news(known: datetime | None, at: datetime) -> bool:
    return known is None or at >= known
