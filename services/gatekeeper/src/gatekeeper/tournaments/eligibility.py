"""Versions that a policy retains as candidates, and the event time of the champion's newest golden row."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts import Cause, ModelRegistered, Outcome
from contracts.policy import ModelPolicy, Retained
from gatekeeper.database import golden_datasets, queries
from gatekeeper.database.evidence_formats import upgraded
from gatekeeper.database.tables import UNJUDGED, CandidateRow, PromotionRow
from gatekeeper.evaluation.measurements import Champion
from gatekeeper.policy.fail_fast import was_run
from gatekeeper.policy.tournament_trigger import NewestGolden, TournamentTrigger

SAFETY = ("lineage", "integrity", "functional", "latency")
"""A version that did not pass one of these when it was judged is not eligible."""


@dataclass(frozen=True)
class RetainedVersion:
    """An eligible version; `event` is its registration as it was when judged."""

    version: Champion
    event: ModelRegistered
    registered_at: datetime


def retained(session: Session, model_name: str, policy: ModelPolicy, *outside: int | None) -> list[RetainedVersion]:
    """Eligible versions, newest first: judged before, safe to run, and not in `outside` (such as the champion).

    Excludes versions that were rolled back, aborted or refused: only a manual decision can bring them back.
    """
    settings = policy.candidates
    assert isinstance(settings, Retained), "the policy wants a tournament"
    query = select(CandidateRow).where(
        CandidateRow.model_name == model_name,
        CandidateRow.model_version.not_in({*outside, *_taken_away(session, model_name)} - {None}),
        CandidateRow.state.not_in(UNJUDGED),
        CandidateRow.quarantine.is_(None),
        CandidateRow.artifact_digest.is_not(None),
        CandidateRow.artifact_uri.is_not(None),
    )
    if settings.max_age is not None:
        query = query.where(CandidateRow.registered_at >= datetime.now(UTC) - settings.max_age)
    found: list[RetainedVersion] = []
    for row in session.scalars(query.order_by(CandidateRow.model_version.desc())):
        # A gate that was not run (fail_fast) does not count against it; to win, it has to pass that one too.
        outcomes = {verdict.gate: verdict.outcome for verdict in queries.verdicts(session, row) if was_run(verdict)}
        if not outcomes or any(outcomes.get(gate, Outcome.PASSED) is not Outcome.PASSED for gate in SAFETY):
            continue
        assert row.artifact_uri is not None and row.artifact_digest is not None, "asked for"
        version = Champion(row.model_version, 0, row.artifact_uri, row.artifact_digest)
        found.append(RetainedVersion(version, queries.envelope_of(row).data, row.registered_at))
        if len(found) == settings.retained:
            break
    return found


def judged_until(session: Session, model_name: str, champion_version: int) -> str | None:
    """Event time of the newest row that the champion was judged on, by its own evidence and the evidence of its
    promotion; None where rows have no time."""
    row = queries.candidate(session, model_name, champion_version)
    promotion = queries.promotion_of(session, model_name, champion_version)
    evidence = [] if row is None else [row.evidence]
    if promotion is not None and (rests_on := promotion.event.get("evidence_id")):
        other = queries.candidate_by_id(session, rests_on) or golden_datasets.tournament_by_id(session, rests_on)
        evidence += [] if other is None else [other.evidence]
    documents = [upgraded(each) for each in evidence if "measured" in each]
    found = [each["measured"]["golden_until"] for each in documents]
    return max((until for until in found if isinstance(until, str)), key=datetime.fromisoformat, default=None)


def tournament_trigger(
    session: Session, model_name: str, drifted_version: int, policy: ModelPolicy | None
) -> TournamentTrigger:
    """The input of `policy.tournament_trigger`."""
    champion = queries.champion(session, model_name)
    newest = golden_datasets.newest(session, model_name)
    if champion is None or newest is None or policy is None or not isinstance(policy.candidates, Retained):
        return TournamentTrigger(drifted_version, champion.model_version if champion else None)
    own = queries.candidate(session, model_name, champion.model_version)
    return TournamentTrigger(
        drifted_version=drifted_version,
        champion_version=champion.model_version,
        newest=NewestGolden(newest.number, newest.digest, newest.created_at),
        judged_on=golden_datasets.newest_judged_on(session, model_name, champion.model_version),
        judged_at=own.judged_at if own else None,
        played=golden_datasets.played_on(session, model_name, newest.digest),
        others=len(retained(session, model_name, policy, champion.model_version)),
    )


def champion_of(row: PromotionRow | None) -> Champion | None:
    if row is None:
        return None
    return Champion(row.model_version, row.epoch, row.event["artifact_uri"], row.event["artifact_digest"])


def _taken_away(session: Session, model_name: str) -> set[int]:
    found: set[int] = set()
    for row in reversed(queries.promotions(session, model_name)):
        found.discard(row.model_version)
        previous = row.event.get("previous_version")
        if row.cause == Cause.ROLLBACK and previous is not None:
            found.add(previous)
    return found
