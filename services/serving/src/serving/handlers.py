"""Event handlers of a replica: set the desired version of a model, and the version that is tried beside it."""

from __future__ import annotations

from typing import Any

from contracts import Envelope, GatePassed, Mode, Promoted, Result, RolloutChanged, ServingArtifact, Stage
from serving.loading.reconciler import ModelReconciler
from serving.policy.trials import DesiredTrial
from serving.policy.versions import Artifact, DesiredVersion, ServingArtifactRef

CHAMPION_STAYS = (Result.ABORTED, Result.KEPT, Result.REFUSED, Result.EXPIRED)
"""After any other result, the promotion that ended the rollout may be of the version that was tried."""


def in_production(reconciler: ModelReconciler, envelope: Envelope[Any]) -> None:
    if isinstance(envelope.data, Promoted):
        on_promoted(reconciler, envelope)
    else:
        on_rollout_changed(reconciler, envelope)


def on_promoted(reconciler: ModelReconciler, envelope: Envelope[Promoted]) -> None:
    """Production: serve the highest epoch of a model."""
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest, event.output)
    artifact_ref = _artifact_ref(event.serving_artifact)
    reconciler.set_desired(
        DesiredVersion(artifact, event.artifact_uri, event.epoch, event.epoch, artifact_ref), envelope
    )


def on_rollout_changed(reconciler: ModelReconciler, envelope: Envelope[RolloutChanged]) -> None:
    """Production: try a version beside the champion; the highest revision of a model is in force."""
    event = envelope.data
    tried = event.tried
    artifact = Artifact(event.model_name, tried.model_version, tried.artifact_digest, tried.output)
    is_over = event.stage is Stage.ENDED or event.result is not None
    trial = DesiredTrial(
        rollout_id=event.rollout_id,
        revision=event.revision,
        step=event.step,
        mode=Mode.OFF if is_over else event.mode,
        share=event.share,
        salt=event.salt,
        champion_epoch=event.champion_epoch,
        tried=DesiredVersion(artifact, tried.artifact_uri, order=0, artifact_ref=_artifact_ref(tried.serving_artifact)),
        may_be_promoted=event.result not in CHAMPION_STAYS,
    )
    reconciler.set_trial(trial, envelope)


def in_staging(reconciler: ModelReconciler, envelope: Envelope[GatePassed] | Envelope[Promoted]) -> None:
    """Staging: serve the version that passed last, or the champion if that was promoted (or rolled back to) since.

    A challenger that passed before the last promotion is none any more. The events are of two topics, which are read
    in any order; so their times decide. Ignore the same version repeated.
    """
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest or "", event.output)
    current = reconciler.desired(event.model_name)
    if current is not None and current.artifact == artifact:
        return
    order = int(envelope.time.timestamp() * 1_000_000)
    artifact_ref = _artifact_ref(event.serving_artifact)
    reconciler.set_desired(
        DesiredVersion(artifact, event.artifact_uri, order=order, artifact_ref=artifact_ref), envelope
    )


def _artifact_ref(artifact: ServingArtifact | None) -> ServingArtifactRef | None:
    return ServingArtifactRef(artifact.uri, artifact.digest) if artifact else None
