"""The performance of a window without labels, estimated from the predictions (a proxy).

Classifiers: confidence-based performance estimation (CBPE). With the calibrated probability p of the positive class,
each row counts as a positive with weight p and as a negative with weight 1 − p; the metric of these weighted rows is
the estimate. NannyML documentation, "How it works: Estimation of performance of the monitored model"; J. Białek,
W. Kuberski, N. Perrakis, A. Bifet, "Estimating Model Performance Under Covariate Shift Without Labels",
arXiv:2401.08348, 2024. Regression: the loss of each row is predicted by a model of losses (direct loss estimation,
DLE, of the same documentation), and averaged.

Neither can see concept drift: that the same features have come to mean another label. `corrected` therefore takes
into account by how much earlier estimates were wrong.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from contracts import DriftKind, Outcome
from contracts.drift_settings import MetricDrop, allowed_drop, drop_in_words
from contracts.metrics import METRICS
from drift.policy.predicted import THRESHOLD
from drift.policy.windows import Verdict

Floats: TypeAlias = NDArray[np.float64]

CBPE, ERROR_MODEL = "CBPE", "error model"
OF_CLASSES = frozenset({"roc_auc", "pr_auc", "accuracy", "f1", "log_loss", "brier"})
SMALLEST_PROBABILITY = 1e-15
NEWEST_ERRORS = 10
"""Errors of earlier estimates that are taken into account."""
PRIOR_ERRORS = 5
"""The weight of "no error", in windows: a few errors are noise for the most part."""
Z = 1.645
"""Both ends of an interval of 90 %."""
BLIND = (
    "An estimate without labels cannot see that the same features have come to mean something else (concept drift)"
    " before labels of earlier windows have shown it."
)


@dataclass(frozen=True)
class Proxy:
    """The estimate of a metric, with its standard error and an interval of 90 %.

    `raw`: before it was corrected by the `errors` of earlier estimates.
    """

    metric: str
    estimated: float
    se: float
    low: float
    high: float
    raw: float
    method: str
    errors: int = 0


def estimate_of_classes(metric: str, score: Floats, probability: Floats) -> Proxy | None:
    """Return the estimate by CBPE; None where it is not defined.

    `score`: of the positive class, as predicted, (n,); `probability`: the calibrated one, (n,). The standard error is
    that of the metric on n labelled rows: roc_auc by J. Hanley and B. McNeil, Radiology 143, 1982; pr_auc as a
    proportion of the positive rows, K. Boyd, K. Eng and C. Page, ECML PKDD 2013; f1 by the delta method.
    """
    n, p = len(score), np.clip(probability, 0.0, 1.0)
    positives, negatives = float(p.sum()), float((1 - p).sum())
    if metric not in OF_CLASSES or n == 0 or min(positives, negatives) <= 0:
        return None
    value, variance = _ESTIMATES[metric](score, p)
    return _proxy(metric, value, math.sqrt(max(0.0, variance)), CBPE)


def estimate_of_losses(metric: str, losses: Floats, residual_variance: float) -> Proxy | None:
    """Return the estimate of a mean loss. `losses`: predicted, (n,), of rmse squared errors; None without rows.

    `residual_variance`: of a row's loss around its prediction.
    """
    n = len(losses)
    if n == 0:
        return None
    mean = float(losses.mean())
    se = math.sqrt((float(losses.var()) + max(0.0, residual_variance)) / n)
    if metric == "rmse":
        root = math.sqrt(max(0.0, mean))
        return _proxy(metric, root, se / (2 * root) if root else 0.0, ERROR_MODEL)
    return _proxy(metric, mean, se, ERROR_MODEL)


def corrected(proxy: Proxy, errors: Sequence[float]) -> Proxy:
    """Correct an estimate by the mean of the newest errors (observed − estimated), shrunk towards none.

    The interval then has at least the spread of these errors.
    """
    newest = np.asarray(errors, dtype=np.float64)[-NEWEST_ERRORS:]
    if not len(newest):
        return proxy
    known = len(newest)
    shift = float(newest.sum()) / (known + PRIOR_ERRORS)
    spread = float(newest.std(ddof=1)) if known >= 3 else 0.0
    each = max(proxy.se, spread)
    se = each * math.sqrt(1 + 1 / (known + PRIOR_ERRORS))
    value = proxy.raw + shift
    return replace(proxy, estimated=value, se=se, low=value - Z * se, high=value + Z * se, errors=known)


def loss(proxy: Proxy, baseline: float) -> float:
    """Return by how much the estimate is worse than the baseline, in the metric's unit; negative: better."""
    return baseline - proxy.estimated if METRICS[proxy.metric].greater_is_better else proxy.estimated - baseline


