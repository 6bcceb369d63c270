"""The loss by which a rollout compares versions: that of the policy's metric, with a scale from the champion."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import Loss
from contracts.forecasts import quantile_of
from contracts.losses import LossKind, is_bounded, loss_of
from contracts.metrics import Problem

WIDTH = 4.0
"""A loss of this many times the champion's mean absolute error, and any above, counts as 1: few rows are cut, and one
that is far off does not decide alone."""


def rollout_loss(metric: str, problem: Problem, champion: Mapping[str, float]) -> Loss:
    """Return the loss of a model's rollouts, without a margin.

    `champion`: its metrics on golden rows (Promoted.baseline). The scale is 4 × its mean absolute error; without that,
    4 × its root mean squared error; without either the loss is cut at 1 as it is. Squared errors are divided by the
    square of the scale; percentages have 4 × the champion's mean absolute percentage error, or 1.
    """
    kind = loss_of(metric, problem)
    scale = 1.0 if is_bounded(kind) else _scale(kind, champion)
    return Loss(kind=kind, scale=scale, quantile=quantile_of(metric) if kind is LossKind.PINBALL else None)


def _scale(kind: LossKind, champion: Mapping[str, float]) -> float:
    names = ("mape",) if kind is LossKind.PERCENTAGE else ("mae", "rmse")
    found = next((champion[name] for name in names if champion.get(name, 0.0) > 0), None)
    if found is None:
        return 1.0
    return (WIDTH * found) ** 2 if kind is LossKind.SQUARED else WIDTH * found
