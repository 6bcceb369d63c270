"""The event of a promotion: of a candidate, or of a version that was champion before."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.orm import Session

from contracts import Cause, Dataset, OutputFormat, Promoted, ServingArtifact, TriedVersion
from gatekeeper.database import queries
from gatekeeper.database.tables import CandidateRow, PromotionRow
from gatekeeper.policy.promotion import Promote


def promotion_of(
    session: Session,
    row: CandidateRow,
    decision: Promote,
    *,
    actor: str,
    reason: str,
    metric: str | None,
    evidence_id: str | None = None,
    baseline: Mapping[str, float] | None = None,
    output: OutputFormat | None = None,
) -> Promoted:
    """Return the promotion of a candidate, with its own verdict, metrics and output format unless others are given."""
    golden, importance = _explained(session, row)
    return Promoted(
        model_name=row.model_name,
        model_version=row.model_version,
        epoch=decision.epoch,
        artifact_uri=row.artifact_uri or "",
        artifact_digest=row.artifact_digest or "",
        serving_artifact=serving_artifact(row),
        previous_version=decision.previous_version,
        cause=decision.cause,
        actor=actor,
        reason=reason,
        evidence_id=evidence_id or row.id,
        metric=metric,
        baseline=dict(row.metrics if baseline is None else baseline),
        reference=queries.envelope_of(row).data.reference,
        output=output or output_of(session, row),
        golden_predictions=golden,
        importance=importance,
    )


def promoted_again(
    model_name: str,
    model_version: int,
    earlier: PromotionRow | None,
    decision: Promote,
    *,
    actor: str,
    reason: str,
    uri: str | None,
    digest: str | None,
) -> Promoted:
    """Return the promotion of an earlier champion, with the data of its earlier promotion; else `uri` and `digest`."""
    then = Promoted.model_validate(earlier.event) if earlier else None
    return Promoted(
        model_name=model_name,
        model_version=model_version,
        epoch=decision.epoch,
        artifact_uri=then.artifact_uri if then else uri or "",
        artifact_digest=then.artifact_digest if then else digest or "",
        serving_artifact=then.serving_artifact if then else None,
        previous_version=decision.previous_version,
        cause=Cause.ROLLBACK,
        actor=actor,
        reason=reason,
        evidence_id=then.evidence_id if then else None,
        metric=then.metric if then else None,
        baseline=then.baseline if then else {},
        reference=then.reference if then else None,
        output=then.output if then else None,
        golden_predictions=then.golden_predictions if then else None,
        importance=then.importance if then else {},
    )


def former_champion(previous: PromotionRow | None, event: Promoted) -> TriedVersion | None:
    """Return the champion before a promotion as a version to try beside the new one; None where there is none."""
    if previous is None or previous.model_version == event.model_version or not previous.event.get("artifact_digest"):
        return None
    then = Promoted.model_validate(previous.event)
    return TriedVersion(
        model_version=then.model_version,
        artifact_uri=then.artifact_uri,
        artifact_digest=then.artifact_digest,
        serving_artifact=then.serving_artifact,
        output=then.output,
    )


def serving_artifact(row: CandidateRow) -> ServingArtifact | None:
    return None if row.serving_artifact is None else ServingArtifact.model_validate(row.serving_artifact)


def _explained(session: Session, row: CandidateRow) -> tuple[Dataset | None, Mapping[str, float]]:
    """Return golden predictions and importance: of its verdict; of its last promotion, as after a restore."""
    if row.importance is not None:
        golden = row.golden_predictions
        return None if golden is None else Dataset.model_validate(golden), row.importance
    earlier = queries.promotion_of(session, row.model_name, row.model_version)
    then = None if earlier is None else Promoted.model_validate(earlier.event)
    return (then.golden_predictions, then.importance) if then else (None, {})


def output_of(session: Session, row: CandidateRow) -> OutputFormat | None:
    """Return that of its verdict; of its last promotion where it has none, as after a restore from the topic."""
    if row.output is not None:
        return OutputFormat.model_validate(row.output)
    earlier = queries.promotion_of(session, row.model_name, row.model_version)
    return None if earlier is None else Promoted.model_validate(earlier.event).output
