"""Jobs: long work as rows, run under a lease, taken over when a worker dies, results recorded exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Float, Index, Integer, String, Text, and_, delete, exists, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base, Database, leaves_work
from chassis.errors import GauntletError
from contracts import BY_TYPE, Envelope

QUEUED, RUNNING, DONE, FAILED = "queued", "running", "done", "failed"
UNFINISHED = (QUEUED, RUNNING)
MOST_TAKEOVERS = 5
"""A job whose worker died this often is assumed to be the cause."""
AT_A_TIME = 1000
"""Values of one IN (…)."""


class JobRow(Base):
    """`sequence` gives the order; of each (kind, key) one job runs at a time, oldest first (or see `claim`)."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_state_ended_at", "state", "ended_at"),
        Index("ix_jobs_key_kind_state_sequence", "key", "kind", "state", "sequence"),
        Index("ix_jobs_correlation_id", "correlation_id", postgresql_using="hash"),
    )

    sequence: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(200), unique=True)
    kind: Mapped[str] = mapped_column(String(50))
    key: Mapped[str] = mapped_column(String(200))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    cause: Mapped[dict[str, Any] | None] = mapped_column(Json)
    correlation_id: Mapped[str | None] = mapped_column(Text)
    """Of the cause: the story that the job is part of."""
    state: Mapped[str] = mapped_column(String(20))
    attempts: Mapped[int] = mapped_column(Integer)
    takeovers: Mapped[int] = mapped_column(Integer)
    not_before: Mapped[datetime] = mapped_column(UtcDateTime)
    holder: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    progress: Mapped[float | None] = mapped_column(Float)
    message: Mapped[str | None] = mapped_column(Text)
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


@dataclass(frozen=True)
class Job:
    """A job as passed to its worker. `attempts` includes this run; `progress` is a fraction from 0 to 1."""

    sequence: int
    id: str
    kind: str
    key: str
    payload: dict[str, Any]
    cause: Envelope[Any] | None
    state: str
    attempts: int
    takeovers: int
    progress: float | None
    message: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class LeaseLost(GauntletError):
    """Another worker has taken over this job; the result of this worker is not recorded."""


