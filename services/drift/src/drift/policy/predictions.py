"""The distribution of a version's predictions in a window, against that of its golden predictions or first windows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from contracts import DriftKind, Outcome
from drift.policy import limits
from drift.policy.limits import IID, WINDOWS
from drift.policy.windows import Verdict

Floats: TypeAlias = NDArray[np.float64]

WASSERSTEIN, JENSEN_SHANNON = "wasserstein", "jensenshannon"
LEAST_NORM = 0.001
"""Floor for the standard deviation of (nearly) constant predictions."""
QUANTILES = 101
"""By which the numbers of a window are kept."""
LEAST_LIMIT = 0.02
"""A distance below it is no drift, however certain."""


@dataclass(frozen=True)
class Distribution:
    """Predicted numbers, or scores, in any order; or the number of rows of each predicted class."""

    numbers: Floats | None = None
    classes: Mapping[str, float] | None = None

    @property
    def rows(self) -> int:
        if self.numbers is not None:
            return len(self.numbers)
        return int(sum((self.classes or {}).values()))

    @property
    def method(self) -> str:
        return WASSERSTEIN if self.numbers is not None else JENSEN_SHANNON

    def kept(self) -> dict[str, object]:
        """Return what a later window can be compared with: quantiles, or counts."""
        if self.numbers is None:
            return {"classes": dict(self.classes or {})}
        return {"numbers": [float(value) for value in np.quantile(self.numbers, np.linspace(0, 1, QUANTILES))]}


@dataclass(frozen=True)
class Limit:
    """`expected`: the mean distance of windows without drift; `assumption`: IID or WINDOWS."""

    limit: float
    expected: float
    assumption: str


def distance(reference: Distribution, window: Distribution) -> float | None:
    """Return the distance of two distributions of one kind; None for two kinds, or without rows.

    Numbers: Wasserstein distance over the reference's standard deviation. Classes: Jensen-Shannon distance, base e.
    """
    if not reference.rows or not window.rows:
        return None
    if reference.numbers is not None and window.numbers is not None:
        with np.errstate(over="ignore", invalid="ignore"):
            norm = max(float(np.std(reference.numbers)), LEAST_NORM)
            found = float(wasserstein_distance(reference.numbers, window.numbers)) / norm
        return found if math.isfinite(found) else None
    if reference.classes is None or window.classes is None:
        return None
    names = sorted({*reference.classes, *window.classes})
    before = [reference.classes.get(name, 0.0) for name in names]
    found = float(jensenshannon(before, [window.classes.get(name, 0.0) for name in names]))
    return 0.0 if math.isnan(found) else found  # the root of a rounding error below zero


def limit_of(splits: Floats, past: Floats, share: float) -> Limit | None:
    """Return the limit that a share of windows without drift, as small as this, exceeds; None without any.

    As for the columns (`limits`): from past windows if they are enough, else from row splits, widened by some past
    windows. `past`: oldest first.
    """
    past = past[: limits.stage(len(past), share)]
    floors = np.array([LEAST_LIMIT])
    if len(past) >= max(limits.fewest_windows(share), limits.SOME_WINDOWS):
        return _limit(limits.calibrate_on_windows(past[:, None], share, floors), WINDOWS)
    if len(splits) < limits.fewest_windows(share):
        return None
    found = limits.calibrate(splits[:, None], share, floors)
    if len(past) >= limits.SOME_WINDOWS:
        found = limits.wider(found, limits.calibrate_on_windows(past[:, None], share, floors))
    return _limit(found, IID)


def _limit(found: limits.Limits, assumption: str) -> Limit:
    return Limit(float(found.limit[0]), float(found.expected[0]), assumption)


def judge_prediction(rows: int, found: float | None, limit: Limit | None, what: str, against: str) -> Verdict:
    """Report drift when the distance reaches its limit. `what`: of what, such as scores; `against`: of which rows."""
    kind = DriftKind.PREDICTION
    if found is None or limit is None:
        return Verdict(kind, Outcome.INCONCLUSIVE, f"the {what} cannot be compared with {against}", rows, found)
    past = "past windows" if limit.assumption == WINDOWS else "row splits"
    side = "reaches" if found >= limit.limit else "is below"
    reason = (
        f"the {what} differ from {against} by {found:.3f}, which {side} its limit {limit.limit:.3f}"
        f" (from {past}; expected {limit.expected:.3f})"
    )
    outcome = Outcome.FAILED if found >= limit.limit else Outcome.PASSED
    return Verdict(kind, outcome, reason, rows, found, limit.limit)
