"""Closed forms of what a rollout needs, against simulations with exact formulas of the same tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import betaincc, betaln, logsumexp

from chassis.explain.quantities import rate, rounded
from contracts.durations import about
from contracts.losses import LossKind
from contracts.policy import ModelPolicy
from contracts.rollout_units import MOST, OF_GAIN, OF_HARM, agreeing, betting, discordant, discordant_evidence
from contracts.rollouts import BETS
from gatekeeper.policy.rollout import plan
from gatekeeper.policy.statistics import anytime
from gatekeeper.policy.statistics.anytime import Sample
from gauntlet.power_analysis import CLOSELY, LOOSELY, NORMAL, ORDINARY, disagreement
from gauntlet.rollout_forecast import forecasts, rows
from gauntlet.rollout_power import (
    BRIER,
    GAIN,
    HARM,
    HARM_ALPHA,
    PAIRED_SPREAD,
    SPREAD,
    harm_alpha,
    needs,
    paired,
    two_arms,
)

RUNS = 200


def policy(**changes: Any) -> ModelPolicy:
    return ModelPolicy.model_validate({"model": "m", "problem": "binary", "metric": "accuracy", **changes})


def stops(evidence: NDArray[Any], alpha: float) -> NDArray[Any]:
    """Return after how many units each row of log evidence reaches 1/α for the first time."""
    hit = evidence >= np.log(1 / alpha)
    assert hit.any(axis=1).mean() > 0.97, "the simulation is too short"
    return np.where(hit.any(axis=1), hit.argmax(axis=1) + 1, evidence.shape[1])


def assert_about(found: NDArray[Any], usual: int, most: int) -> None:
    """What is promised is kept, and is not far more than what is needed."""
    assert 0.65 * usual <= np.median(found) <= 1.02 * usual
    assert 0.65 * most <= np.quantile(found, 0.95) <= 1.05 * most


@pytest.mark.parametrize(
    ("correlation", "effect", "alpha"), [(CLOSELY, GAIN, 0.05), (LOOSELY, GAIN, 0.05), (LOOSELY, HARM, 0.01)]
)
def test_right_or_wrong_in_a_shadow(correlation: float, effect: float, alpha: float) -> None:
    share = disagreement(ORDINARY, correlation)
    most = discordant(share, effect, alpha, 0.95)
    prior = OF_GAIN if effect > 0 else OF_HARM
    pairs = np.arange(1, round(2 * most * share))
    wins = (np.random.default_rng(1).random((RUNS, len(pairs))) < (share + abs(effect)) / (2 * share)).cumsum(axis=1)
    x, y = prior + wins, prior + pairs - wins
    above = np.log(2) + np.log(np.maximum(betaincc(x, y, 0.5), 1e-300))
    evidence = pairs * np.log(2) + betaln(x, y) - betaln(prior, prior) + above
    assert_about(stops(evidence, alpha) / share, discordant(share, effect, alpha, 0.5), most)


@pytest.mark.parametrize(("correlation", "effect"), [(CLOSELY, GAIN), (LOOSELY, GAIN), (LOOSELY, HARM)])
def test_a_bounded_loss_in_a_shadow(correlation: float, effect: float) -> None:
    mean, spread = abs(BRIER[effect]), PAIRED_SPREAD[correlation]
    most = betting(mean, spread, 0.05, 0.95)
    d = np.clip(np.random.default_rng(2).normal(mean, spread, (RUNS, 2 * most)), -1, 1)
    evidence = logsumexp([np.log1p(g * d).cumsum(axis=1) for g in BETS], axis=0) - np.log(len(BETS))
    assert_about(stops(evidence, 0.05), betting(mean, spread, 0.05, 0.5), most)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_two_arms(share: float) -> None:
    """With the gatekeeper's own confidence sequence, looked at after every 20 entities."""
    usual, most = (two_arms(LossKind.ZERO_ONE, HARM, 0.0, 0.01, share, q) for q in (0.5, 0.95))
    random = np.random.default_rng(3)
    shape = (40, 2 * most)
    tried = random.random(shape) < share
    wrong = random.random(shape) < np.where(tried, 1 - ORDINARY - HARM, 1 - ORDINARY)
    sums = [(arm.cumsum(axis=1), (wrong & arm).cumsum(axis=1)) for arm in (tried, ~tried)]

    def stop(run: int) -> int:
        for i in range(99, shape[1], 20):
            one, other = (Sample(int(n[run, i]), float(x[run, i]), float(x[run, i])) for n, x in sums)
            found = anytime.difference(other, one, 0.01)
            if found is not None and found[2] < 0:
                return i + 1
        return shape[1]

    found = np.array([stop(run) for run in range(shape[0])])
    assert 0.6 * usual <= np.median(found) <= 1.1 * usual
    assert (found <= most).mean() >= 0.9


