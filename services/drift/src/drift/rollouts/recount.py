"""The job that counts a step again whose earlier predictions were read into a database that was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Permanent, Transient
from chassis.job_worker import JobRun
from chassis.jobs import Job
from chassis.telemetry import get_logger
from chassis.topic_history import read_since
from contracts import Envelope, Event, GroundTruthReceived, PredictionMade
from drift.database.store import lock_model
from drift.database.tables import BirthRow
from drift.rollouts.rollouts import Rollouts
from drift.rollouts.tables import StepRow
from drift.settings import Settings

MARGIN = timedelta(minutes=5)
"""Clocks of producers differ, and a record may be published before the step that it belongs to is announced."""

Handler = Callable[[Session, Sequence[Envelope[Any]]], None]

log = get_logger(__name__)


class Recount:
    """Reads labels first, so that rows find them. What was counted already is a duplicate."""

    def __init__(
        self,
        database: Database,
        rollouts: Rollouts,
        take_predictions: Handler,
        take_labels: Handler,
        settings: Settings,
    ) -> None:
        self._database = database
        self._rollouts = rollouts
        self._handlers: tuple[tuple[type[Event], Handler], ...] = (
            (GroundTruthReceived, take_labels),
            (PredictionMade, take_predictions),
        )
        self._settings = settings

    def run(self, run: JobRun) -> Callable[[Session], None]:
        step_key = run.job.payload["step"]
        with self._database.reading() as session:
            row = session.get(StepRow, step_key)
        if row is None or not row.recounting or row.counted_from is None:
            return lambda _session: None
        model_name, since = row.model_name, row.counted_from - MARGIN
        counted_from = row.counted_from
        for event, handler in self._handlers:
            with read_since(self._settings, event, since, run.cancelled.is_set) as history:
                for batch in history.batches:
                    self._take(handler, [envelope for envelope in batch if envelope.model_name == model_name])
            if event is PredictionMade:
                counted_from = max(counted_from, history.begins_at)
        if run.cancelled.is_set():
            raise Transient("stopped before all was read again")
        log.info("rollout counted again", model=model_name, rollout=row.rollout_id, step=row.step)
        return lambda session: self._record(session, model_name, step_key, counted_from)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Count from the birth of this database on, and say so."""
        log.error("rollout not counted again", job=job.id, error=error)
        row = session.get(StepRow, job.payload["step"])
        born = session.get(BirthRow, 1)
        if row is not None and born is not None:
            self._record(session, row.model_name, row.key, born.born_at)

    def _record(self, session: Session, model_name: str, step_key: int, counted_from: datetime) -> None:
        lock_model(session, model_name)
        self._rollouts.recounted(session, step_key, counted_from)

    def _take(self, handler: Handler, batch: Sequence[Envelope[Any]]) -> None:
        """One transaction; where a record is refused, one for each: those are in the dead letters already."""
        try:
            self._handle(handler, batch)
        except (Permanent, ValueError):
            for envelope in batch:
                try:
                    self._handle(handler, [envelope])
                except (Permanent, ValueError) as error:
                    log.info("record skipped", event_id=envelope.id, error=str(error))

    def _handle(self, handler: Handler, batch: Sequence[Envelope[Any]]) -> None:
        if batch:
            with self._database.transaction() as session:
                handler(session, batch)
