"""The loss by which a rollout compares versions, for each kind of metric."""

from __future__ import annotations

import pytest

from contracts import Loss
from contracts.losses import LossKind
from gatekeeper.policy.rollout_loss import rollout_loss


@pytest.mark.parametrize(
    ("metric", "problem", "champion", "loss"),
    [
        ("roc_auc", "binary", {"mae": 9.0}, Loss(kind=LossKind.BRIER)),
        ("accuracy", "binary", {}, Loss(kind=LossKind.ZERO_ONE)),
        ("f1_macro", "multiclass", {}, Loss(kind=LossKind.ZERO_ONE)),
        ("mae", "regression", {"mae": 2.5, "rmse": 4.0}, Loss(kind=LossKind.ABSOLUTE, scale=10.0)),
        ("mae", "regression", {"rmse": 4.0}, Loss(kind=LossKind.ABSOLUTE, scale=16.0)),
        ("mae", "regression", {"mae": 0.0}, Loss(kind=LossKind.ABSOLUTE, scale=1.0)),
        ("rmse", "regression", {"mae": 2.5}, Loss(kind=LossKind.SQUARED, scale=100.0)),
        ("mape", "regression", {"mape": 0.1, "mae": 2.5}, Loss(kind=LossKind.PERCENTAGE, scale=0.4)),
        ("mape", "regression", {"mae": 2.5}, Loss(kind=LossKind.PERCENTAGE, scale=1.0)),
        ("pinball_90", "regression", {"mae": 2.5}, Loss(kind=LossKind.PINBALL, scale=10.0, quantile=0.9)),
    ],
)
def test_the_loss_of_a_rollout(metric, problem, champion, loss):
    assert rollout_loss(metric, problem, champion) == loss
