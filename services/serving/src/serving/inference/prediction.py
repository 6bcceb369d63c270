"""A model's predictions for rows: the raw output, and labels and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from serving.inference.tried import TriedRequest


@dataclass(slots=True)
class Prediction:
    """`raw`: the model's output. `labels`: one item a row; `scores`: a number a row, or one a class, or None."""

    raw: Any
    labels: list[Any]
    scores: list[Any] | None
    tried: TriedRequest | None = None
    """Set while a rollout of the model tries a version."""

    @property
    def rows(self) -> int:
        """The number of rows of the raw output; -1 for a type that is not certain to be split into rows by position."""
        return len(self.raw) if isinstance(self.raw, np.ndarray | list | tuple) or _is_pandas(self.raw) else -1

    @property
    def numbers(self) -> list[float] | None:
        """The scores where they are one number a row."""
        return self.scores if self.scores and not isinstance(self.scores[0], list) else None

    @property
    def answers(self) -> list[Any]:
        """The scores where there are any, otherwise the labels: what a model is evaluated by."""
        return self.labels if self.scores is None else self.scores

    def split(self, sizes: Sequence[int]) -> list[Prediction]:
        """Split into one prediction per request, of `sizes` rows each."""
        raw = self.raw.iloc if _is_pandas(self.raw) else self.raw  # [1:2] of a Series may mean labels of its index
        return [
            Prediction(raw[start:end], self.labels[start:end], None if self.scores is None else self.scores[start:end])
            for start, end in pairwise(accumulate(sizes, initial=0))
        ]


def _is_pandas(raw: Any) -> bool:
    return hasattr(raw, "iloc")  # pandas itself is imported with the first model, not here
