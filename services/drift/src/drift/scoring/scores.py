"""How far each feature has moved from the reference: Evidently's scores, on all rows, in milliseconds.

Numbers: Wasserstein distance over the reference's standard deviation. Categories: Jensen-Shannon distance. Both are
what Evidently computes (a test holds the two equal); Evidently drops missing values first and raises where none are
left, so the share of missing values is a score of its own here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from contracts import FeatureScore
from contracts.labels import canonical, number

WASSERSTEIN, JENSEN_SHANNON, MISSING = "wasserstein", "jensenshannon", "missing share"
LIMIT = 0.1
"""Evidently's default for both distances, and ten points for the missing share."""
LEAST_VALUES = 30
"""Fewest present values on each side for a meaningful distance."""
MOST_NAMED = 5
"""Columns that are named in a sentence."""
NUMBER, CATEGORY, TIME, DURATION = "number", "category", "time", "duration"
KINDS = {
    **dict.fromkeys(("integer", "floating", "mixed-integer-float", "decimal"), NUMBER),
    **dict.fromkeys(("date", "datetime", "datetime64", "time", "period"), TIME),
    **dict.fromkeys(("timedelta", "timedelta64"), DURATION),
}
"""Of pandas' names for the values of a column of objects."""
LEAST_NORM = 0.001
"""Evidently's floor for the standard deviation of a (nearly) constant reference."""


@dataclass(frozen=True)
class Comparison:
    """Scores of every feature on both sides. The frames hold the compared features only, numbers or strings.

    `nothing`: why not a single feature could be compared; None where one was.
    """

    scores: tuple[FeatureScore, ...]
    reference: pd.DataFrame
    current: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    not_compared: dict[str, str] = field(default_factory=dict)
    nothing: str | None = None

    @property
    def distances(self) -> tuple[str, ...]:
        """Return the features whose distributions were compared, not only their missing shares."""
        return tuple(score.feature for score in self.scores if score.method != MISSING)


def compare(reference: pd.DataFrame, current: pd.DataFrame) -> Comparison:
    """Score the features that both frames have; the reference's types decide which are numeric."""
    not_compared = {name: "not in the reference" for name in current.columns if name not in reference.columns}
    before: dict[str, pd.Series] = {}
    now: dict[str, pd.Series] = {}
    scores: list[FeatureScore] = []
    numeric: list[str] = []
    for name in reference.columns if len(reference) else ():
        kind = _kind(reference[name])
        if name not in current.columns:
            not_compared[name] = "in the reference, but in no prediction of the window"
        elif kind in (TIME, DURATION):
            not_compared[name] = f"a {kind}: it moves by itself"
        else:
            read = _numbers if kind == NUMBER else _categories
            sides = read(reference[name]), read(current[name])
            if min(len(side.dropna()) for side in sides) < LEAST_VALUES:
                not_compared[name] = f"fewer than {LEAST_VALUES} values on one side: only the missing share is compared"
            if all(side.isna().all() for side in sides):
                not_compared[name] = "no value on either side"
                continue
            before[name], now[name] = sides
            scores += _score(name, *sides, is_number=kind == NUMBER)
            numeric += [name] if kind == NUMBER else []
    return Comparison(
        tuple(scores),
        pd.DataFrame(before, index=reference.index),
        pd.DataFrame(now, index=current.index),
        tuple(numeric),
        tuple(name for name in before if name not in numeric),
        not_compared,
        None if scores else _nothing(reference, current, not_compared),
    )


def _nothing(reference: pd.DataFrame, current: pd.DataFrame, not_compared: dict[str, str]) -> str:
    if not len(reference):
        return "the reference has no rows"
    if not len(reference.columns):
        return "the reference has no columns"
    if not len(current.columns):
        return "the predictions of the window carry no features"
    common = [name for name in reference.columns if name in current.columns]
    if not common:
        return f"the features of the predictions ({_some(current)}) and of the reference ({_some(reference)}) differ"
    return "; ".join(f"{name}: {not_compared[name]}" for name in common[:MOST_NAMED])


def _some(frame: pd.DataFrame) -> str:
    names = list(map(str, frame.columns))
    return ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")


def _kind(column: pd.Series) -> str:
    """Return NUMBER, CATEGORY, TIME or DURATION: by the type, and by the values where any object may be one."""
    if pd.api.types.is_object_dtype(column.dtype):
        return KINDS.get(pd.api.types.infer_dtype(column, skipna=True), CATEGORY)
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return TIME
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return DURATION
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    return NUMBER if is_number else CATEGORY


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
    if isinstance(column.dtype, pd.CategoricalDtype):
        found = _numbers(pd.Series(column.cat.categories, dtype=object)).to_numpy()
        return pd.Series(np.append(found, np.nan)[column.cat.codes], index=column.index)
    if pd.api.types.is_object_dtype(column.dtype):  # pandas raises for an integer beyond any float, and reads bytes
        return pd.Series([number(value) for value in column], index=column.index, dtype="float64")
    numbers = pd.to_numeric(column, errors="coerce").astype("float64")
    return numbers.where(np.isfinite(numbers))


def _categories(column: pd.Series) -> pd.Series:
    """Convert to texts; 1 and 1.0 are one category, as an integer column with a missing value comes as floats."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        texts = _categories(pd.Series(column.cat.categories, dtype=object)).to_numpy()
        return pd.Series(np.append(texts, None)[column.cat.codes], index=column.index, dtype=object)
    values = [str(value) if isinstance(value, bool | np.bool_) else canonical(value) for value in column]
    return pd.Series(values, index=column.index, dtype=object)
