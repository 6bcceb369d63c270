"""Sums of a step, added batch by batch, against numpy on all rows at once."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import ArmSums, PairedSums
from contracts.latency_buckets import upper_ms
from contracts.rollouts import BETS
from drift.policy.sums import Sums, with_differences, with_losses, with_predictions


def test_predictions_are_counted_with_their_errors_and_latencies():
    rng = np.random.default_rng(1)
    latency, failed = rng.lognormal(1, 2, 5000), rng.random(5000) < 0.1
    arm = ArmSums(model_version=4)
    for some in np.array_split(np.arange(5000), 7):
        made = [(bool(failed[number]), float(latency[number])) for number in some]
        arm = with_predictions(arm, made, units=len(some) // 2)
    arm = with_predictions(arm, [(True, None)], units=0)
    assert (arm.predictions, arm.errors) == (5001, int(failed.sum()) + 1)
    assert arm.units == sum(len(some) // 2 for some in np.array_split(np.arange(5000), 7))
    edges = [0.0, *(upper_ms(bucket) for bucket in range(96))]
    expected, _ = np.histogram(latency, edges)  # right-open: continuous values meet no edge
    assert arm.latency == {str(bucket): count for bucket, count in enumerate(expected.tolist()) if count}
    assert ArmSums.model_validate_json(arm.model_dump_json()) == arm


def test_losses_are_summed():
    losses = np.random.default_rng(2).random(1000)
    arm = ArmSums(model_version=1)
    for some in np.array_split(losses, 9):
        arm = with_losses(arm, some.tolist())
    assert (arm.labelled, arm.right) == (1000, int((losses < 0.5).sum()))
    assert (arm.loss, arm.loss2) == pytest.approx((losses.sum(), (losses**2).sum()))


@pytest.mark.parametrize("margin", [0.0, 0.02, 0.5])
def test_differences_are_summed_with_their_wealth(margin):
    rng = np.random.default_rng(3)
    d = rng.choice([-1.0, 0.0, 1.0, 0.3, -0.7], 1000)
    paired = PairedSums()
    for some in np.array_split(d, 9):
        paired = with_differences(paired, some.tolist(), margin)
    assert (paired.n, paired.wins, paired.losses) == (1000, int((d > 0).sum()), int((d < 0).sum()))
    assert (paired.sum_d, paired.sum_d2) == pytest.approx((d.sum(), (d**2).sum()))
    bets = np.array(BETS)[:, None]
    better = np.log(1 + bets * (d + margin) / (1 - margin)).sum(axis=1)
    worse = np.log(1 - bets * (d + margin) / (1 + margin)).sum(axis=1)
    assert paired.log_wealth_better == pytest.approx(better.tolist())
    assert paired.log_wealth_worse == pytest.approx(worse.tolist())


@pytest.mark.parametrize(
    ("split", "champion", "tried", "pairs", "waiting"),
    [
        (True, (100, 30), (10, 4), 0, 76),
        (False, (100, 30), (100, 30), 30, 70),
        (False, (100, 30), (90, 30), 30, 70),
        (False, (0, 0), (0, 0), 0, 0),
    ],
)
def test_units_without_a_value_wait(split, champion, tried, pairs, waiting):
    sums = Sums(
        champion=ArmSums(model_version=1, units=champion[0], labelled=champion[1]),
        tried=ArmSums(model_version=2, units=tried[0], labelled=tried[1]),
        paired=PairedSums(n=pairs),
    )
    assert sums.waiting(split=split) == waiting