def test_agreement_of_a_shadow() -> None:
    usual, most = (agreeing(0.975, 0.95, 0.05, q) for q in (0.5, 0.95))
    agrees = (np.random.default_rng(5).random((60, 2 * most)) < 0.975).cumsum(axis=1)
    every = range(19, 2 * most, 20)
    evidence = np.array([[anytime.above(int(row[i]), i + 1, 0.95) for i in every] for row in agrees])
    found = stops(evidence, 0.05) * 20
    assert 0.5 * usual <= np.median(found) <= 1.1 * usual
    assert 0.5 * most <= np.quantile(found, 0.95) <= 1.1 * most


def test_the_formulas_are_those_of_the_gatekeeper() -> None:
    trials = [
        {"shadow": {"on": ["metric", "errors"]}},
        {"canary": {"steps": ["1%", "10%"], "on": ["metric", "latency"]}},
    ]
    for asked in (policy(strategy=trials), policy(strategy={"shadow": {"on": "metric"}})):
        assert {step.alpha_harm for step in plan(asked)} == {harm_alpha(asked)}
    pairs, wins = 400, 230
    assert (OF_GAIN, OF_HARM) == (anytime.BETTER, anytime.WORSE)
    for prior in (OF_GAIN, OF_HARM):
        evidence = discordant_evidence(pairs, wins, prior)
        assert evidence == pytest.approx(anytime.paired(wins, pairs - wins, prior), abs=0.05)


def test_a_brier_score_is_spread_as_that_of_ordinary_models() -> None:
    """Two calibrated models of accuracy 0.75, and what ±accuracy is of the Brier score."""
    random = np.random.default_rng(4)
    n = 400_000
    y = random.integers(0, 2, n)
    apart = 2 * NORMAL.inv_cdf(ORDINARY)
    for effect, expected in BRIER.items():
        other = 2 * NORMAL.inv_cdf(ORDINARY + effect)
        for correlation, spread in PAIRED_SPREAD.items():
            noise = random.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], n)
            losses = [
                (1 / (1 + np.exp(-d * (y * d + noise[:, i] - d / 2))) - y) ** 2 for i, d in enumerate((apart, other))
            ]
            assert np.mean(losses[0] - losses[1]) == pytest.approx(expected, abs=0.0008)
            assert np.std(losses[0] - losses[1]) == pytest.approx(spread, abs=0.012)
            assert np.std(losses[0]) == pytest.approx(SPREAD, abs=0.005)


def test_a_margin_makes_a_gain_easier_to_show_and_a_harm_harder() -> None:
    for kind in (LossKind.ZERO_ONE, LossKind.BRIER):
        gain = [paired(kind, GAIN, margin, 0.05, CLOSELY, 0.5) for margin in (0.001, 0.01)]
        harm = [paired(kind, HARM, margin, 0.05, CLOSELY, 0.5) for margin in (0.001, 0.01)]
        assert gain[0] > gain[1] and harm[0] < harm[1]
    assert paired(LossKind.BRIER, HARM, 0.03, 0.05, CLOSELY, 0.5) == MOST, "a harm within the margin is none"


