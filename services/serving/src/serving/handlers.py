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


def on_gate_passed(reconciler: ModelReconciler, envelope: Envelope[GatePassed]) -> None:
    """Staging: serve the challenger that passed last, by its position on the topic; ignore the same one repeated."""
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest or "", event.output)
    current = reconciler.desired(event.model_name)
    order = 1 if current is None else current.order + (current.artifact != artifact)
    artifact_ref = _artifact_ref(event.serving_artifact)
    reconciler.set_desired(
        DesiredVersion(artifact, event.artifact_uri, order=order, artifact_ref=artifact_ref), envelope
    )


def _artifact_ref(artifact: ServingArtifact | None) -> ServingArtifactRef | None:
    return ServingArtifactRef(artifact.uri, artifact.digest) if artifact else None
