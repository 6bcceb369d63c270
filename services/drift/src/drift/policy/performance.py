"""The performance of a window: its labelled rows against the baseline of the version."""

from __future__ import annotations

import math
from dataclasses import dataclass

from contracts import DriftKind, Outcome
from contracts.drift_settings import MetricDrop, allowed_drop, drop_in_words
from contracts.metrics import METRICS
from drift.policy.windows import MINIMUM_ROWS, Verdict


@dataclass(frozen=True)
class Labelled:
    """Performance on a window's labelled rows; when the metric could not be computed, `observed` is None.

    `why` says what could not be read or computed.
    """

    rows: int
    labelled: int
    classes: int | None
    observed: float | None
    why: str = ""


def judge_performance(window: Labelled, metric: str | None, baseline: float | None, drop: MetricDrop) -> Verdict:
    """Report drift when the labelled rows' metric is worse than the baseline by more than `drop`, in its direction."""
    bound = None
    if metric is not None and metric in METRICS and baseline is not None and math.isfinite(baseline):
        worst = allowed_drop(drop, baseline)
        bound = baseline - worst if METRICS[metric].greater_is_better else baseline + worst
    missing = _cannot_judge(window, metric, bound)
    if missing is not None or metric is None or bound is None or window.observed is None:
        return Verdict(
            DriftKind.PERFORMANCE, Outcome.INCONCLUSIVE, missing or "", window.labelled, window.observed, bound
        )
    greater_is_better = METRICS[metric].greater_is_better
    worse = window.observed < bound if greater_is_better else window.observed > bound
    side = ("below" if greater_is_better else "above") if worse else "within"
    reason = (
        f"{metric} {window.observed:.4f} on {window.labelled:,} labelled rows is {side} its bound {bound:.4f} "
        f"(baseline {baseline:.4f}, may be worse by {drop_in_words(drop)}){_also(window)}"
    )
    outcome = Outcome.FAILED if worse else Outcome.PASSED
    return Verdict(DriftKind.PERFORMANCE, outcome, reason, window.labelled, window.observed, bound)


def _cannot_judge(window: Labelled, metric: str | None, bound: float | None) -> str | None:
    if metric is None:
        return "no metric: neither the promotion nor a policy names one"
    if metric not in METRICS:
        return f"unknown metric {metric!r}; known: {', '.join(sorted(METRICS))}"
    if bound is None:
        return f"no baseline: the promotion did not carry {metric} on the golden rows"
    if window.labelled < MINIMUM_ROWS:
        return f"not enough labelled rows: {window.labelled} of {window.rows}, at least {MINIMUM_ROWS}{_also(window)}"
    if window.classes is not None and window.classes < 2:
        return f"only one class among {window.labelled} labelled rows: {metric} cannot be judged{_also(window)}"
    if window.observed is None or not math.isfinite(window.observed):
        return f"{metric} could not be computed: {window.why or 'not a number'}"
    return None


def _also(window: Labelled) -> str:
    return f"; {window.why}" if window.why else ""
