"""The rollouts that the benchmark plays: a skipped look decides nothing, and judges of others judge."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from benchmarks import rollout_judges as judges
from benchmarks import rollout_looks
from benchmarks.rollout_errors import AB, BRIER, CANARY, RIGHT_OR_WRONG, SHADOW, play
from benchmarks.rollout_streams import BEGAN, Versions, stream

from contracts import Loss
from gatekeeper.policy.rollout import Abort, Advance, Continue, Step, next_action

BETTER, WORSE = Versions(gain=0.06), Versions(gain=-0.06)


@pytest.mark.parametrize(
    ("step", "of", "loss"),
    [
        (SHADOW[0], BETTER, RIGHT_OR_WRONG),
        (SHADOW[0], WORSE, RIGHT_OR_WRONG),
        (SHADOW[0], Versions(errors=(0.0, 0.02)), RIGHT_OR_WRONG),
        (SHADOW[0], Versions(gain=0.016, brier=True), BRIER),
        (AB[0], Versions(gain=0.12, wrong=0.3, differ=0.2), RIGHT_OR_WRONG),
        (CANARY[1], Versions(slower=2.5), RIGHT_OR_WRONG),
    ],
)
def test_a_rollout_ends_where_a_look_after_every_unit_ends_it(step: Step, of: Versions, loss: Loss) -> None:
    units = stream(np.random.default_rng(5), 2500, of, step.share or None, latency="latency" in step.on)
    ended = play([step], units, loss)
    assert not isinstance(ended.action, Continue)
    for n in range(1, ended.units + 1):
        now = BEGAN + timedelta(seconds=n / rollout_looks.UNITS_PER_SECOND)
        action = next_action(step, BEGAN, units.measured(n), now, loss=loss)
        if not isinstance(action, Continue):
            break
    assert (n, action) == (ended.units, ended.action)


def test_judges_of_other_systems_stop_what_is_plainly_worse() -> None:
    arms = {gain: stream(np.random.default_rng(6), 20_000, Versions(gain=gain), 0.5) for gain in (-0.08, 0.0)}
    assert judges.kayenta(arms[-0.08])[0] == "stopped" and judges.kayenta(arms[0.0])[0] == "promoted"
    assert judges.thresholds(arms[-0.08], 0.8)[0] == "stopped" and judges.thresholds(arms[0.0], 0.8)[0] == "promoted"
    better = stream(np.random.default_rng(7), 4000, BETTER)
    assert judges.peeked_z(judges.paired_z(better))[0] == "promoted"


def test_what_is_drawn_is_what_was_asked_for() -> None:
    drawn = stream(np.random.default_rng(8), 200_000, Versions(gain=0.02, errors=(0.01, 0.03)), 0.1)
    assert drawn.loss.mean(axis=1) == pytest.approx([0.15, 0.13], abs=0.003)
    assert (drawn.loss[0] != drawn.loss[1]).mean() == pytest.approx(0.08, abs=0.003)
    assert drawn.failed.mean(axis=1) == pytest.approx([0.01, 0.03], abs=0.001)
    assert drawn.seen(1).mean() == pytest.approx(0.1, abs=0.003)


def test_the_outcomes_that_power_counts_are_the_gatekeepers() -> None:
    assert isinstance(play(SHADOW, stream(np.random.default_rng(1), 10_000, BETTER), RIGHT_OR_WRONG).action, Advance)
    assert isinstance(play(SHADOW, stream(np.random.default_rng(1), 10_000, WORSE), RIGHT_OR_WRONG).action, Abort)
