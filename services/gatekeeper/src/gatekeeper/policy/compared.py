"""Facts about the golden rows and both models' predictions, and the verdicts of the performance gate on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.metrics import Problem
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.statistics import bootstrap
from gatekeeper.policy.statistics.estimates import Estimate, Predictions, Series
from gatekeeper.policy.statistics.units import FEWEST, units_of

GATE = "performance"

FEWEST_ROWS = FEWEST  # below, the normal approximation of the bounds is unreliable
FEWEST_OF_A_CLASS = 5


@dataclass(frozen=True, eq=False)
class Facts:
    """Labels of the golden rows and both models' predictions. `champion_version` is None in a cold start.

    `clusters`: each row's entity as a number, where rows of one entity repeat (negative: unknown, a row alone).
    `k`: the challenger is the k-th one judged on these golden rows, from 1 on.
    """

    problem: Problem
    metric: str
    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    challenger: Predictions | None = None
    champion: Predictions | None = None
    champion_version: int | None = None
    unlabelled: int = 0
    clusters: NDArray[Any] | None = None
    k: int = 1
    series: Series | None = None


def too_few(facts: Facts, truth: NDArray[Any]) -> str | None:
    """Return why there are too few rows, or None. Rows of one entity, or of one point in time, count once."""
    units = units_of(facts.clusters, facts.series, len(truth))
    codes = units.codes
    what = "golden rows" if codes is None else f"{units.name} among the golden rows"
    each = np.arange(len(truth)) if codes is None else codes
    found = len(np.unique(each))
    if found < FEWEST_ROWS:
        return f"underpowered: {found} {what} with labels; at least {FEWEST_ROWS} are needed"
    classes: NDArray[Any] = np.array([])
    if facts.problem == "binary":
        classes = np.array([0, 1])
    elif facts.metric in ("f1", "roc_auc_ovr"):  # all classes have equal weight, however rare
        classes = np.unique(truth)
    counts = [len(np.unique(each[truth == number])) for number in classes]
    if counts and min(counts) < FEWEST_OF_A_CLASS:
        which = "the rarer class" if facts.problem == "binary" else f"class {classes[int(np.argmin(counts))]}"
        return f"underpowered: {min(counts)} {what} of {which}; at least {FEWEST_OF_A_CLASS} are needed"
    return None


def percent(alpha: float) -> str:
    return f"{100 * (1 - alpha):.4g} %"


def interval(found: Estimate) -> dict[str, Any]:
    """Return the parts of an estimate, for the evidence."""
    details = {"se": found.se, "lower": found.lower, "upper": found.upper, "method": found.method}
    if found.entities is not None:
        details["entities"] = found.entities
    if found.units.length is not None:
        details["blocks"] = {"points": found.units.count, "length": found.units.length}
    if found.draws is not None:
        details["bootstrap"] = {"draws": bootstrap.DRAWS, "seed": bootstrap.SEED}
    return details


def verdict(
    facts: Facts,
    outcome: Outcome,
    reason: str,
    observed: float,
    bound: float,
    margin: float | None,
    details: dict[str, Any],
    metric: str | None = None,
) -> GateVerdict:
    about = {"champion_version": facts.champion_version, "unlabelled": facts.unlabelled}
    return GateVerdict(
        gate=GATE,
        outcome=outcome,
        reason=reason,
        metric=metric or facts.metric,
        observed=observed,
        bound=bound,
        margin=margin,
        n=0 if facts.truth is None else len(facts.truth),
        details=details | about,
    )


def undecided(facts: Facts, reason: str) -> GateVerdict:
    n = 0 if facts.truth is None else len(facts.truth)
    return GateVerdict(gate=GATE, outcome=Outcome.INCONCLUSIVE, reason=reason, metric=facts.metric, n=n)
