"""The state of a model's benchmarks in the database, and the jobs that it leads to."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.telemetry import get_logger
from contracts.durations import written
from drift.database import store
from drift.database.tables import BenchmarkRow, ModelRow, VersionRow, WindowRow
from drift.policies import DriftPolicies
from drift.policy.schedule import Due, NotDue, Schedule, decide

BENCHMARK = "benchmark"

log = get_logger(__name__)


class Scheduler:
    """All methods but `look` need the model's lock: one replica begins a benchmark, once a period."""

    def __init__(self, jobs: Jobs, policies: DriftPolicies) -> None:
        self._jobs = jobs
        self._policies = policies

    def look(self, session: Session, model_name: str, every: timedelta, now: datetime) -> Due | NotDue:
        """Return whether a benchmark of the model is due; nothing is changed."""
        return decide(schedule_of(session, model_name), every, now)

    def begin_due(self, session: Session, model_name: str, now: datetime) -> str | None:
        """Begin the benchmark that is due; return its id, or None when none is, after noting why."""
        settings = self._policies.benchmark(model_name)
        if settings is None:
            return None
        found = self.look(session, model_name, settings.every, now)
        row = row_of(session, model_name)
        if isinstance(found, NotDue):
            note_wait(row, found)
            return None
        before = row.period
        row.period, row.waits, row.look_after = found.period, None, None
        reason = f"every {written(settings.every)}: a period ended at {found.period:%Y-%m-%d %H:%M:%S} UTC"
        return self._begin(session, row, found.period, {"reason": reason, "before": _iso(before)})

    def request(self, session: Session, model_name: str, actor: str, reason: str, now: datetime) -> str:
        """Begin one at once, as a person wants it, or return the id of the one that runs. It belongs to no period."""
        row = row_of(session, model_name)
        if row.running is not None:
            return row.running
        return self._begin(session, row, now, {"reason": reason, "requested_by": actor})

    def _begin(self, session: Session, row: BenchmarkRow, at: datetime, payload: dict[str, Any]) -> str:
        benchmark_id = f"{row.model_name}-{at:%Y%m%d-%H%M%S}-{at.microsecond // 1000:03}"
        row.running, row.attempts = benchmark_id, row.attempts + 1
        self._jobs.enqueue(
            session,
            kind=BENCHMARK,
            key=row.model_name,
            payload={"benchmark_id": benchmark_id, **payload},
            job_id=f"{BENCHMARK}:{row.attempts}:{benchmark_id}"[:200],
        )
        log.info("benchmark begins", model_name=row.model_name, benchmark=benchmark_id, reason=payload["reason"])
        return benchmark_id


def row_of(session: Session, model_name: str) -> BenchmarkRow:
    """Return the model's row, created if missing; call with the model locked."""
    found = session.get(BenchmarkRow, model_name, populate_existing=True)
    if found is None:
        found = BenchmarkRow(model_name=model_name, attempts=0)
        session.add(found)
        session.flush()
    return found


def schedule_of(session: Session, model_name: str) -> Schedule:
    """Return what decides whether a benchmark is due."""
    model, row = session.get(ModelRow, model_name), session.get(BenchmarkRow, model_name)
    champion = model.champion_version if model else None
    began = session.scalar(select(func.min(VersionRow.promoted_at)).where(VersionRow.model_name == model_name))
    return Schedule(
        champion=champion,
        began_at=began,
        period=row.period if row else None,
        running=row is not None and row.running is not None,
        labelled=0 if champion is None else labelled(session, model_name, champion),
        look_after=row.look_after if row else None,
    )


def labelled(session: Session, model_name: str, model_version: int) -> int:
    """Count the labelled rows of a version that are kept."""
    query = select(func.sum(WindowRow.labelled)).where(
        WindowRow.model_name == model_name, WindowRow.model_version == model_version, ~WindowRow.pruned
    )
    return int(session.scalar(query) or 0)


def note_wait(row: BenchmarkRow, found: NotDue) -> None:
    """Note, once, that the period has ended and rows are missing."""
    if found.late and row.waits is None:
        row.waits = found.reason
        log.warning("benchmark waits", model_name=row.model_name, reason=found.reason)


def locked_row(session: Session, model_name: str) -> BenchmarkRow:
    """Lock the model and return the row of its benchmarks."""
    store.lock_model(session, model_name)
    return row_of(session, model_name)


def _iso(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
