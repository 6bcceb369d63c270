"""The metrics: value, influence of each row, and value of the best constant prediction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.custom_metrics import CustomMetricError, compute
from contracts.forecasts import pinball, quantile_of, same_direction, smape
from contracts.metrics import METRICS
from gatekeeper.policy.statistics.delong import Floats

SMALLEST_PROBABILITY = 1e-15  # log loss of a certain, wrong prediction is large, not infinite


class Unmeasurable(ValueError):
    """The metric is not defined on this data; the message gives the reason."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of a model on n rows.

    Classification: `labels` are class numbers (0, 1, …; -1 for an unknown class), `scores` the probability of class 1
    (n,) of a binary model or of each class (n, k). Regression: `labels` are the predicted numbers, without scores.
    """

    labels: NDArray[Any]
    scores: Floats | None = None

    def only(self, rows: NDArray[Any]) -> Predictions:
        """Select the predictions on these rows: positions, or a mask."""
        return Predictions(self.labels[rows], None if self.scores is None else self.scores[rows])


@dataclass(frozen=True, eq=False)
class Series:
    """Order of the n rows. `before`: the label of the entity's row before (NaN: none); `scale`: the naive error.

    `at`: the rank of each row's time, equal for equal times, -1 for none; None: bounds do not use the order.
    """

    before: Floats
    scale: float | None
    at: NDArray[np.int64] | None = None

    def only(self, rows: NDArray[Any]) -> Series:
        """Select these rows; what was before them, and the scale, stay those of all golden rows."""
        return Series(self.before[rows], self.scale, None if self.at is None else self.at[rows])


def direction(metric: str) -> int:
    """Return +1 if greater is better, -1 if smaller is."""
    return 1 if METRICS[metric].greater_is_better else -1


def scores_of(answers: Predictions) -> Floats:
    """Return the scores. Raises Unmeasurable if there are none, or one is not finite."""
    if answers.scores is None:
        raise Unmeasurable("the model answers with labels only; this metric needs probabilities")
    return finite(answers.scores)


def one_score_a_row(metric: str, answers: Predictions) -> Floats:
    scores = scores_of(answers)
    if scores.ndim != 1:
        raise Unmeasurable(f"{metric} needs one score a row")
    return scores


def scores_of_each(metric: str, truth: NDArray[Any], answers: Predictions) -> Floats:
    """Return scores (n, k), one column per class. Also raises Unmeasurable if a class has no row (AUC undefined)."""
    scores = scores_of(answers)
    if scores.ndim != 2:
        raise Unmeasurable(f"{metric} needs the scores of every class")
    missing = np.setdiff1d(np.arange(scores.shape[1]), _named(truth, scores))
    if len(missing):
        which, last = ", ".join(map(str, missing)), scores.shape[1] - 1
        raise Unmeasurable(f"no golden row is of class {which} (of 0 to {last}, in the order of the model's classes)")
    return scores


def _named(truth: NDArray[Any], scores: Floats) -> NDArray[np.intp]:
    if truth.min() < 0 or truth.max() >= scores.shape[1]:
        raise Unmeasurable(f"the golden rows hold classes that the model's {scores.shape[1]} scores do not name")
    return truth.astype(np.intp)


def finite(values: NDArray[Any]) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise Unmeasurable("the answers hold NaN or infinity")
    return numbers


def some(n: int) -> int:
    if n == 0:
        raise Unmeasurable("there are no golden rows")
    return n


def hits(truth: NDArray[Any], answers: Predictions) -> NDArray[np.bool_]:
    """Return which rows are predicted correctly; rows of an unknown class never are."""
    return np.asarray((finite(answers.labels) == truth) & (truth >= 0))


def mean_metric(
    metric: str, truth: NDArray[Any], answers: Predictions, series: Series | None = None
) -> tuple[float, Floats]:
    """Return the value and each row's influence: the variance of the value is that of the influences, over n."""
    if metric == "directional_accuracy":
        return _directional_accuracy(truth, answers, series)
    if metric == "mase":
        errors = _absolute_errors(truth, answers) / scale_of(series)
        return float(errors.mean()), errors
    quantile = quantile_of(metric)
    if quantile is not None:
        losses: Floats = pinball(np.asarray(truth, dtype=np.float64), finite(answers.labels), quantile)
        return float(losses.mean()), losses
    measure = _LOSSES.get(metric)
    if measure is None:
        raise Unmeasurable(f"unknown metric {metric!r}")
    some(len(truth))
    losses = measure(truth, answers)
    if metric != "rmse":
        return float(losses.mean()), losses
    value = math.sqrt(float(losses.mean()))
    # Delta method: d√m = dm / 2√m.
    return value, losses / (2 * value) if value > 0 else np.zeros_like(losses)