def test_all_tests_of_a_rollout_share_the_error_rate_of_harm() -> None:
    alone = policy(strategy={"shadow": {"on": "metric"}})
    both = policy(
        strategy=[{"shadow": {"on": "metric"}}, {"canary": {"steps": ["1%", "10%"], "on": ["errors", "latency"]}}]
    )
    assert (harm_alpha(alone), harm_alpha(both)) == (HARM_ALPHA, HARM_ALPHA / 2 / 3)
    share = disagreement(ORDINARY, CLOSELY)
    usual = [needs(each)[1].usual[0] for each in (alone, both)]
    assert usual == [discordant(share, HARM, harm_alpha(each), 0.5) for each in (alone, both)]
    assert usual[0] < usual[1]


def test_a_step_needs_at_least_its_minimum_and_at_most_its_maximum() -> None:
    (gain, harm) = needs(policy(strategy={"shadow": {"rows": "20000..30000"}}))
    assert gain.usual == (20_000, 20_000) and gain.maximum == 30_000
    assert harm.usual[1] < 20_000 and harm.maximum is None, "harm ends it before"
    (gain, _) = needs(policy(strategy={"ab": {"share": "10%", "minimum": 10_000}}))
    assert gain.usual[0] == 100_000, "10,000 of the arm that has a tenth of them"


def test_what_depends_on_the_data_is_not_computed() -> None:
    assert needs(ModelPolicy.model_validate({"model": "m", "strategy": "shadow"})) == []
    assert needs(policy(strategy="canary")) == []


def test_a_forecast_is_made_of_each_step_and_of_all() -> None:
    two_days = {
        "label_maturity": "2d",
        "strategy": [{"shadow": {}}, {"canary": {"steps": ["1%", "50%"], "bake": "1h"}}],
    }
    found = forecasts(policy(**two_days), [0.1, 1000.0])
    assert [each.step for each in found] == ["shadow", "shadow", "canary 1%", "canary 50%", "all steps"]
    gain, _, first, last, total = found
    assert gain.seconds[1] == pytest.approx(172_800, rel=0.001)
    assert first.seconds == (100_000.0, 3600.0), "100 predictions, or an hour"
    assert last.seconds == (3600.0, 3600.0)
    assert total.seconds[1] == pytest.approx(gain.seconds[1] + 7200)  # type: ignore[operator]
    assert rows(found)[2] == ("canary 1%", "no harm", "10,000", "28 h", "60 min")


def test_a_canary_on_labels_decides_at_its_last_step() -> None:
    steps = {"canary": {"steps": ["10%", "50%"], "on": ["metric", "errors"], "bake": "10m"}}
    found = forecasts(policy(strategy=steps), [100.0])
    assert [(each.step, each.gain) for each in found] == [
        ("canary 10%", True),
        ("canary 50%", True),
        ("canary 50%", False),
        ("all steps", False),
    ]
    assert found[0].seconds == (600.0,), "errors only: the labels of a step that is over decide nothing"


def test_a_shadow_without_labels() -> None:
    (found,) = forecasts(policy(strategy={"shadow": {"on": "errors", "rows": "300..400"}}), [1.0])
    assert (found.shown, found.units, found.seconds) == ("no harm", "300", (300.0,))
    (found,) = forecasts(policy(strategy={"shadow": {"on": "agreement"}}), [1.0])
    assert found.shown == "agrees on 97.5%" and found.seconds[0] is not None and 500 <= found.seconds[0] < 1500


@pytest.mark.parametrize(
    ("text", "expected"), [("50/s", 50), ("3000/min", 50), ("1_000/d", 1000 / 86_400), ("40/h", 40 / 3600), (".5", 0.5)]
)
def test_a_rate_is_read(text: str, expected: float) -> None:
    assert rate(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "fast", "0/s", "-1/s", "5/week", "5 /s/s", "nan"])
def test_what_is_no_rate_is_shown(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        rate(text)


def test_estimates_are_rounded() -> None:
    assert [rounded(n) for n in (0, 7, 1234, 95_100, 0.123)] == ["0", "7", "1,300", "96,000", "0.13"]
    assert [about(s) for s in (0.2, 7, 100, 119, 5000, 90_000, 1e6)] == [
        *("at once", "7 s", "100 s", "2 min", "83 min", "25 h", "12 d")
    ]
