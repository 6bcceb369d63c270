"""Cache of predictions on golden rows, on disk: a champion predicts once per golden dataset."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gatekeeper.policy.predictions import Classes

FORMAT = 2
"""Of the values; 1 had labels in place of the scores of a model that was logged without them."""


class PredictionCache:
    """One file per model, dataset, order of classes and number of rows; digests identify models and datasets."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, model_digest: str, golden_digest: str, classes: Classes, rows: int) -> NDArray[Any] | None:
        try:
            raw = self._path(model_digest, golden_digest, classes, rows).read_bytes()
            values: NDArray[Any] = np.load(io.BytesIO(raw), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return values if len(values) == rows else None

    def put(self, model_digest: str, golden_digest: str, classes: Classes, values: NDArray[Any]) -> None:
        path = self._path(model_digest, golden_digest, classes, len(values))
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.draft")
        with draft.open("wb") as file:
            np.save(file, values, allow_pickle=False)
        draft.replace(path)

    def _path(self, model_digest: str, golden_digest: str, classes: Classes, rows: int) -> Path:
        name = hashlib.sha256(repr((FORMAT, model_digest, golden_digest, classes, rows)).encode()).hexdigest()
        return self._folder / f"{name}.npy"
