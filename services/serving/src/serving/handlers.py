"""What a replica takes from the events that it follows: which version shall answer."""

from __future__ import annotations

from contracts import Envelope, GatePassed, Promoted, ServingArtifact
from serving.loading.reconciler import Loader
from serving.policy.versions import Artifact, Beside, Wanted


def on_promoted(loader: Loader, envelope: Envelope[Promoted]) -> None:
    """Production: the highest epoch of a model answers."""
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest)
    beside = _beside(event.serving_artifact)
    loader.want(Wanted(artifact, event.artifact_uri, event.epoch, event.epoch, beside), envelope)


def on_gate_passed(loader: Loader, envelope: Envelope[GatePassed]) -> None:
    """Staging: the challenger that passed last, by its place on the topic, answers; the same one again is no news."""
    event = envelope.data
    artifact = Artifact(event.model_name, event.model_version, event.artifact_digest or "")
    current = loader.desired(event.model_name)
    order = 1 if current is None else current.order + (current.artifact != artifact)
    beside = _beside(event.serving_artifact)
    loader.want(Wanted(artifact, event.artifact_uri, order=order, beside=beside), envelope)


def _beside(artifact: ServingArtifact | None) -> Beside | None:
    return Beside(artifact.uri, artifact.digest) if artifact else None
