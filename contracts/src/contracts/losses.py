"""The loss of one prediction: what versions are compared by on live traffic, where a metric of many rows is no use."""

from __future__ import annotations

from enum import StrEnum

from contracts.forecasts import quantile_of
from contracts.metrics import Problem


class LossKind(StrEnum):
    """The loss of one row, before it is divided by the scale and cut at 1."""

    ZERO_ONE = "zero_one"
    """0 for the true label, 1 for another."""
    BRIER = "brier"
    """(score - y)², y 1 for the positive class: G. Brier, Monthly Weather Review 78, 1950."""
    ABSOLUTE = "absolute"
    SQUARED = "squared"
    PERCENTAGE = "percentage"
    """|prediction - y| / |y|; 1 for y = 0 and another prediction."""
    PINBALL = "pinball"
    """Of the metric's quantile: R. Koenker and G. Bassett, Econometrica 46, 1978."""


OF_SCORES = ("roc_auc", "pr_auc", "log_loss", "brier")


def loss_of(metric: str, problem: Problem) -> LossKind:
    """Return the loss that stands for `metric` in a rollout.

    Metrics of ranks or sets have no value a row: for those of scores it is the Brier score, else right or wrong.
    PredictionMade has the score of binary models only, so a multiclass model is right or wrong.
    """
    if problem == "multiclass":
        return LossKind.ZERO_ONE
    if problem == "binary":
        return LossKind.BRIER if metric in OF_SCORES else LossKind.ZERO_ONE
    if quantile_of(metric) is not None:
        return LossKind.PINBALL
    return {"rmse": LossKind.SQUARED, "mape": LossKind.PERCENTAGE, "smape": LossKind.PERCENTAGE}.get(
        metric, LossKind.ABSOLUTE
    )


def is_bounded(kind: LossKind) -> bool:
    """Return whether the loss is at most 1 by itself, and needs no scale."""
    return kind in (LossKind.ZERO_ONE, LossKind.BRIER)
