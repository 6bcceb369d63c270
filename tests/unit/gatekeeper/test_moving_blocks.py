"""Rows that are ordered in time: lengths against arch, errors against the definition and resampled blocks."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts import Outcome
from contracts.gate_settings import Performance
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.performance import Facts
from gatekeeper.policy.statistics import bootstrap, moving_blocks
from gatekeeper.policy.statistics.bounds import p_value
from gatekeeper.policy.statistics.estimates import Predictions, Series, difference, estimate
from gatekeeper.policy.statistics.units import Units, units_of
from support.equal_models import ar1, binormal

N = 600
ORDER = Series(np.full(N, np.nan), None, np.arange(N))
ALL = ["roc_auc", "accuracy", "log_loss", "brier", "pr_auc", "f1", "mae", "rmse", "smape", "pinball_90"]


def series(at: np.ndarray) -> Series:
    return Series(np.full(len(at), np.nan), None, at)


def pair(metric: str, n: int = N, seed: int = 1) -> tuple[np.ndarray, Predictions, Predictions]:
    """Labels, and answers of two equal models whose errors are each an AR(1) process."""
    random = np.random.default_rng(seed)
    if metric in ("mae", "rmse", "smape", "pinball_90"):
        truth = 50 + ar1(random, n, 0.9)
        return truth, *(Predictions(truth + ar1(random, n, 0.9)) for _ in range(2))
    truth, (first, second) = binormal(random, n, 0.5, positives=0.4, own=lambda: ar1(random, n, 0.9))
    return truth, first, second


@pytest.mark.parametrize(
    ("n", "correlation", "seed", "of_arch"),
    [
        (100, 0.5, 0, 6.098607061455059),
        (300, 0.3, 1, 2.361950463120638),
        (300, 0.9, 2, 27.327792055115562),
        (720, 0.7, 3, 19.586069026813355),
        (2000, 0.0, 5, 2.5909442106882015),
        (5000, 0.8, 6, 48.01088081542163),
        (1000, -0.5, 7, 1.9349591227027807),
    ],
)
def test_the_automatic_length_is_that_of_arch(n: int, correlation: float, seed: int, of_arch: float) -> None:
    """arch 8.0.0: optimal_block_length(x)["circular"]."""
    steps = np.random.default_rng(seed).normal(size=n)
    for at in range(1, n):
        steps[at] += correlation * steps[at - 1]
    assert moving_blocks.automatic_length(steps) == pytest.approx(of_arch, rel=1e-9)


@pytest.mark.parametrize(
    ("values", "length"),
    [
        (np.zeros(100), 10),  # nothing varies: the square root
        (np.random.default_rng(3).normal(size=1000), 32),
        (np.sin(np.arange(100) / 15), 25),  # a season as long as its rows: a quarter of the points
        (np.arange(31.0), 7),
    ],
)
def test_a_block_has_the_square_root_of_the_points_at_least_and_a_quarter_at_most(values: Any, length: int) -> None:
    assert moving_blocks.block_length(values) == length


def test_the_standard_error_is_that_of_the_sums_of_all_blocks() -> None:
    values = ar1(np.random.default_rng(4), N, 0.7)
    centred = values - values.mean()
    for length in (1, 7, 30, 150):
        sums = np.array([centred[at : at + length].sum() for at in range(N - length + 1)])
        by_hand = np.sqrt(np.mean(sums**2) / (length * N) * N / (N - length))
        assert moving_blocks.standard_error(centred, length, N) == pytest.approx(by_hand)
    assert moving_blocks.standard_error(centred, 1, N) == pytest.approx(np.std(values, ddof=1) / math.sqrt(N))


def test_drawn_blocks_are_consecutive_points_and_as_many_as_there_were() -> None:
    drawn = np.concatenate(list(bootstrap.block_counts(103, 10, draws=500)))
    assert (drawn.sum(axis=1) == 103).all() and drawn.shape == (500, 103) and drawn.min() >= 0
    # Eleven blocks: 22 places at most where the count changes, while rows drawn one by one change it at most places.
    assert (np.diff(drawn, axis=1) != 0).sum(axis=1).max() <= 22
    middle = drawn[:, 20:80].mean()
    assert middle == pytest.approx(103 / 94, rel=0.05) and drawn[:, 0].mean() < 0.3
    again = np.concatenate(list(bootstrap.block_counts(103, 10, draws=500)))
    assert (drawn == again).all()


@pytest.mark.parametrize("metric", ["mae", "rmse", "roc_auc", "accuracy", "brier"])
def test_the_error_of_a_difference_is_that_of_drawn_blocks(metric: str) -> None:
    truth, first, second = pair(metric)
    found = difference(metric, truth, first, second, 0.05, series=ORDER)
    length = found.units.length
    assert length is not None and length > 25
    draws = []
    for drawn in bootstrap.block_counts(N, length, draws=600, seed=9):
        for counts in drawn:
            rows = np.repeat(np.arange(N), counts)
            draws.append(difference(metric, truth[rows], first.only(rows), second.only(rows), 0.05).value)
    assert found.se == pytest.approx(np.std(draws) * math.sqrt(N / (N - length)), rel=0.15)


@pytest.mark.parametrize("metric", ALL)
def test_dependent_rows_widen_every_bound_and_p_agrees_with_it(metric: str) -> None:
    truth, first, second = pair(metric)
    by_row, blocks = (
        difference(metric, truth, first, second, 0.05, series=order) for order in (replace(ORDER, at=None), ORDER)
    )
    assert blocks.value == by_row.value and (blocks.first, blocks.second) == (by_row.first, by_row.second)
    assert blocks.upper - blocks.lower > 1.4 * (by_row.upper - by_row.lower)
    step = 0.02 * (blocks.upper - blocks.lower)
    assert p_value(blocks, blocks.upper + step) < 0.05 < p_value(blocks, blocks.upper - step)
    one = [estimate(metric, truth, first, 0.05, series=order) for order in (replace(ORDER, at=None), ORDER)]
    assert one[1].value == one[0].value and one[1].lower < one[0].lower < one[0].upper < one[1].upper


@pytest.mark.parametrize("metric", ["roc_auc", "accuracy", "pr_auc", "mae"])
def test_the_order_of_the_rows_in_the_file_changes_nothing(metric: str) -> None:
    truth, first, second = pair(metric)
    rows = np.random.default_rng(5).permutation(N)
    found = difference(metric, truth[rows], first.only(rows), second.only(rows), 0.05, series=series(rows))
    then = difference(metric, truth, first, second, 0.05, series=ORDER)
    assert (found.lower, found.upper) == pytest.approx((then.lower, then.upper), rel=1e-9)


def test_a_model_that_ranks_perfectly_is_as_certain_as_there_are_blocks() -> None:
    truth = np.arange(N) % 2
    best = Predictions(truth, truth.astype(float))
    found = estimate("roc_auc", truth, best, 0.05, series=ORDER)
    assert found.units.length == 25
    assert found.lower == pytest.approx(0.05 ** (1 / (math.ceil(N / 25) // 2)))


ENTITIES = np.arange(N)
UNITS: dict[str, tuple[Any, Any, str | None]] = {
    "no order": (None, None, None),
    "order not used": (None, np.full(N, -2), None),
    "no entity": (None, ENTITIES, "by moving blocks of 25 of 600 points in time"),
    "three series": (ENTITIES % 3, ENTITIES // 3, "by moving blocks of 15 of 200 points in time"),
    "29 series": (ENTITIES % 29, ENTITIES, "by moving blocks of 25 of 600 points in time"),
    "30 series": (ENTITIES % 30, ENTITIES, "by entity, 30 of them"),
    "an entity a row": (ENTITIES, ENTITIES, "by row"),
    "one time": (None, np.zeros(N, dtype=int), "by row"),
    "29 times": (None, ENTITIES % 29, "by row"),
    "three series of one time": (ENTITIES % 3, np.zeros(N, dtype=int), "by entity, 3 of them"),
    "some without a time": (
        None,
        np.where(ENTITIES < 100, -1, ENTITIES),
        "by moving blocks of 25 of 600 points in time",
    ),
}


@pytest.mark.parametrize(("clusters", "at", "words"), UNITS.values(), ids=UNITS.keys())
def test_what_counts_as_one_piece_of_evidence(clusters: Any, at: Any, words: str | None) -> None:
    order = None if at is None else series(at) if at.min() > -2 else replace(ORDER, at=None)
    units = units_of(clusters, order, N)
    assert units.of(np.random.default_rng(1).normal(size=N)).words == words


def test_rows_of_one_time_stay_together_and_one_without_a_time_stands_at_the_end() -> None:
    at = np.array([*np.repeat(np.arange(40), 2)[::-1], -1, -1])
    units = units_of(None, series(at), len(at))
    assert units.count == 42 and units.codes is not None
    assert units.codes[:4].tolist() == [39, 39, 38, 38] and units.codes[-2:].tolist() == [40, 41]


@pytest.mark.parametrize(
    ("alpha", "critical"),
    [
        (0.05, (1.6449, 2.1859, 0.3142, -0.3427)),
        (0.025, (1.9600, 2.9694, 0.4160, -0.5324)),
        (0.01, (2.3263, 4.1618, 0.5368, -0.9060)),
    ],
)
def test_the_bounds_are_those_of_a_fixed_share_of_the_points(alpha: float, critical: tuple[float, ...]) -> None:
    """Kiefer and Vogelsang 2005, table 1, Bartlett's kernel: a polynomial in the share of a block."""
    for length in (5, 20, 50, 100, 150, 200, 250):
        units = Units(1000, np.arange(1000), by_time=True, length=length)
        expected = sum(each * (length / 1000) ** power for power, each in enumerate(critical))
        assert 0.98 * expected < units.quantile(alpha) < (1.03 if length <= 100 else 1.35) * expected, length


