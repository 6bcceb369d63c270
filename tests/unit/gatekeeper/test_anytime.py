"""Tests of rollouts: against other implementations of the same formulas, and by simulation of equal versions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import beta, betabinom, binom

from contracts.rollouts import BETS, log_wealth
from gatekeeper.policy.statistics import anytime
from gatekeeper.policy.statistics.anytime import Sample


def integrated(k: int, n: int, rate: float, prior: Callable[[float], float]) -> float:
    """Return the likelihood ratio to `rate` mixed over `prior`, a density on (rate, 1), by integration."""

    def ratio(q: float) -> float:
        return math.exp(k * math.log(q / rate) + (n - k) * math.log((1 - q) / (1 - rate))) * prior(q)

    found, _ = quad(ratio, rate, 1, points=[min(0.9999, max(rate + 1e-6, k / n))], limit=500, epsrel=1e-10)
    return float(found)


@pytest.mark.parametrize("a", [anytime.BETTER, anytime.WORSE])
@pytest.mark.parametrize(("wins", "losses"), [(0, 1), (1, 0), (12, 5), (5, 12), (30, 30), (90, 50)])
def test_paired_is_the_mixture_of_likelihood_ratios(wins: int, losses: int, a: float) -> None:
    expected = integrated(wins, wins + losses, 0.5, lambda q: 2 * beta.pdf(q, a, a))
    assert math.exp(anytime.paired(wins, losses, a)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("k", "n", "rate"), [(0, 5, 0.05), (3, 5, 0.05), (20, 100, 0.05), (95, 100, 0.9), (60, 100, 0.9)]
)
def test_above_and_below_are_mixtures_over_all_other_rates(k: int, n: int, rate: float) -> None:
    up = integrated(k, n, rate, lambda q: 1 / (1 - rate))
    down = integrated(n - k, n, 1 - rate, lambda q: 1 / rate)
    assert math.exp(anytime.above(k, n, rate)) == pytest.approx(up, rel=1e-6)
    assert math.exp(anytime.below(k, n, rate)) == pytest.approx(down, rel=1e-6)


VILLE = {
    (40, 50, 0.5, 20, 20): 4.747388792980175,
    (9, 40, 0.5, 3, 3): 4.559925828388156,
    (300, 550, 0.5, 20, 20): 0.7733481466720491,
    (770, 800, 0.9, 1, 1): 18.18973299855014,
    (40, 100, 0.05, 1, 1): 53.50120567143689,
    (3, 1000, 0.05, 1, 1): 34.28935268101986,
    (300, 1000, 0.1, 10, 90): 141.29533845188337,
    (11000, 100000, 0.1, 10, 90): 50.43095886777883,
}
"""log E of `BernoulliTest(rate, prior=(a, b))` of ville 0.1.0 (PyPI, BSD-3) after k ones and n - k zeros."""


@pytest.mark.parametrize(("k", "n", "rate", "a", "b"), list(VILLE))
def test_e_processes_agree_with_ville(k: int, n: int, rate: float, a: float, b: float) -> None:
    if rate == 0.5:  # its mixture is over both halves of Beta(a, a)
        ours = np.logaddexp(anytime.paired(k, n - k, a), anytime.paired(n - k, k, a)) - math.log(2)
    elif (a, b) == (1, 1):  # over all rates
        ours = np.logaddexp(math.log1p(-rate) + anytime.above(k, n, rate), math.log(rate) + anytime.below(k, n, rate))
    else:
        ours = anytime.off_share(k, n, rate)
    assert ours == pytest.approx(VILLE[k, n, rate, a, b], rel=1e-9)


@pytest.mark.parametrize(
    ("t", "alpha", "ville"),
    [
        (100, 0.05, 4.802256620664437),
        (2500, 0.05, 2.7658221226769863),
        (2500, 0.005, 3.5716983300025085),
        (40_000, 0.05, 3.0622048341672055),
    ],
)
def test_the_boundary_is_near_the_normal_mixture_of_ville(t: float, alpha: float, ville: float) -> None:
    """ville 0.1.0 solves for it: `normal_mixture(t, α, best_rho(2500, α, True), True)/√t`; ours is a closed bound."""
    assert anytime.boundary(t, alpha) == pytest.approx(ville, rel=0.04)
    if t == anytime.TUNED_AT:
        assert anytime.boundary(t, alpha) >= ville


def test_betting_is_the_mean_wealth_of_its_bets() -> None:
    differences = np.random.default_rng(0).uniform(-1, 1, 50)
    for margin in (0.0, 0.1):
        sums = [log_wealth(float(d), margin) for d in differences]
        for side, sign in ((0, 1.0), (1, -1.0)):
            x, bound = (1 + sign * differences) / 2, (1 - sign * margin) / 2
            expected = np.mean([np.prod(1 + g / bound * (x - bound)) for g in BETS])
            logs = [sum(each[side][bet] for each in sums) for bet in range(len(BETS))]
            assert math.exp(anytime.betting(logs)) == pytest.approx(expected)
    assert anytime.betting(()) == 0.0


def test_off_share_is_the_odds_of_an_urn() -> None:
    """A Beta mixture is Pólya's urn: its probability of k of n is beta-binomial."""
    expected = betabinom.pmf(300, 1000, 25, 75) / binom.pmf(300, 1000, 0.25)
    assert math.exp(anytime.off_share(300, 1000, 0.25)) == pytest.approx(expected)


