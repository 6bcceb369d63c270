"""Replaying shadows over histories whose right answers are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.policy import ModelPolicy
from gatekeeper.backtest import contenders
from gatekeeper.backtest.history import History, Window
from gatekeeper.backtest.report import markdown, report
from gatekeeper.backtest.shadows import play_shadowed, step_of
from gatekeeper.policy.statistics.estimates import Predictions

ROWS = 400


def policy(**shadow: object) -> ModelPolicy:
    written = {"strategy": {"shadow": {"on": "metric", **shadow}}} if shadow else {}
    return ModelPolicy.model_validate({"model": "m", "problem": "binary", "metric": "accuracy", **written})


def history(wrong: dict[int, list[float]], rows: int = ROWS) -> History:
    """A binary problem whose truth alternates, and whose versions are wrong on the last rows of every ten.

    `wrong`: share of each version from its golden window on, in tenths.
    """
    answers, truth = {}, np.arange(rows) % 2
    for version, found in wrong.items():
        for step, share in enumerate(found):
            labels = truth ^ (np.arange(rows) % 10 >= 10 - round(10 * share))
            answers[version, version - 1 + step] = Predictions(labels, labels.astype(float))
    windows = tuple(Window(f"w{at}", truth) for at in range(len(wrong[1])))
    return History("binary", windows, answers)


WRONG = {1: [0.3, 0.3, 0.3, 0.3], 2: [0.1, 0.1, 0.1], 3: [0.1, 0.1]}


def test_a_better_version_serves_from_the_row_after_its_proof() -> None:
    found = play_shadowed(history(WRONG), contenders.always(), "accuracy", step_of(policy(rows="100..2000")))
    assert found.played.champions == (1, 2, 2)
    assert found.delays == (100,) and found.kept == 1, "version 3 is as good as 2"
    assert found.played.values == pytest.approx((0.7, 0.7 * 100 / 400 + 0.9 * 300 / 400, 0.9))


def test_a_shadow_goes_on_over_windows_while_nothing_else_is_chosen() -> None:
    found = play_shadowed(history(WRONG), contenders.always(), "accuracy", step_of(policy(rows="500..2000")))
    assert (found.played.champions, found.delays, found.kept) == ((1, 1, 2), (500,), 0)


def test_a_worse_or_an_equal_version_never_serves() -> None:
    worse = history({1: [0.1, 0.1, 0.1], 2: [0.3, 0.3]})
    equal = history({1: [0.1, 0.1, 0.1], 2: [0.1, 0.1]})
    for played in (worse, equal):
        found = play_shadowed(played, contenders.always(), "accuracy", step_of(policy(rows="100..300")))
        assert (found.played.champions, found.delays, found.kept) == ((1, 1), (), 1)
        assert found.played.value == pytest.approx(0.9)


def test_scores_are_judged_by_their_brier_score() -> None:
    found = play_shadowed(history(WRONG), contenders.always(), "brier", step_of(policy(rows="100..2000")))
    assert found.played.champions == (1, 2, 2)


def test_regression_cannot_be_replayed() -> None:
    windows = tuple(Window(str(at), np.zeros(3)) for at in range(2))
    numbers = History("regression", windows, {(1, 0): Predictions(np.zeros(3)), (1, 1): Predictions(np.zeros(3))})
    with pytest.raises(ValueError, match="no scale"):
        play_shadowed(numbers, contenders.never(), "mae", step_of(policy()))


def test_the_report_has_the_policy_with_its_shadow() -> None:
    found = report(history(WRONG), policy(rows="100..2000"), "accuracy")
    row = next(row for row in found["contenders"] if "delays" in row)
    assert row["name"].startswith("this policy, after a shadow (median 100 rows, ")
    assert row["delays"] == [100] and row["promotions"] == 1
    assert any("this policy, after a shadow" in line for line in markdown(found))


def test_a_policy_without_a_shadow_is_replayed_with_the_default_one() -> None:
    step = step_of(policy())
    assert (step.minimum, step.maximum, step.on) == (500, 50_000, ("metric",))
