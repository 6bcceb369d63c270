"""What a model answered to rows: as it said it, and as labels and scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class Prediction:
    """`raw`: the model's own answer. `labels`: one item a row; `scores`: a number a row, or one a class, or None."""

    raw: Any
    labels: list[Any]
    scores: list[Any] | None

    @property
    def rows(self) -> int:
        """Of the raw answer; -1 when it is not one item a row, and can therefore not be split."""
        return len(self.raw) if hasattr(self.raw, "__len__") and not isinstance(self.raw, dict | str | bytes) else -1

    @property
    def numbers(self) -> list[float] | None:
        """The scores where they are one number a row."""
        return self.scores if self.scores and not isinstance(self.scores[0], list) else None

    @property
    def answers(self) -> list[Any]:
        """The scores where there are any, otherwise the labels: what a model is judged by."""
        return self.labels if self.scores is None else self.scores

    def split(self, sizes: Sequence[int]) -> list[Prediction]:
        """One outcome a request, of so many rows each."""
        return [
            Prediction(
                self.raw[start:end], self.labels[start:end], None if self.scores is None else self.scores[start:end]
            )
            for start, end in pairwise(accumulate(sizes, initial=0))
        ]

    def jsonable(self) -> Any:
        """The raw answer as MLflow's scoring server writes it."""
        # What `mlflow models serve` itself writes answers with. It is here by now: MLflow has loaded the model.
        from mlflow.utils.proto_json_utils import _get_jsonable_obj

        return _get_jsonable_obj(self.raw, pandas_orient="records")  # type: ignore[no-untyped-call]
