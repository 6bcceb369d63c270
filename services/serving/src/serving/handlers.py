"""Event handlers of a replica: set the desired version of a model."""

from __future__ import annotations

from contracts import Envelope, GatePassed, Promoted, ServingArtifact
from serving.loading.reconciler import ModelReconciler
from serving.policy.versions import Artifact, DesiredVersion, ServingArtifactRef


def on_promoted(reconciler: ModelReconciler, envelope: Envelope[Promoted]) -> None:
    """Production: serve the highest epoch of a model."""
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest, event.output)
    artifact_ref = _artifact_ref(event.serving_artifact)
    reconciler.set_desired(
        DesiredVersion(artifact, event.artifact_uri, event.epoch, event.epoch, artifact_ref), envelope
    )


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
