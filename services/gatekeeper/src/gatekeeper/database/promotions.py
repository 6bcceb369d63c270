"""The promotion of a version that was champion before."""

from __future__ import annotations

from contracts import Cause, Promoted
from gatekeeper.database.tables import PromotionRow
from gatekeeper.policy.promotion import Promote


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
    )
