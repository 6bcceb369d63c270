"""The performance of a window: its labelled rows against the version's baseline and what the policy accepts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from contracts import DriftKind, Outcome
from contracts.drift_settings import Budget, MetricDrop, allowed_drop, drop_in_words
from contracts.event import Value
from contracts.metrics import METRICS
from drift.policy.estimates import BOUNDED, Uncertainty
from drift.policy.sequential import Evidence, advanced, interval, limit_of_baseline, needed, z_value
from drift.policy.windows import MINIMUM_ROWS, Verdict

DROP = "metric_drop"
"""The test against the baseline; `alert <metric>` are those against a value."""


@dataclass(frozen=True)
class Labelled:
    """A metric on a window's labelled rows; when it could not be computed, `observed` is None.

    `why` says what could not be read or computed.
    """

    rows: int
    labelled: int
    classes: int | None
    observed: float | None
    why: str = ""
    uncertainty: Uncertainty | None = None


@dataclass(frozen=True)
class Limit:
    """The worst value of a metric that is no drift, and where it comes from.

    `allowance`: by how much more the metric must be worse, because the baseline is an estimate.
    """

    test: str
    metric: str | None
    bound: float | None
    words: str
    allowance: float = 0.0
    note: str = ""

    @property
    def tested(self) -> float | None:
        if self.bound is None or self.metric is None:
            return None
        return self.bound - self.allowance if METRICS[self.metric].greater_is_better else self.bound + self.allowance


class Tested(Value):
    """A metric of a window with its interval and the evidence of its test."""

    test: str
    metric: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    se: float | None = None
    units: int | None = None
    of: str | None = None
    """What the units are: rows, entities, blocks of time, groups."""
    bound: float | None = None
    allowance: float = 0.0
    evidence: float | None = None
    needed: float | None = None
    windows: int | None = None
    """Over which the evidence was gathered."""
    alarms: bool = False
    n: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Judged:
    """The verdict on a window, each test, and the state of the tests after it."""

    verdict: Verdict
    metric: str | None
    tests: tuple[Tested, ...] = ()
    states: Mapping[str, Evidence] = field(default_factory=dict)

    @property
    def restarted(self) -> dict[str, Evidence]:
        """The states without those that alarmed: after an alarm that was announced, a test begins again."""
        alarmed = {test.test for test in self.tests if test.alarms}
        return {test: state for test, state in self.states.items() if test not in alarmed}


def drop_limit(
    metric: str | None, baseline: float | None, drop: MetricDrop, uncertainty: Uncertainty | None = None
) -> Limit:
    """Return the limit from the baseline. `uncertainty`: of the baseline; None: it is taken as exact."""
    if metric is None or metric not in METRICS or baseline is None or not math.isfinite(baseline):
        return Limit(DROP, metric, None, "")
    worst = allowed_drop(drop, baseline)
    bound = baseline - worst if METRICS[metric].greater_is_better else baseline + worst
    words = f"baseline {baseline:.4f}, may be worse by {drop_in_words(drop)}"
    if uncertainty is None:
        return Limit(DROP, metric, bound, words, note="the baseline is taken as exact")
    allowance = limit_of_baseline(uncertainty.se, uncertainty.units)
    note = f"and by {allowance:.4f} more, as the baseline has a standard error of {uncertainty.se:.4f}"
    return Limit(DROP, metric, bound, words, allowance, note)


def alert_limits(alerts: Mapping[str, float]) -> list[Limit]:
    """Return the limits that a policy states as worst acceptable values."""
    return [Limit(f"alert {name}", name, worst, "worst acceptable value") for name, worst in sorted(alerts.items())]


def judge_performance(
    found: Sequence[tuple[Limit, Labelled]], states: Mapping[str, Evidence], budget: Budget
) -> Judged:
    """Judge a window by the tests of a version, which share the budget: drift when the evidence of one suffices.

    `found`: the limits, that of the baseline first, each with its metric on the window; `states`: before this window. A
    test that this window says nothing for keeps its state.
    """
    enough = needed(1 / budget.share, len(found), uncertain_baseline=any(limit.allowance for limit, _ in found))
    after, tests = dict(states), list[Tested]()
    for limit, window in found:
        tested, state = _test(limit, window, states.get(limit.test), enough)
        tests.append(tested)
        if state is not None:
            after[limit.test] = state
    alarms = sorted((test for test in tests if test.alarms), key=lambda test: -(test.evidence or 0.0))
    decisive = alarms[0] if alarms else tests[0]
    if alarms:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.INCONCLUSIVE if any(test.evidence is None for test in tests) else Outcome.PASSED
    others = [test for test in tests if test is not decisive]
    verdict = Verdict(
        DriftKind.PERFORMANCE,
        outcome,
        "; ".join(test.reason for test in (decisive, *others)),
        decisive.n,
        decisive.observed,
        decisive.bound,
        decisive.low,
        decisive.high,
    )
    return Judged(verdict, decisive.metric or None, tuple(tests), after)


def _test(limit: Limit, window: Labelled, before: Evidence | None, enough: float) -> tuple[Tested, Evidence | None]:
    metric, bound, tested = limit.metric, limit.bound, limit.tested
    nothing = Tested(
        test=limit.test,
        metric=metric or "",
        observed=_finite(window.observed),
        bound=bound,
        allowance=limit.allowance,
        n=window.labelled,
    )
    missing = _cannot_judge(window, limit)
    of = window.uncertainty
    if missing is not None or metric is None or bound is None or tested is None or window.observed is None or not of:
        return nothing.model_copy(update={"reason": missing or ""}), None
    value, greater = window.observed, METRICS[metric].greater_is_better
    state = advanced(before, tested, z_value(tested - value if greater else value - tested, of.se, of.units))
    alarms = state.value >= enough
    low, high = _interval(metric, value, of)
    worse = value < bound if greater else value > bound
    side = ("below" if greater else "above") if worse else "within"
    reason = (
        f"{metric} {value:.4f} (95 % interval {low:.4f} to {high:.4f}) on {window.labelled:,} labelled rows is {side}"
        f" its bound {bound:.4f} ({limit.words}{', ' if limit.note else ''}{limit.note}):"
        f" {_in_words(state, enough, alarms=alarms)}{_also(window)}"
    )
    update = {
        "low": low,
        "high": high,
        "se": of.se,
        "units": of.units,
        "of": of.of,
        "evidence": state.value,
        "needed": enough,
        "windows": state.windows,
        "alarms": alarms,
        "reason": reason,
    }
    return nothing.model_copy(update=update), state


def _in_words(state: Evidence, enough: float, *, alarms: bool) -> str:
    windows = "this window" if state.windows == 1 else f"{state.windows} windows"
    evidence = f"evidence {state.value:.3g} of {enough:.3g} from {windows}"
    return f"worse, by {evidence}" if alarms else f"not shown to be worse, by {evidence}"


def _interval(metric: str, value: float, of: Uncertainty) -> tuple[float, float]:
    low, high = interval(value, of.se, of.units)
    return (max(0.0, low), min(1.0, high)) if metric in BOUNDED else (low, high)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _cannot_judge(window: Labelled, limit: Limit) -> str | None:
    metric = limit.metric
    if metric is None:
        return "no metric: neither the promotion nor a policy names one"
    if metric not in METRICS:
        return f"unknown metric {metric!r}; known: {', '.join(sorted(METRICS))}"
    if limit.bound is None:
        return f"no baseline: the promotion did not carry {metric} on the golden rows"
    if window.labelled < MINIMUM_ROWS:
        return f"not enough labelled rows: {window.labelled} of {window.rows}, at least {MINIMUM_ROWS}{_also(window)}"
    if window.classes is not None and window.classes < 2:
        return f"only one class among {window.labelled} labelled rows: {metric} cannot be judged{_also(window)}"
    if window.observed is None or not math.isfinite(window.observed):
        return f"{metric} could not be computed: {window.why or 'not a number'}"
    if window.uncertainty is None or not math.isfinite(window.uncertainty.se):
        return f"{metric} {window.observed:.4f} has no standard error on {window.labelled} labelled rows{_also(window)}"
    return None


def _also(window: Labelled) -> str:
    return f"; {window.why}" if window.why else ""
