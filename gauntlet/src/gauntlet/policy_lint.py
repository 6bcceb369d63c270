"""Warnings of known problems of a policy, with their frequency and the number of rows that avoids them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts.custom_metrics import CustomMetricError, load
from contracts.gate_settings import Delta, Minimum, Performance
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from gauntlet.drift_lint import drift_warnings
from gauntlet.power_analysis import (
    CLOSELY,
    LOOSELY,
    NEAR_MISS,
    NORMAL,
    ORDINARY,
    any_passes,
    equal_passes,
    near_miss_passes,
    rows_needed,
)
from gauntlet.rollout_lint import rollout_warnings

Sentence = tuple[str, str]

POWER_Z = 0.84
FEW_ROWS = 500
FEWEST_ROWS = 30
SELDOM = 0.1  # percent
LARGE_ALPHA = 0.2
LARGE_MARGIN = 0.1
MANY_CHALLENGERS = 20
RARE, ACCURACY_OF_RARE = 0.05, 0.96
GATE = "gates.performance"


def warnings(policy: ModelPolicy, rate: float | None = None) -> list[Sentence]:
    """Return (subject, sentence) for what in `policy` promotes what it should not or nothing, and never alarms.

    `rate`: entities a second in production, where it is known.
    """
    return [*_of_gates(policy), *rollout_warnings(policy, rate), *drift_warnings(policy)]


def _of_gates(policy: ModelPolicy) -> list[Sentence]:
    gate = policy.gates.performance
    if not gate:
        return [(GATE, "Off: a worse model is promoted like a better one, whatever the golden rows say.")]
    functions = [("metric", f"{problem}.") for name in policy.metrics if (problem := _of_function(name))]
    rows = _rows(policy, gate) if policy.states_metric else ()  # how many are needed depends on the metric
    return [*functions, *_rule(policy, gate), *_levels(gate), *rows]


def _of_function(metric: str) -> str | None:
    """Return why a metric that is a function of the user cannot be imported."""
    if not METRICS[metric].is_function:
        return None
    try:
        load(metric)
    except CustomMetricError as error:
        return f"{error}. Until then no version is promoted: its verdict is Inconclusive"
    return None


def assumptions() -> str:
    return (
        f"Computed for models of AUC (accuracy) {ORDINARY:g} whose scores correlate by {LOOSELY:g} to {CLOSELY:g}, "
        "half of the rows positive. With fewer positives more rows are needed."
    )


def _rule(policy: ModelPolicy, gate: Performance) -> Iterator[Sentence]:
    where = f"{GATE}.rule"
    match gate.rule:
        case Delta(delta=delta) if delta <= 0:
            yield where, f"delta {delta:g} promotes models that are worse, by up to {-delta:g} each time."
        case Delta(delta=delta):
            yield where, _delta(policy, gate, delta)
        case Minimum(minimum=minimum):
            said = "The champion is not looked at: a worse challenger replaces it as long as it reaches the minimum."
            yield where, said + "".join(_near_misses(policy, minimum))
        case "non_inferior" if policy.metric == "accuracy" and policy.problem == "binary":
            yield "metric", _rare_class(gate)


def _delta(policy: ModelPolicy, gate: Performance, delta: float) -> str:
    rows, metric = policy.golden.max_rows, policy.metric
    z = NORMAL.inv_cdf(1 - gate.alpha)
    few, many = (rows_needed(metric, delta, z, correlation) for correlation in (CLOSELY, LOOSELY))
    if few is None or many is None:
        return (
            f"delta {delta:g} compares what was measured as if it were certain. How often an equal model passes "
            f"depends on the scale of {metric}; each verdict says it."
        )
    said = (
        f"delta {delta:g} with {rows:,} golden rows promotes an equal model {_often(metric, delta, rows)} of the time"
    )
    if rows > FEW_ROWS:
        said += f", with {FEW_ROWS} of them {_often(metric, delta, FEW_ROWS)}"
    needed = f"for {gate.alpha:.0%} you need {_rounded(few)} to {_rounded(many)} rows"
    return f"{said}; {needed}. `superior` needs no such guess."


def _near_misses(policy: ModelPolicy, minimum: dict[str, float]) -> Iterator[str]:
    rows = policy.golden.max_rows
    for metric, least in minimum.items():
        if (chance := near_miss_passes(metric, least, rows)) is not None:
            missed = f"{metric} {least - NEAR_MISS:g} reaches {least:g}"
            yield f" With {rows:,} golden rows a model of true {missed} {chance:.0%} of the time."


def _rare_class(gate: Performance) -> str:
    margin = gate.margin_share * (ACCURACY_OF_RARE - (1 - RARE))
    z = NORMAL.inv_cdf(1 - gate.alpha) + POWER_Z
    needed = rows_needed("accuracy", margin, z, CLOSELY, ACCURACY_OF_RARE)
    assert needed is not None, "accuracy has a scale"
    return (
        "If one class is rare, a constant answer is nearly as accurate as a model and the margin almost zero: with "
        f"{RARE:.0%} positive rows and a champion of accuracy {ACCURACY_OF_RARE:g} it is {margin:.4f}, and "
        f"{_rounded(needed)} rows are needed. roc_auc, pr_auc and log_loss do not have that problem."
    )


def _levels(gate: Performance) -> Iterator[Sentence]:
    compares = not isinstance(gate.rule, Minimum | Delta)
    superior = gate.rule == "superior"
    if gate.alpha >= LARGE_ALPHA:
        whom = f"a challenger that is {'equal' if superior else 'worse by the whole margin'}"
        whom = whom if compares else "a first model that is just below the floor"
        often = f"is promoted in {gate.alpha:.0%} of all cases; 5% is usual."
        yield f"{GATE}.alpha", f"{gate.alpha:g}: {whom} {often}"
    if compares and not gate.alpha_spending:
        chance = any_passes(gate.alpha, MANY_CHALLENGERS)
        which, found = ("equal to", "better") if superior else ("worse by the margin than", "not inferior")
        said = (
            f"Off: of {MANY_CHALLENGERS} challengers on the same golden rows, all {which} the champion, at least one "
            f"is found to be {found} {chance:.0%} of the time."
        )
        yield f"{GATE}.alpha_spending", said
    if gate.rule == "non_inferior" and gate.margin_share >= LARGE_MARGIN:
        left = (1 - gate.margin_share) ** 5
        said = (
            f"{gate.margin_share:g}: each promotion may lose {gate.margin_share:.0%} of what the champion is better "
            f"than a constant answer; after five of them {left:.0%} may be left."
        )
        yield f"{GATE}.margin_share", said
    if not gate.floor and not isinstance(gate.rule, Minimum):
        said = (
            "Missing: a first candidate that is surely better than a constant answer, however little, becomes "
            "champion, and the next ones are compared with it."
        )
        yield f"{GATE}.floor", said


def _rows(policy: ModelPolicy, gate: Performance) -> Iterator[Sentence]:
    most, metric, where = policy.golden.max_rows, policy.metric, "golden.max_rows"
    if most < FEWEST_ROWS:
        yield where, f"{most}: fewer than {FEWEST_ROWS} golden rows decide nothing; no candidate is ever promoted."
        return
    if isinstance(gate.rule, Minimum | Delta):
        return
    alpha = gate.alpha * 6 / math.pi**2 if gate.alpha_spending else gate.alpha  # of the first challenger, the largest
    margin = gate.margin_share * (ORDINARY - 0.5)
    needed = rows_needed(metric, margin, NORMAL.inv_cdf(1 - alpha) + POWER_Z, CLOSELY)
    if needed is not None and most < needed:
        said = (
            f"{most:,} rows are too few for the margin: below a champion of {metric} {ORDINARY:g} it is {margin:.4f}, "
            f"which needs {_rounded(needed)} even for models that correlate by {CLOSELY:g}. An equal challenger stays "
            "Inconclusive; only one that is clearly better or worse is decided."
        )
        yield where, said


def _often(metric: str, delta: float, rows: int) -> str:
    low, high = (100 * (equal_passes(metric, delta, rows, correlation) or 0.0) for correlation in (CLOSELY, LOOSELY))
    if high < SELDOM:
        return f"less than {SELDOM:g} %"
    return f"about {low:.2g} to {high:.2g} %" if low >= SELDOM else f"up to {high:.2g} %"


def _rounded(rows: int) -> str:
    """Round to two digits: the assumptions allow no third."""
    digits = max(0, len(str(rows)) - 2)
    return f"{math.ceil(rows / 10**digits) * 10**digits:,}"
