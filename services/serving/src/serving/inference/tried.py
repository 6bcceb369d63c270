"""What the versions of a rollout made of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from contracts import Arm

if TYPE_CHECKING:
    from serving.inference.model import LoadedModel
    from serving.inference.prediction import Prediction


@dataclass(slots=True)
class VersionOutcome:
    """What one version made of some rows of a request: a prediction of one item for each, or an error."""

    arm: Arm
    """The version."""
    rows: Sequence[int] | None
    """Their numbers in the request; None: all."""
    prediction: Prediction | None = None
    error: str | None = None
    seconds: float | None = None
    """That the version took, with others in its batch; None: unknown."""


@dataclass(frozen=True, slots=True)
class TrialStep:
    """A step of a rollout, and its versions."""

    rollout_id: str
    step: int
    champion_version: int
    tried_version: int


@dataclass(slots=True)
class TriedRequest:
    """A request of a model that has a rollout: attached to its prediction."""

    step: TrialStep
    bench: Any
    """Where the tried version is called and counted: `serving.trials.bench`."""
    arms: Sequence[Arm] | None = None
    """The arm of each row, whose version predicts it (the champion, where the tried one failed); None: a shadow."""
    answered_by: Sequence[int] | None = None
    """The version whose prediction the client receives, for each row; None: the champion's, for all."""
    is_measured: bool = True
    """False: the rollout has measured enough rows in this second."""
    outcomes: list[VersionOutcome] = field(default_factory=list)
    shadow: LoadedModel | None = None
    """The tried version, if it predicts the rows once they are answered."""

    @property
    def is_recorded(self) -> bool:
        """Whether it is counted as a request of the rollout, and not as one of the champion alone."""
        return self.is_measured or self.arms is not None