class Jobs:
    """The job queue of one database, for one worker (`owner`, unique to the process)."""

    def __init__(self, database: Database, *, owner: str, lease: timedelta = timedelta(seconds=10)) -> None:
        self.database = database
        self.owner = owner
        self.lease = lease

    def enqueue(
        self,
        session: Session,
        *,
        kind: str,
        key: str,
        payload: dict[str, Any],
        job_id: str | None = None,
        cause: Envelope[Any] | None = None,
    ) -> str:
        """Add a job in this transaction; do nothing if `job_id` already exists."""
        now = datetime.now(UTC)
        job_id = job_id or str(uuid4())
        upsert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        row = {
            "id": job_id,
            "kind": kind,
            "key": key,
            "payload": payload,
            "cause": _pack(cause),
            "correlation_id": cause.correlation_id if cause else None,
            "state": QUEUED,
            "attempts": 0,
            "takeovers": 0,
            "not_before": now,
            "created_at": now,
        }
        session.execute(upsert(JobRow).values(row).on_conflict_do_nothing(index_elements=["id"]))
        leaves_work(session)
        return job_id

    def claim(self, kinds: Sequence[str], *, one_queue: bool = False) -> Job | None:
        """Claim the oldest job that may run now, or one whose lease has expired.

        `one_queue`: of each key, one job of all these kinds runs at a time, in the order they were added.
        """
        with self.database.reading() as session:
            if session.scalar(select(_claimable(kinds, datetime.now(UTC), one_queue).exists())) is not True:
                return None
        with self.database.transaction() as session:
            now = datetime.now(UTC)
            query = _claimable(kinds, now, one_queue).order_by(JobRow.sequence).limit(1)
            row = session.scalars(query.with_for_update(skip_locked=True)).first()
            if row is None:
                return None
            row.takeovers += row.state == RUNNING
            row.state, row.holder, row.lease_until = RUNNING, self.owner, now + self.lease
            row.attempts += 1
            row.started_at = now
            return _job(row)

    def renew(self, job: Job) -> bool:
        """Renew the lease; return False when this worker no longer holds it."""
        with self.database.transaction() as session:
            return self._ours(session, job, lease_until=datetime.now(UTC) + self.lease)

    def note(self, job: Job, progress: float, message: str) -> None:
        with self.database.transaction() as session:
            self._ours(session, job, progress=progress, message=message)

    def end(self, session: Session, job: Job, *, error: str | None = None) -> None:
        """Mark the job as done, or failed, in this transaction. Raises LeaseLost when the lease is no longer held."""
        state = FAILED if error is not None else DONE
        if not self._ours(session, job, state=state, error=error, ended_at=datetime.now(UTC), holder=None):
            raise LeaseLost(f"job {job.id} ({job.kind} {job.key}) was taken over")

    def put_back(self, job: Job, *, delay: timedelta, message: str | None = None) -> None:
        """Return the job to the queue, to run again after `delay`; the order of its key is kept."""
        with self.database.transaction() as session:
            self._ours(
                session,
                job,
                state=QUEUED,
                holder=None,
                lease_until=None,
                message=message,
                not_before=datetime.now(UTC) + delay,
            )
            if not delay:
                leaves_work(session)

    def end_queued(self, session: Session, job_ids: Sequence[str]) -> None:
        """Mark jobs that have not begun as done, in this transaction: another job has done their work."""
        query = update(JobRow).where(JobRow.id.in_(job_ids), JobRow.state == QUEUED)
        session.execute(query.values(state=DONE, ended_at=datetime.now(UTC)))

    def forget(self, session: Session, job_id: str) -> None:
        """Delete a job that has ended, so that another of its id can be added."""
        session.execute(delete(JobRow).where(JobRow.id == job_id, JobRow.state.not_in(UNFINISHED)))

    def move_to_end(self, session: Session, job_ids: Sequence[str]) -> None:
        """Move jobs that have not begun to the end of the queue, in this transaction, in the order of their ids."""
        columns = [column.key for column in JobRow.__table__.columns if column.key != "sequence"]
        for start in range(0, len(job_ids), AT_A_TIME):
            query = select(JobRow).where(JobRow.id.in_(job_ids[start : start + AT_A_TIME]), JobRow.state == QUEUED)
            found = {row.id: row for row in session.scalars(query.with_for_update())}
            rows = [{name: getattr(found[each], name) for name in columns} for each in job_ids if each in found]
            if rows:
                session.execute(delete(JobRow).where(JobRow.id.in_(found)))
                session.execute(insert(JobRow), rows)
        leaves_work(session)

    def get(self, session: Session, job_id: str) -> Job | None:
        row = session.scalars(select(JobRow).where(JobRow.id == job_id)).first()
        return _job(row) if row else None

    def newest(self, session: Session, *, kind: str | None = None, limit: int = 100) -> list[Job]:
        query = select(JobRow).order_by(JobRow.sequence.desc()).limit(limit)
        return [_job(row) for row in session.scalars(query.where(JobRow.kind == kind) if kind else query)]

    def of_story(self, session: Session, correlation_id: str, limit: int = 1000) -> list[Job]:
        """Return the jobs of one story, the oldest first."""
        query = select(JobRow).where(JobRow.correlation_id == correlation_id).order_by(JobRow.sequence).limit(limit)
        return [_job(row) for row in session.scalars(query)]

    def _ours(self, session: Session, job: Job, **changes: Any) -> bool:
        mine = and_(JobRow.sequence == job.sequence, JobRow.holder == self.owner, JobRow.attempts == job.attempts)
        done = session.execute(update(JobRow).where(mine, JobRow.state == RUNNING).values(**changes))
        return bool(done.rowcount)  # type: ignore[attr-defined]  # a CursorResult, for an UPDATE


def _claimable(kinds: Sequence[str], now: datetime, one_queue: bool) -> Any:
    earlier = aliased(JobRow)
    before_it = exists().where(
        earlier.kind.in_(kinds) if one_queue else earlier.kind == JobRow.kind,
        earlier.key == JobRow.key,
        earlier.state.in_(UNFINISHED),
        earlier.sequence < JobRow.sequence,
    )
    free = or_(
        and_(JobRow.state == QUEUED, JobRow.not_before <= now),
        and_(JobRow.state == RUNNING, JobRow.lease_until <= now),
    )
    return select(JobRow).where(JobRow.kind.in_(kinds), free, ~before_it)


def unfinished(session: Session, limit: int = 100) -> list[Job]:
    """Return the jobs of a database that run or wait, oldest first."""
    query = select(JobRow).where(JobRow.state.in_(UNFINISHED)).order_by(JobRow.sequence)
    return [_job(row) for row in session.scalars(query.limit(limit))]


def failed(session: Session, limit: int = 100) -> list[Job]:
    """Return the jobs of a database that have failed, newest first; those that ended long ago are pruned."""
    query = select(JobRow).where(JobRow.state == FAILED).order_by(JobRow.sequence.desc())
    return [_job(row) for row in session.scalars(query.limit(limit))]


def _job(row: JobRow) -> Job:
    names = [name for name in Job.__dataclass_fields__ if name != "cause"]
    return Job(cause=_unpack(row.cause), **{name: getattr(row, name) for name in names})


def _pack(cause: Envelope[Any] | None) -> dict[str, Any] | None:
    if cause is None:
        return None
    return {"type": cause.type, "envelope": cause.model_dump(mode="json")}


def _unpack(packed: dict[str, Any] | None) -> Envelope[Any] | None:
    if packed is None:
        return None
    attributes = dict(packed["envelope"])
    return Envelope(data=BY_TYPE[packed["type"]].model_validate(attributes.pop("data")), **attributes)
