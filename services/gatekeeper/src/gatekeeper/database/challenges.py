"""What a rollout rests on; challengers that wait for one; versions that only people can have promoted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from contracts import Envelope, OutputFormat
from contracts.policy import ModelPolicy
from gatekeeper.database import queries, rollouts
from gatekeeper.database.audit_trail import ACTOR
from gatekeeper.database.rollout_tables import RolloutRow, WaitingChallengerRow
from gatekeeper.database.tables import CandidateRow


@dataclass(frozen=True)
class Challenge:
    """What a rollout rests on, and what its promotion will say."""

    candidate_id: str
    evidence_id: str
    reason: str
    """Of the verdict, or of the tournament."""
    compared_with: int | None
    policy_digest: str
    metric: str
    problem: str
    evidence_digest: str
    """Of the verdict's evidence and verdicts."""
    tournament: bool = False
    baseline: Mapping[str, float] = field(default_factory=dict)
    output: Mapping[str, Any] | None = None
    """contracts.OutputFormat, as it was read."""

    @property
    def output_format(self) -> OutputFormat | None:
        return None if self.output is None else OutputFormat.model_validate(self.output)


def challenge_of(row: RolloutRow | WaitingChallengerRow) -> Challenge:
    return Challenge(**row.challenge)


def challenge_for(
    session: Session,
    row: CandidateRow,
    policy: ModelPolicy,
    reason: str,
    *,
    baseline: Mapping[str, float] | None = None,
    output: OutputFormat | None = None,
    evidence_id: str | None = None,
    tournament: bool = False,
) -> Challenge:
    """Return what the rollout of this version rests on: its own verdict, metrics and output format, unless others are
    given."""
    own = None if row.output is None else OutputFormat.model_validate(row.output)
    output = output or own
    completed = policy if output is None else policy.completed(output.problem)
    verdicts = [verdict.model_dump(mode="json") for verdict in queries.verdicts(session, row)]
    return Challenge(
        candidate_id=row.id,
        evidence_id=evidence_id or row.id,
        reason=reason,
        compared_with=(champion.model_version if (champion := queries.champion(session, row.model_name)) else None),
        policy_digest=policy.digest,
        metric=completed.metric,
        problem=completed.problem,
        evidence_digest=rollouts.digest_of([row.judgement, row.evidence, verdicts]),
        tournament=tournament,
        baseline=dict(row.metrics if baseline is None else baseline),
        output=None if output is None else output.model_dump(mode="json"),
    )


def quarantine(session: Session, model_name: str, model_version: int, why: str) -> None:
    """Leave the promotion of this version to people."""
    row = queries.candidate(session, model_name, model_version)
    if row is not None and row.quarantine is None:
        row.quarantine = why


def release(session: Session, model_name: str, model_version: int) -> None:
    """End the quarantine of a version: a person wants it, or it is champion again."""
    row = queries.candidate(session, model_name, model_version)
    if row is not None:
        row.quarantine = None


def wait(session: Session, row: CandidateRow, challenge: Challenge, cause: Envelope[Any] | None) -> None:
    """Keep a challenger until the running rollout ends; an earlier one that waits is given up."""
    earlier = rollouts.waiting(session, row.model_name)
    if earlier is not None:
        if earlier.candidate_id != row.id and (other := session.get(CandidateRow, earlier.candidate_id)):
            queries.add_audit(
                session,
                "no longer waiting",
                other.model_name,
                other.model_version,
                actor=ACTOR,
                reason=f"v{row.model_version}, which is newer, waits for the end of the rollout instead",
                evidence={"candidate_id": other.id},
                correlation_id=cause.correlation_id if cause else None,
            )
        session.delete(earlier)
        session.flush()
    session.add(
        WaitingChallengerRow(
            model_name=row.model_name,
            candidate_id=row.id,
            challenge=asdict(challenge),
            since=datetime.now(UTC),
        )
    )
