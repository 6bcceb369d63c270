"""Event handlers of the trainer: they only record a job."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prometheus_client import Counter
from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.telemetry import get_logger
from contracts import DriftDetected, Envelope, TrainingRequested, Trigger
from contracts.policy import ModelPolicy
from trainer.policy import Ignore, after_drift
from trainer.spec import TrainingTask

KIND = "train"
LONGEST_REASON = 500

IGNORED = Counter("trainer_drifts_ignored_total", "Drifts that led to no training", ["model"])

log = get_logger(__name__)


class Handlers:
    """Handlers of the trainer's events, in the transaction that the bus opens."""

    def __init__(self, jobs: Jobs, policies: Mapping[str, ModelPolicy]) -> None:
        self._jobs = jobs
        self._policies = policies

    def on_training_requested(self, session: Session, envelope: Envelope[TrainingRequested]) -> None:
        """Record a job; an invalid request fails as a job, so that an event reports it to the requester."""
        event = envelope.data
        task = TrainingTask(
            model_name=event.model_name,
            window=event.window,
            from_run=event.from_run,
            trigger=_trigger(
                "re-registration" if event.from_run else "request", envelope, event.reason, event.requested_by
            ),
        )
        self._enqueue(session, task, envelope)

    def on_drift_detected(self, session: Session, envelope: Envelope[DriftDetected]) -> None:
        """Record a retraining where the policy wants one for such a drift."""
        event = envelope.data
        decided = after_drift(event, self._policies.get(event.model_name))
        if isinstance(decided, Ignore):
            IGNORED.labels(event.model_name).inc()
            log.info("drift ignored", event_id=envelope.id, kind=event.kind, reason=decided.reason)
            return
        newest = event.window.end
        task = TrainingTask(
            model_name=event.model_name,
            drifted_at=newest if newest.tzinfo else newest.replace(tzinfo=UTC),
            trigger=_trigger("drift", envelope, event.reason),
        )
        self._enqueue(session, task, envelope)

    def _enqueue(self, session: Session, task: TrainingTask, envelope: Envelope[Any]) -> None:
        job_id = self._jobs.enqueue(
            session,
            kind=KIND,
            key=task.model_name,
            payload=task.model_dump(mode="json"),
            job_id=job_id_of(envelope),
            cause=envelope,
        )
        log.info("training recorded", job=job_id, trigger=task.trigger.kind)


def job_id_of(envelope: Envelope[Any]) -> str:
    """Derive the job id from the event. A UUID, since it also names a folder and is part of an MLflow query."""
    return str(uuid5(NAMESPACE_URL, f"{envelope.source}\0{envelope.id}"))


def _trigger(kind: str, envelope: Envelope[Any], reason: str, by: str | None = None) -> Trigger:
    return Trigger(kind=kind, event_id=envelope.id, reason=reason[:LONGEST_REASON], by=by)
