"""How far each feature has moved from the reference: Evidently's scores, on all rows, in milliseconds.

Numbers: Wasserstein distance over the reference's standard deviation. Categories: Jensen-Shannon distance. Both are
what Evidently computes (a test holds the two equal); Evidently drops missing values first and raises where none are
left, so the share of missing values is a score of its own here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from contracts import FeatureScore

WASSERSTEIN, JENSEN_SHANNON, MISSING = "wasserstein", "jensenshannon", "missing share"
LIMIT = 0.1
"""Evidently's default for both distances, and ten points for the missing share."""
LEAST_VALUES = 30
"""Fewest present values on each side for a meaningful distance."""
LEAST_NORM = 0.001
"""Evidently's floor for the standard deviation of a (nearly) constant reference."""


@dataclass(frozen=True)
class Comparison:
    """Scores of every feature on both sides. The frames hold the compared features only, numbers or strings."""

    scores: tuple[FeatureScore, ...]
    reference: pd.DataFrame
    current: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    not_compared: dict[str, str] = field(default_factory=dict)

    @property
    def distances(self) -> tuple[str, ...]:
        """Return the features whose distributions were compared, not only their missing shares."""
        return tuple(score.feature for score in self.scores if score.method != MISSING)


def compare(reference: pd.DataFrame, current: pd.DataFrame) -> Comparison:
    """Score the features that both frames have; the reference's types decide which are numeric."""
    not_compared = {name: "not in the reference" for name in current.columns if name not in reference.columns}
    numeric, categorical = [], []
    for name in reference.columns:
        column = reference[name]
        if name not in current.columns:
            not_compared[name] = "in the reference, but in no prediction of the window"
        elif pd.api.types.is_datetime64_any_dtype(column.dtype):
            not_compared[name] = "a time: it moves by itself"
        elif pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
            numeric.append(name)
        else:
            categorical.append(name)
    before = pd.DataFrame({name: _numbers(reference[name]) for name in numeric}, index=reference.index)
    now = pd.DataFrame({name: _numbers(current[name]) for name in numeric}, index=current.index)
    for name in categorical:
        before[name], now[name] = _categories(reference[name]), _categories(current[name])
    scores: list[FeatureScore] = []
    for name in before.columns:
        scores += _score(name, before[name], now[name], is_number=name in numeric)
        if len(before[name].dropna()) < LEAST_VALUES or len(now[name].dropna()) < LEAST_VALUES:
            not_compared[name] = f"fewer than {LEAST_VALUES} values on one side: only the missing share is compared"
    return Comparison(tuple(scores), before, now, tuple(numeric), tuple(categorical), not_compared)


def _score(name: str, reference: pd.Series, current: pd.Series, *, is_number: bool) -> list[FeatureScore]:
    found: list[FeatureScore] = []
    before, now = reference.dropna(), current.dropna()
    if len(before) >= LEAST_VALUES and len(now) >= LEAST_VALUES:
        method = WASSERSTEIN if is_number else JENSEN_SHANNON
        distance = _wasserstein(before, now) if is_number else _jensen_shannon(before, now)
        found.append(_feature_score(name, method, distance))
    moved = abs(float(reference.isna().mean()) - float(current.isna().mean())) if len(reference) else 1.0
    if reference.isna().any() or current.isna().any() or not found:
        found.append(_feature_score(name, MISSING, moved))
    return found


def _feature_score(name: str, method: str, score: float) -> FeatureScore:
    # A distance of huge numbers may overflow; clip it to the largest float, so that the event stays valid JSON.
    finite = score if np.isfinite(score) else float(np.finfo(np.float64).max)
    return FeatureScore(feature=name, method=method, score=finite, limit=LIMIT, drifted=finite >= LIMIT)


def _wasserstein(reference: pd.Series, current: pd.Series) -> float:
    with np.errstate(over="ignore", invalid="ignore"):
        norm = max(float(np.std(reference.to_numpy())), LEAST_NORM)
        return float(wasserstein_distance(reference, current)) / norm


def _jensen_shannon(reference: pd.Series, current: pd.Series) -> float:
    before, now = reference.value_counts(normalize=True), current.value_counts(normalize=True)
    keys = before.index.union(now.index, sort=False)
    distance = float(jensenshannon(before.reindex(keys, fill_value=0.0), now.reindex(keys, fill_value=0.0)))
    return 0.0 if np.isnan(distance) else distance  # the root of a rounding error below zero


def _numbers(column: pd.Series) -> pd.Series:
    """Convert to float64; any value that is not a finite number (a word, too) becomes missing."""
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _categories(column: pd.Series) -> pd.Series:
    values: list[Any] = [None if _is_missing(value) else str(value) for value in column]
    return pd.Series(values, index=column.index, dtype=object)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA
