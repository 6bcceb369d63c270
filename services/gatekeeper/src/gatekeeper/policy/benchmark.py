"""The verdict of a benchmark: is the champion still better than a trivial baseline on the newest labelled rows?

A baseline is fitted to the rows that it is measured on: it is the best of its kind there, which favours it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import Outcome
from contracts.forecasts import quantile_of
from contracts.metrics import METRICS, Problem
from gatekeeper.policy import compared
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Difference, Predictions, Series, Unmeasurable, direction

ALPHA = 0.05
"""One-sided error rate of each bound, where the policy states none."""

FREQUENCIES, LAST_VALUE = "class frequencies", "last value of the entity"


@dataclass(frozen=True, eq=False)
class Facts:
    """The champion on n labelled rows that it was not trained on.

    `classes`: their names in the order of the scores; `clusters` and `series` as for the gates. `expected`: the metric
    on the golden rows when it was promoted.
    """

    problem: Problem
    metric: str
    truth: NDArray[Any]
    champion: Predictions
    champion_version: int
    classes: tuple[Any, ...] | None = None
    clusters: NDArray[Any] | None = None
    series: Series | None = None
    expected: float | None = None
    alpha: float = ALPHA


@dataclass(frozen=True, eq=False)
class Baseline:
    """A trivial model. `rows`: a mask (n,) of the rows that it has a prediction for; None: all."""

    name: str
    answers: Predictions
    rows: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Compared:
    """The champion's gain over one baseline: positive if it is better; `first` is the champion's value."""

    name: str
    found: Difference


@dataclass(frozen=True)
class Verdict:
    """Passed: the champion is shown to be better than every baseline. Failed: it is not, an alert. Inconclusive:
    unknown. `strongest`: the baseline that the champion gains least on."""

    outcome: Outcome
    reason: str
    baselines: tuple[Compared, ...] = ()
    strongest: Compared | None = None


def decide(facts: Facts) -> Verdict:
    """Compare with the baselines. Every one must be beaten, so that their number costs no α."""
    about = compared.Facts(facts.problem, facts.metric, clusters=facts.clusters, series=facts.series)
    if len(facts.truth) == 0:
        return Verdict(Outcome.INCONCLUSIVE, "there are no labelled rows that the champion was not trained on")
    if few := compared.too_few(about, facts.truth):
        return Verdict(Outcome.INCONCLUSIVE, few)
    try:
        found = tuple(_compared(facts, baseline) for baseline in baselines(facts))
    except Unmeasurable as error:
        return Verdict(Outcome.INCONCLUSIVE, f"{facts.metric}: {error}")
    strongest = min(found, key=lambda each: each.found.value)
    outcome, how = _judged(facts, strongest.found, all(each.found.lower > 0 for each in found))
    return Verdict(outcome, f"{_against(facts, strongest)}: {how}", found, strongest)


def baselines(facts: Facts) -> tuple[Baseline, ...]:
    """Return the best constant prediction by the metric and, for numbers with an order, the value before."""
    n, truth = len(facts.truth), facts.truth
    if facts.problem != "regression":
        return (_of_classes(facts),)
    constants = {
        "mean": float(np.mean(truth)),
        "median": float(np.median(truth)),
        **_others(facts.metric, np.asarray(truth, dtype=np.float64)),
    }
    found = [_best(facts, [Baseline(name, Predictions(np.full(n, value))) for name, value in constants.items()])]
    known = None if facts.series is None else ~np.isnan(facts.series.before)
    if facts.series is not None and known is not None and known.any():
        found.append(Baseline(LAST_VALUE, Predictions(np.where(known, facts.series.before, 0.0)), known))
    return tuple(found)


def _of_classes(facts: Facts) -> Baseline:
    truth, n = facts.truth, len(facts.truth)
    known, counts = np.unique(truth[truth >= 0], return_counts=True)
    if not len(known):
        raise Unmeasurable("no row has a label that is a class of the model")
    width = max(len(facts.classes or ()), int(known.max()) + 1, 2)
    shares = np.zeros(width)
    shares[known] = counts / counts.sum()
    scores = np.full(n, shares[1]) if facts.problem == "binary" else np.tile(shares, (n, 1))
    if METRICS[facts.metric].of_scores:
        return Baseline(FREQUENCIES, Predictions(np.full(n, int(shares.argmax())), scores))
    each = [Baseline(f"always {_name(facts, code)}", Predictions(np.full(n, code), scores)) for code in known.tolist()]
    return _best(facts, each)


def _others(metric: str, truth: NDArray[np.float64]) -> dict[str, float]:
    """Constants that suit one metric: a quantile of the labels; the small values that relative errors prefer."""
    if (quantile := quantile_of(metric)) is not None:
        return {f"quantile {quantile:g}": float(np.quantile(truth, quantile, method="inverted_cdf"))}
    if metric in ("mape", "smape"):
        return {f"quantile {level:g}": float(np.quantile(truth, level)) for level in (0.1, 0.2, 0.3, 0.4)}
    return {}


def _best(facts: Facts, among: list[Baseline]) -> Baseline:
    """Return the best by the metric. Raises Unmeasurable when it is defined for none."""
    values, why = {}, "it is not defined for a constant prediction"
    for baseline in among:
        try:
            value = estimates.value(facts.metric, facts.truth, baseline.answers, facts.series)
        except Unmeasurable as error:
            why = str(error)
            continue
        if np.isfinite(value):
            values[baseline.name] = direction(facts.metric) * value
    if not values:
        raise Unmeasurable(why)
    best = max(values, key=lambda name: values[name])
    return next(baseline for baseline in among if baseline.name == best)


def _compared(facts: Facts, baseline: Baseline) -> Compared:
    rows = np.ones(len(facts.truth), dtype=np.bool_) if baseline.rows is None else baseline.rows
    return Compared(
        baseline.name,
        estimates.difference(
            facts.metric,
            facts.truth[rows],
            facts.champion.only(rows),
            baseline.answers.only(rows),
            facts.alpha,
            None if facts.clusters is None else facts.clusters[rows],
            None if facts.series is None else facts.series.only(rows),
        ),
    )


def _judged(facts: Facts, found: Difference, beats_all: bool) -> tuple[Outcome, str]:
    if beats_all:
        return Outcome.PASSED, "better"
    if found.value <= 0:
        return Outcome.FAILED, "not better"
    # A weak model on few rows: no alert unless these rows would show the gain that it had when it was promoted.
    had = None if facts.expected is None else direction(facts.metric) * (facts.expected - found.second)
    needed = None if had is None else estimates.rows_for_power(found.n, found.se, had, facts.alpha)
    if needed is not None and found.n < needed:
        return Outcome.INCONCLUSIVE, f"not shown to be better; {needed} rows would show the gain of {had:.4f} it had"
    return Outcome.FAILED, "not shown to be better"


def _against(facts: Facts, against: Compared) -> str:
    found, champion = against.found, f"champion v{facts.champion_version}"
    return (
        f"{facts.metric} {found.first:.4f} of {champion} against {found.second:.4f} of the baseline ({against.name}) on"
        f" {found.n} rows, gain {found.value:+.4f} ({compared.percent(facts.alpha)} bounds {found.lower:+.4f} to"
        f" {found.upper:+.4f})"
    )


def _name(facts: Facts, code: int) -> str:
    return str(facts.classes[code]) if facts.classes and code < len(facts.classes) else str(code)
