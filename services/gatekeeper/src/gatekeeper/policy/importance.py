"""Permutation importance: by how much the metric is worse when the values of one column are permuted.

Breiman, "Random Forests", Machine Learning 45 (2001), section 10, for any model and metric: Fisher, Rudin and Dominici,
"All Models are Wrong, but Many are Useful", JMLR 20 (2019). One permutation, the same for every column and each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series, Unmeasurable, direction

ROWS, FEWEST_ROWS = 2000, 500
"""Golden rows that are permuted: at most; and of a slow model with many columns, at least."""
SECONDS = 10.0
"""Of predictions, for all columns."""
MOST_COLUMNS = 200


@dataclass(frozen=True)
class Importance:
    """`value`: of the metric on these rows as they are. `worse`: by how much it is worse when a column is permuted, in
    the metric's unit; positive is worse. `missing`: the columns that were not measured, `problem`: why."""

    metric: str
    value: float | None = None
    rows: int = 0
    worse: Mapping[str, float] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    problem: str | None = None
    seconds: float | None = None


def rows_within(columns: int, seconds_a_row: float | None) -> int:
    """Return the number of rows of which all columns can be predicted in time, within its limits."""
    if not columns or not seconds_a_row:
        return ROWS
    return int(min(ROWS, max(FEWEST_ROWS, SECONDS / (seconds_a_row * columns))))


def importance_of(
    metric: str,
    truth: NDArray[Any],
    predictions: Predictions,
    permuted: Mapping[str, Predictions],
    names: Sequence[str],
    series: Series | None = None,
    problem: str | None = None,
) -> Importance:
    """Compare the metric of the n rows with that of the rows with one column permuted, for each of `names`.

    `problem`: why some are not in `permuted`.
    """
    missing = tuple(name for name in names if name not in permuted)
    try:
        value = estimates.value(metric, truth, predictions, series)
        worse = {
            name: direction(metric) * (value - estimates.value(metric, truth, permuted[name], series))
            for name in names
            if name in permuted
        }
    except Unmeasurable as error:
        return Importance(metric, rows=len(truth), missing=tuple(names), problem=str(error))
    found = dict(sorted(worse.items(), key=lambda each: (-each[1], each[0])))
    return Importance(metric, value, len(truth), found, missing, problem if missing else None)