def facts(metric: str, order: Series | None = ORDER, clusters: Any = None, n: int = N) -> Facts:
    truth, first, second = pair(metric, n)
    problem = "regression" if metric == "mae" else "binary"
    return Facts(problem, metric, None, truth, first, second, 1, clusters=clusters, series=order)


def test_the_verdict_says_which_units_were_used() -> None:
    verdict = performance.decide(facts("mae"), Performance())
    assert verdict.details["blocks"]["points"] == N
    length = verdict.details["blocks"]["length"]
    assert f"on the same 600 rows (by moving blocks of {length} of 600 points in time): " in verdict.reason
    by_entity = performance.decide(facts("mae", clusters=ENTITIES // 4), Performance())
    assert "on the same 600 rows (by entity, 150 of them): " in by_entity.reason
    assert "blocks" not in by_entity.details and by_entity.details["entities"] == 150
    assert "on the same 600 rows: " in performance.decide(facts("mae", None), Performance()).reason
    cold = replace(facts("mae"), champion=None, champion_version=None)
    assert "points in time), against a constant answer's" in performance.decide(cold, Performance()).reason
    of_series = replace(cold, metric="mase", series=Series(np.full(N, 50.0), 1.0, np.arange(N)))
    assert "against the last value's 1.0000" in performance.decide(of_series, Performance()).reason


def test_few_series_are_no_longer_too_few_where_they_are_ordered() -> None:
    few = {"clusters": ENTITIES % 3}
    assert "3 entities among the golden rows" in performance.decide(facts("mae", None, **few), Performance()).reason
    found = performance.decide(facts("mae", series(ENTITIES // 3), **few), Performance())
    assert "of 200 points in time" in found.reason and found.outcome is not Outcome.PASSED


def test_a_rare_class_is_counted_by_points_in_time() -> None:
    truth = np.zeros(N, dtype=int)
    truth[:40] = 1
    model = Predictions(truth, np.random.default_rng(1).random(N))
    found = Facts("binary", "roc_auc", None, truth, model, model, 1, series=series(ENTITIES // 10))
    assert "4 points in time among the golden rows of the rarer class" in (
        performance.decide(found, Performance()).reason
    )
