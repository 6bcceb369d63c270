"""A model's predictions for rows: the raw output, and labels and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """`raw`: the model's output. `labels`: one item a row; `scores`: a number a row, or one a class, or None."""

    raw: Any
    labels: list[Any]
    scores: list[Any] | None

    @property
    def rows(self) -> int:
        """The number of rows of the raw output; -1 when it is not one item a row, and can therefore not be split."""
        return len(self.raw) if hasattr(self.raw, "__len__") and not isinstance(self.raw, dict | str | bytes) else -1

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
        return [
            Prediction(
                self.raw[start:end], self.labels[start:end], None if self.scores is None else self.scores[start:end]
            )
            for start, end in pairwise(accumulate(sizes, initial=0))
        ]

    def jsonable(self) -> Any:
        """Return the raw output as MLflow's scoring server writes it."""
        # `mlflow models serve` itself writes predictions with it. Already imported: MLflow has loaded the model.
        from mlflow.utils.proto_json_utils import _get_jsonable_obj

        return _get_jsonable_obj(self.raw, pandas_orient="records")  # type: ignore[no-untyped-call]