def test_no_data_is_no_evidence() -> None:
    assert anytime.paired(0, 0) == anytime.above(0, 0, 0.05) == anytime.off_share(0, 0, 0.1) == 0.0
    assert anytime.more_errors(0, 0, 0, 0) == anytime.more_errors(3, 10, 0, 0) == anytime.above_rate(0, 0, 0.001) == 1.0


def test_nothing_overflows_after_a_million_rows() -> None:
    n = 1_000_000
    assert anytime.paired(n, 0) > 1e5 and anytime.paired(0, n) == -math.inf
    assert anytime.above(n, n, 0.05) > 1e6 and anytime.below(n, n, 0.05) == -math.inf
    assert anytime.more_errors(n, n, 0, n, 0, n) == 0.0 and anytime.more_errors(1, n, n, n, n, n) == 1.0
    assert anytime.above_rate(n, n, 0.001) == 0.0 and anytime.above_rate(1, n, 0.5) == 1.0
    assert anytime.off_share(0, n, 0.5) > 1e5


@pytest.mark.parametrize(
    ("units", "wrong", "enough"),
    [(99, 40, False), (100, 20, True), (100, 19, False), (100, 80, True), (100, 81, False)],
)
def test_a_mean_needs_units_and_both_outcomes(units: int, wrong: int, enough: bool) -> None:
    assert Sample(units, wrong, wrong).is_enough is enough


def test_equal_losses_are_enough_and_differ_by_nothing() -> None:
    assert Sample(100, 30.0, 9.0).is_enough
    assert anytime.difference(Sample(100, 30.0, 9.0), Sample(100, 30.0, 9.0), 0.05) == pytest.approx((0.0, 0.0, 0.0))


def false_alarms(rate: float, history: int, ratio: int, alpha: float, runs: int, rows: int) -> float:
    """Return how often `more_errors` is ever at most alpha; both versions fail with `rate`.

    The tried version predicts `rows` rows, the champion `ratio` for each of them. p falls only at an error of the tried
    version, so that these are all looks.
    """
    random = np.random.default_rng([history, ratio, round(1e6 * rate)])
    found = 0
    for _ in range(runs):
        errors = int(random.binomial(rows, rate))
        at = np.sort(random.choice(rows, errors, replace=False)) + 1
        champion = np.cumsum(random.binomial(np.diff(at * ratio, prepend=0), rate))
        before = int(random.binomial(history, rate))
        found += any(
            anytime.more_errors(k, int(n), int(k0), int(n) * ratio, before, history) <= alpha
            for k, (n, k0) in enumerate(zip(at, champion, strict=True), 1)
        )
    return found / runs


@pytest.mark.parametrize(("history", "ratio"), [(10_000, 1), (10_000, 99), (500, 9), (0, 1)])
def test_versions_that_fail_alike_are_stopped_no_more_often_than_alpha(history: int, ratio: int) -> None:
    """α = 5 %, 600 runs: three standard errors are 2.7 %."""
    for rate in (0.0001, 0.001, 0.01):
        assert false_alarms(rate, history, ratio, 0.05, 600, 2000) <= 0.077


@pytest.mark.exhaustive
@pytest.mark.parametrize("history", [0, 500, 10_000, 100_000])
@pytest.mark.parametrize("ratio", [1, 9, 99])
@pytest.mark.parametrize("rate", [0.00001, 0.0001, 0.0003, 0.001, 0.01, 0.1])
def test_false_alarms_of_errors_at_every_rate(history: int, ratio: int, rate: float) -> None:
    assert false_alarms(rate, history, ratio, 0.05, 3000, 5000) <= 0.062


def test_a_version_that_fails_5_percent_is_stopped_within_100_requests() -> None:
    """In 99 of 100 runs, at the level of a canary's first step; two standard errors of 2,000 runs are 0.4 %."""
    random = np.random.default_rng(0)
    stopped = 0
    for _ in range(2000):
        at = np.flatnonzero(random.random(100) < 0.05) + 1
        stopped += any(
            anytime.more_errors(k, int(n), 0, int(n), 0, 10_000) <= 0.0045
            and anytime.above_rate(k, int(n), 0.001) <= 0.12
            for k, n in enumerate(at, 1)
        )
    assert stopped >= 0.986 * 2000


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_the_difference_of_equal_arms_is_rarely_off(share: float) -> None:
    """α = 5 % a side, looked at after every unit: three standard errors of 400 runs are 3.3 %."""
    random = np.random.default_rng(7)
    off = 0
    for _ in range(400):
        wrong, tried = random.random(6000) < 0.15, random.random(6000) < share
        sums = [(np.cumsum(arm), np.cumsum(arm & wrong)) for arm in (~tried, tried)]
        for place in range(100, 6000, 20):
            arms = [Sample(int(n[place]), float(k[place]), float(k[place])) for n, k in sums]
            found = anytime.difference(arms[0], arms[1], 0.05)
            if found is not None and found[1] > 0:
                off += 1
                break
    assert off / 400 <= 0.083
