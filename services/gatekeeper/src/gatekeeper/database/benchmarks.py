"""Queries on benchmarks. Every function uses the caller's session."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from contracts import BenchmarkDue, Envelope, Outcome
from gatekeeper.database import queries
from gatekeeper.database.benchmark_tables import DUE, BenchmarkRow


def add(session: Session, envelope: Envelope[BenchmarkDue]) -> bool:
    """Add a benchmark that is due; return False when it is known already: no period has two."""
    event = envelope.data
    row = {
        "id": event.benchmark_id,
        "model_name": event.model_name,
        "state": DUE,
        "due": event.model_dump(mode="json"),
        "due_at": envelope.time,
    }
    insert = queries.insert_of(session)(BenchmarkRow).values(row).on_conflict_do_nothing()
    return session.scalar(insert.returning(BenchmarkRow.id)) is not None


def by_id(session: Session, benchmark_id: str) -> BenchmarkRow | None:
    return None if "\0" in benchmark_id else session.get(BenchmarkRow, benchmark_id)


def newest(
    session: Session, model_name: str | None, limit: int, visible: Collection[str] | None = None
) -> Sequence[BenchmarkRow]:
    """Newest first; `visible`: of these models only."""
    query = select(BenchmarkRow).order_by(BenchmarkRow.due_at.desc(), BenchmarkRow.id.desc()).limit(limit)
    if visible is not None:
        query = query.where(BenchmarkRow.model_name.in_(visible))
    return session.scalars(query if model_name is None else query.where(BenchmarkRow.model_name == model_name)).all()


def newest_verdicts(session: Session) -> dict[str, bool]:
    """Return, by model, whether the champion was better than the baseline in the newest benchmark that shows it."""
    told = BenchmarkRow.outcome.in_((Outcome.PASSED, Outcome.FAILED))
    newest = (
        select(BenchmarkRow.model_name, func.max(BenchmarkRow.completed_at).label("at"))
        .where(told)
        .group_by(BenchmarkRow.model_name)
        .subquery()
    )
    query = select(BenchmarkRow.model_name, BenchmarkRow.outcome).where(
        told, BenchmarkRow.model_name == newest.c.model_name, BenchmarkRow.completed_at == newest.c.at
    )
    return {name: outcome == Outcome.PASSED for name, outcome in session.execute(query)}
