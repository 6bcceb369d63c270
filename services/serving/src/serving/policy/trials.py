"""What a replica does for a rollout: which version is tried beside the champion, and how."""

from __future__ import annotations

from dataclasses import dataclass

from contracts import Mode
from serving.policy.versions import DesiredVersion


@dataclass(frozen=True, slots=True)
class DesiredTrial:
    """The last RolloutChanged of a model, as a replica carries it out."""

    rollout_id: str
    revision: int
    step: int
    mode: Mode
    share: float
    salt: str
    champion_epoch: int
    """It is carried out only while the replica's champion has this epoch."""
    tried: DesiredVersion