def value_of(metric: str, truth: NDArray[Any], labels: NDArray[Any], scores: Floats | None) -> float:
    """Return the value of a user's function, which may change the arrays; NaN: it has none. Raises Unmeasurable."""
    try:
        return compute(metric, truth, labels, scores)
    except CustomMetricError as error:
        raise Unmeasurable(str(error)) from error


def trivial(metric: str, truth: NDArray[Any], series: Series | None = None) -> float:
    """Return the metric of the best constant prediction on these rows: the baseline that a useful model beats.

    Of a series, the naive prediction: `mase` 1 by definition, and the direction that is the most frequent.
    """
    some(len(truth))
    if METRICS[metric].is_function:
        return _trivial_of_function(metric, truth)
    if metric == "mase":
        return 1.0
    if metric == "directional_accuracy":
        known, before = _known(series)
        change = np.sign(np.asarray(truth, dtype=np.float64)[known] - before[known])
        return float(max((change == sign).mean() for sign in (-1, 0, 1)))
    if metric == "smape":
        return _trivial_smape(np.asarray(truth, dtype=np.float64))
    if (quantile := quantile_of(metric)) is not None:
        constant = np.quantile(truth, quantile, method="inverted_cdf")
        return float(pinball(np.asarray(truth, dtype=np.float64), float(constant), quantile).mean())
    if metric in ("roc_auc", "roc_auc_ovr"):
        return 0.5
    if metric == "mae":
        return float(np.abs(truth - np.median(truth)).mean())
    if metric == "rmse":
        return float(np.std(truth))
    if metric == "mape":
        return _trivial_mape(truth)
    classes, counts = np.unique(truth, return_counts=True)
    shares = counts / counts.sum()
    if metric == "accuracy":
        return float(shares.max())
    if metric == "log_loss":
        return float(-(shares * np.log(shares)).sum())
    rate = float((truth == 1).mean())
    if metric == "brier":
        return rate * (1 - rate)
    if metric == "pr_auc":
        return rate
    if metric == "f1":
        # Always predicting one class has F₁ = 2s / (1 + s) on it (recall 1), and 0 on the others.
        if classes.min() >= 0 and classes.max() <= 1:
            return 2 * rate / (1 + rate)
        return float((2 * shares / (1 + shares)).max()) / len(classes)
    raise Unmeasurable(f"unknown metric {metric!r}")


def _trivial_mape(truth: NDArray[Any]) -> float:
    """Return the least MAPE: Σ|y - c|/|y| is minimal at the median of y weighted by 1/|y|."""
    weights = 1 / _without_zero(truth)
    order = np.argsort(truth, kind="stable")
    share = np.cumsum(weights[order])
    constant = truth[order][int(np.searchsorted(share, share[-1] / 2))]
    return float((np.abs(truth - constant) * weights).mean())


def _trivial_of_function(metric: str, truth: NDArray[Any]) -> float:
    """Return the best value for one class, with the classes' shares as scores; of numbers, for mean or median."""
    n = len(truth)
    if np.issubdtype(truth.dtype, np.integer):
        classes, counts = np.unique(truth, return_counts=True)
        shares = np.zeros(max(2, int(classes.max()) + 1))
        shares[classes] = counts / n
        scores = np.full(n, shares[1]) if len(shares) == 2 else np.tile(shares, (n, 1))
        found = [value_of(metric, truth.copy(), np.full(n, each), scores) for each in classes]
    else:
        found = [value_of(metric, truth.copy(), np.full(n, each), None) for each in (truth.mean(), np.median(truth))]
    known = [each for each in found if not math.isnan(each)]
    if not known:
        raise Unmeasurable("the function returns no number for a constant answer")
    return direction(metric) * max(direction(metric) * each for each in known)


