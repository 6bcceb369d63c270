"""Golden datasets created by people, and how many challengers were compared on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from chassis.errors import Permanent
from contracts import Dataset
from gatekeeper.database import queries
from gatekeeper.database.evidence_formats import upgraded
from gatekeeper.database.tables import CandidateRow, EarlierVerdictRow, GoldenRow, TournamentRow
from gatekeeper.policy.tournament_trigger import LATEST


def wanted(session: Session, model_name: str, said: str | None) -> Dataset | None:
    """The dataset that a policy's `golden.dataset` names; None when it names none. Raises Permanent when missing."""
    if said is None:
        return None
    row = newest(session, model_name) if said == LATEST else session.get(GoldenRow, (model_name, said))
    if row is None:
        raise Permanent(
            f"the policy of {model_name!r} says golden.dataset: {said}, but there is none; gauntlet golden create"
        )
    return Dataset(uri=row.uri, digest=row.digest, rows=row.rows)


@dataclass(frozen=True)
class Comparison:
    """A candidate with a champion under a policy. On the same golden rows it always gives the same result."""

    candidate_id: str
    champion_version: int | None
    policy_digest: str


def challengers(session: Session, model_name: str, digest: str, *, but: Comparison | None = None) -> int:
    """Count the challengers compared with a champion on this dataset: each has spent some of its α.

    The retained versions of a tournament together count as one. A version that was judged again counts once per
    verdict; `but`: the comparison in progress, which does not spend α a second time if it was made before.
    """
    query = select(CandidateRow.evidence).where(
        CandidateRow.model_name == model_name,
        CandidateRow.golden_digest == digest,
        CandidateRow.champion_version.is_not(None),
        CandidateRow.judged_at.is_not(None),
    )
    found = [*session.scalars(query.where(CandidateRow.id != but.candidate_id) if but else query)]
    found += _earlier(session, model_name, digest, but)
    alone = tournament_on(session, model_name, digest)
    return sum(1 + _entered(evidence) for evidence in found) + (0 if alone is None else _entered(alone.evidence))


def played_on(session: Session, model_name: str, digest: str) -> bool:
    """Was a tournament played on this dataset, caused by a drift or by a new candidate?"""
    query = select(CandidateRow.evidence).where(
        CandidateRow.model_name == model_name, CandidateRow.golden_digest == digest
    )
    found = [*session.scalars(query), *_earlier(session, model_name, digest, None)]
    return any(_entered(evidence) for evidence in found) or tournament_on(session, model_name, digest) is not None


def newest_judged_on(session: Session, model_name: str, champion_version: int) -> int | None:
    """Number of the newest golden dataset that this version was judged on, by itself or as champion."""
    judged = select(CandidateRow.golden_digest).where(
        CandidateRow.model_name == model_name,
        or_(CandidateRow.model_version == champion_version, CandidateRow.champion_version == champion_version),
        CandidateRow.judged_at.is_not(None),
        CandidateRow.golden_digest.is_not(None),
    )
    played = select(TournamentRow.golden_digest).where(
        TournamentRow.model_name == model_name,
        or_(TournamentRow.winner == champion_version, TournamentRow.champion_version == champion_version),
    )
    either = or_(GoldenRow.digest.in_(judged), GoldenRow.digest.in_(played))
    return session.scalar(select(func.max(GoldenRow.number)).where(GoldenRow.model_name == model_name, either))


def tournament_on(session: Session, model_name: str, digest: str) -> TournamentRow | None:
    """The tournament on this dataset that a drift caused."""
    query = select(TournamentRow).where(TournamentRow.model_name == model_name, TournamentRow.golden_digest == digest)
    return session.scalars(query).first()


def tournament_by_id(session: Session, row_id: str) -> TournamentRow | None:
    return session.get(TournamentRow, row_id)


def tournament_id(model_name: str, golden_number: int) -> str:
    return f"{model_name}-golden-{golden_number}"


def newest(session: Session, model_name: str) -> GoldenRow | None:
    query = select(GoldenRow).where(GoldenRow.model_name == model_name)
    return session.scalars(query.order_by(GoldenRow.number.desc()).limit(1)).first()


def all_of(session: Session, model_name: str) -> Sequence[GoldenRow]:
    """Newest first."""
    query = select(GoldenRow).where(GoldenRow.model_name == model_name)
    return session.scalars(query.order_by(GoldenRow.number.desc())).all()


def add(session: Session, model_name: str, dataset: Dataset, *, actor: str, note: str) -> GoldenRow:
    """Add a dataset. The same content is the same dataset: adding it again returns the existing row."""
    queries.lock(session, model_name)
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
    queries.add_audit(
        session,
        "golden dataset created",
        model_name,
        None,
        actor=actor,
        reason=note,
        evidence={"digest": dataset.digest, "rows": dataset.rows, "number": row.number},
    )
    return row


def _earlier(session: Session, model_name: str, digest: str, but: Comparison | None) -> Sequence[dict[str, Any]]:
    """Return the evidence of the verdicts on this dataset that later ones have replaced."""
    row = EarlierVerdictRow
    query = select(row.evidence).where(
        row.model_name == model_name, row.golden_digest == digest, row.champion_version.is_not(None)
    )
    if but is not None:
        same = and_(
            row.candidate_id == but.candidate_id,
            row.champion_version == but.champion_version,
            row.policy_digest == but.policy_digest,
        )
        query = query.where(~same)
    return session.scalars(query).all()


def _entered(evidence: Mapping[str, Any]) -> bool:
    """Did a tournament compare any version? Then it has spent some of α."""
    played = upgraded(evidence).get("tournament")
    return bool(played and played["entrants"])
