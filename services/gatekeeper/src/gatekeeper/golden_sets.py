"""Golden datasets that people made, and how many challengers each dataset has seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.errors import Permanent
from contracts import Dataset
from gatekeeper import store
from gatekeeper.tables import CandidateRow, GoldenRow

LATEST = "latest"


def wanted(session: Session, model_name: str, said: str | None) -> Dataset | None:
    """What `golden.dataset` of a policy names; None when it names nothing. Raises Permanent when it is not there."""
    if said is None:
        return None
    row = newest(session, model_name) if said == LATEST else session.get(GoldenRow, (model_name, said))
    if row is None:
        raise Permanent(
            f"the policy of {model_name!r} says golden.dataset: {said}, but there is none; gauntlet golden create"
        )
    return Dataset(uri=row.uri, digest=row.digest, rows=row.rows)


def challengers(session: Session, model_name: str, digest: str, *, but: str | None = None) -> int:
    """How many were compared with a champion on this dataset: each of them has spent some of α.

    The retained versions of a tournament together are one more.
    """
    query = select(CandidateRow.evidence).where(
        CandidateRow.model_name == model_name,
        CandidateRow.golden_digest == digest,
        CandidateRow.champion_version.is_not(None),
        CandidateRow.judged_at.is_not(None),
    )
    found = session.scalars(query.where(CandidateRow.id != but) if but else query).all()
    return sum(1 + bool((evidence.get("tournament") or {}).get("entrants")) for evidence in found)


def newest(session: Session, model_name: str) -> GoldenRow | None:
    query = select(GoldenRow).where(GoldenRow.model_name == model_name)
    return session.scalars(query.order_by(GoldenRow.number.desc()).limit(1)).first()


def all_of(session: Session, model_name: str) -> Sequence[GoldenRow]:
    """Newest first."""
    query = select(GoldenRow).where(GoldenRow.model_name == model_name)
    return session.scalars(query.order_by(GoldenRow.number.desc())).all()


def add(session: Session, model_name: str, dataset: Dataset, *, actor: str, note: str) -> GoldenRow:
    """The same content is the same dataset: added once, whoever adds it again."""
    store.lock(session, model_name)
    row = session.get(GoldenRow, (model_name, dataset.digest))
    if row is not None:
        return row
    last = newest(session, model_name)
    row = GoldenRow(
        model_name=model_name,
        digest=dataset.digest,
        number=last.number + 1 if last else 1,
        uri=dataset.uri,
        rows=dataset.rows or 0,
        created_at=datetime.now(UTC),
        created_by=actor,
        note=note,
    )
    session.add(row)
    store.add_audit(
        session,
        "golden dataset created",
        model_name,
        None,
        actor=actor,
        reason=note,
        evidence={"digest": dataset.digest, "rows": dataset.rows, "number": row.number},
    )
    return row