def _trivial_smape(truth: Floats) -> float:
    """Return the least sMAPE of a label between its percentiles: the sum has several local minima, and no formula."""
    constants = np.unique(np.quantile(truth, np.linspace(0, 1, 101), method="inverted_cdf"))
    return min(float(smape(truth, float(constant)).mean()) for constant in constants)


def scale_of(series: Series | None) -> float:
    """Return the naive error of the golden rows. Raises Unmeasurable."""
    _known(series)
    if series is None or series.scale is None:
        raise Unmeasurable(
            "every golden row has the label of the row before it: there is no naive error to compare with"
        )
    return series.scale


def _known(series: Series | None) -> tuple[NDArray[np.bool_], Floats]:
    """Return which rows have one before them, and its label. Raises Unmeasurable if none has."""
    if series is None:
        raise Unmeasurable(
            "it needs the order of the golden rows: name their event time, for example with"
            " `gauntlet golden create … --event-time COLUMN`"
        )
    known = ~np.isnan(series.before)
    if not known.any():
        raise Unmeasurable("no golden row has one before it, of the same entity")
    return known, series.before


def _directional_accuracy(truth: NDArray[Any], answers: Predictions, series: Series | None) -> tuple[float, Floats]:
    """Return the share of right directions, among the rows that have one before them, and each row's influence."""
    known, before = _known(series)
    right = same_direction(np.asarray(truth, dtype=np.float64), finite(answers.labels), before).astype(np.float64)
    value = float(right[known].mean())
    # Rows without one before them carry no information; the mean over all n is that over the others.
    return value, value + np.where(known, right - value, 0.0) * (len(known) / known.sum())


def _symmetric_errors(truth: NDArray[Any], answers: Predictions) -> Floats:
    errors: Floats = smape(np.asarray(truth, dtype=np.float64), finite(answers.labels))
    return errors


def _log_losses(truth: NDArray[Any], answers: Predictions) -> Floats:
    scores = scores_of(answers)
    if scores.ndim == 1:
        of_truth = np.where(truth == 1, scores, 1 - scores)
    else:
        of_truth = scores[np.arange(len(truth)), _named(truth, scores)]
    losses: Floats = -np.log(np.clip(of_truth, SMALLEST_PROBABILITY, 1.0))
    return losses


def _brier_losses(truth: NDArray[Any], answers: Predictions) -> Floats:
    losses: Floats = (one_score_a_row("brier", answers) - (truth == 1)) ** 2
    return losses


def _absolute_errors(truth: NDArray[Any], answers: Predictions) -> Floats:
    errors: Floats = np.abs(finite(answers.labels) - truth)
    return errors


def _squared_errors(truth: NDArray[Any], answers: Predictions) -> Floats:
    errors: Floats = (finite(answers.labels) - truth) ** 2
    return errors


def _relative_errors(truth: NDArray[Any], answers: Predictions) -> Floats:
    errors: Floats = _absolute_errors(truth, answers) / _without_zero(truth)
    return errors


def _without_zero(truth: NDArray[Any]) -> Floats:
    sizes: Floats = np.abs(np.asarray(truth, dtype=np.float64))
    if zeros := int((sizes == 0).sum()):
        raise Unmeasurable(f"a relative error of zero is not defined: {zeros} golden rows have the label 0")
    return sizes


_LOSSES: dict[str, Callable[[NDArray[Any], Predictions], Floats]] = {
    "log_loss": _log_losses,
    "brier": _brier_losses,
    "mae": _absolute_errors,
    "rmse": _squared_errors,
    "mape": _relative_errors,
    "smape": _symmetric_errors,
}