def judge_proxy(rows: int, proxy: Proxy, baseline: float, drop: MetricDrop) -> Verdict:
    """Report drift when the estimate is beyond the bound of the policy, and its whole interval worse than the baseline.

    The verdict decides nothing alone.
    """
    greater = METRICS[proxy.metric].greater_is_better
    worst = allowed_drop(drop, baseline)
    bound = baseline - worst if greater else baseline + worst
    beyond = proxy.estimated < bound if greater else proxy.estimated > bound
    is_worse = proxy.high < baseline if greater else proxy.low > baseline
    side = ("below" if greater else "above") if beyond else "within"
    reason = (
        f"{proxy.metric} is estimated as {proxy.estimated:.4f} ({proxy.low:.4f} to {proxy.high:.4f}) on {rows:,} rows"
        f" without labels ({in_words(proxy)}), {side} its bound {bound:.4f} (baseline {baseline:.4f}, may be worse by"
        f" {drop_in_words(drop)})"
    )
    if beyond and not is_worse:
        reason += "; it may be as good as the baseline"
    outcome = Outcome.FAILED if beyond and is_worse else Outcome.PASSED
    return Verdict(DriftKind.PROXY, outcome, reason, rows, proxy.estimated, bound)


def in_words(proxy: Proxy) -> str:
    if not proxy.errors:
        return proxy.method
    return f"{proxy.method}, corrected by {proxy.estimated - proxy.raw:+.4f} for {proxy.errors} earlier estimates"


def _proxy(metric: str, value: float, se: float, method: str) -> Proxy | None:
    if not (math.isfinite(value) and math.isfinite(se)):
        return None
    return Proxy(metric, value, se, value - Z * se, value + Z * se, value, method)


def _roc_auc(score: Floats, p: Floats) -> tuple[float, float]:
    """Mann-Whitney's statistic of the weighted rows; ties count half."""
    positive, negative = _at_each_score(score, p)
    m, n = positive.sum(), negative.sum()
    below = np.cumsum(negative) - negative
    auc = float((positive * (below + negative / 2)).sum() / (m * n))
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (auc * (1 - auc) + (m - 1) * (q1 - auc**2) + (n - 1) * (q2 - auc**2)) / (m * n)
    return auc, float(variance)


def _pr_auc(score: Floats, p: Floats) -> tuple[float, float]:
    """Average precision: the precision at each score, weighted by the increase of the recall."""
    positive, negative = (side[::-1] for side in _at_each_score(score, p))
    hits, taken = np.cumsum(positive), np.cumsum(positive + negative)
    value = float((hits / np.maximum(taken, SMALLEST_PROBABILITY) * positive).sum() / positive.sum())
    return value, value * (1 - value) / float(positive.sum())


def _accuracy(score: Floats, p: Floats) -> tuple[float, float]:
    right = np.where(score >= THRESHOLD, p, 1 - p)
    value = float(right.mean())
    return value, value * (1 - value) / len(p)


def _f1(score: Floats, p: Floats) -> tuple[float, float]:
    """2 TP / (2 TP + FP + FN), with expected counts."""
    said = score >= THRESHOLD
    hits, wrong = float(p[said].sum()), float((1 - p)[said].sum() + p[~said].sum())
    both = 2 * hits + wrong
    if both <= 0:
        return 0.0, 0.0
    # d f1 = (2·wrong·d hits − 2·hits·d wrong) / both²; a row adds one of the two, or nothing.
    of_positive = np.where(said, 2 * wrong, -2 * hits) / both**2
    of_negative = np.where(said, -2 * hits, 0.0) / both**2
    mean = p * of_positive + (1 - p) * of_negative
    return 2 * hits / both, float((p * of_positive**2 + (1 - p) * of_negative**2 - mean**2).sum())


def _log_loss(score: Floats, p: Floats) -> tuple[float, float]:
    said = np.clip(score, SMALLEST_PROBABILITY, 1 - SMALLEST_PROBABILITY)
    return _mean_loss(p, -np.log(said), -np.log(1 - said))


def _brier(score: Floats, p: Floats) -> tuple[float, float]:
    said = np.clip(score, 0.0, 1.0)
    return _mean_loss(p, (1 - said) ** 2, said**2)


def _mean_loss(p: Floats, of_positive: Floats, of_negative: Floats) -> tuple[float, float]:
    value = float((p * of_positive + (1 - p) * of_negative).mean())
    squares = float((p * of_positive**2 + (1 - p) * of_negative**2).mean())
    return value, (squares - value**2) / len(p)


def _at_each_score(score: Floats, p: Floats) -> tuple[Floats, Floats]:
    """Return the weights of positive and of negative rows at each distinct score, the smallest score first."""
    _, places = np.unique(score, return_inverse=True)
    positive: Floats = np.bincount(places, weights=p).astype(np.float64)
    negative: Floats = np.bincount(places, weights=1 - p).astype(np.float64)
    return positive, negative


_ESTIMATES = {
    "roc_auc": _roc_auc,
    "pr_auc": _pr_auc,
    "accuracy": _accuracy,
    "f1": _f1,
    "log_loss": _log_loss,
    "brier": _brier,
}
