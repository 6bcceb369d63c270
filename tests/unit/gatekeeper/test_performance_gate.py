"""The performance gate: a table of cases, and its promises by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import Outcome
from contracts.gate_settings import Delta, Minimum, Performance
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.performance import Facts
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.statistics.estimates import Predictions

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE


ONE = {"alpha_spending": False}


def answers(scores):
    return Predictions(labels=(scores >= 0.5).astype(int), scores=scores)


def world(n=4000, first=1.0, second=1.0, noise=0.5, seed=5):
    """Facts about two models whose scores carry so much signal each, with much noise in common."""
    random = np.random.default_rng(seed)
    truth = (random.random(n) < 0.3).astype(int)
    common = random.normal(size=n)

    def scores(signal):
        return 1 / (1 + np.exp(-(signal * (truth - 0.3) + common + noise * random.normal(size=n))))

    return truth, answers(scores(first)), answers(scores(second))


def judged(truth, challenger, champion=None, *, metric="roc_auc", problem="binary", **settings):
    facts = Facts(
        problem=problem,
        metric=metric,
        truth=truth,
        challenger=challenger,
        champion=champion,
        champion_version=None if champion is None else 1,
    )
    return performance.decide(facts, Performance(**settings))


@pytest.mark.parametrize(
    ("rule", "n", "challenger", "champion", "outcome"),
    [
        ("non_inferior", 20_000, 1.2, 1.0, PASSED),  # better
        ("non_inferior", 20_000, 1.0, 1.0, PASSED),  # equal, and enough rows to say so
        ("non_inferior", 20_000, 0.7, 1.0, FAILED),  # worse
        ("non_inferior", 200, 1.0, 1.0, INCONCLUSIVE),  # equal, too few rows
        ("non_inferior", 200, 2.5, 1.0, PASSED),  # few rows, but the bound decides
        ("non_inferior", 200, 0.1, 1.5, FAILED),  # few rows, but the bound decides
        ("superior", 20_000, 1.3, 1.0, PASSED),
        ("superior", 60_000, 1.0, 1.0, FAILED),  # enough rows to see the margin, and nothing to see
        ("superior", 20_000, 0.7, 1.0, FAILED),
        ("superior", 200, 1.02, 1.0, INCONCLUSIVE),
    ],
)
def test_champion_and_challenger_on_the_same_rows(rule, n, challenger, champion, outcome):
    verdict = judged(*world(n, challenger, champion), rule=rule)
    assert verdict.outcome is outcome, verdict.reason
    assert verdict.n == n


def test_underpowered_says_how_many_rows_it_needs():
    verdict = judged(*world(200))
    assert "underpowered" in verdict.reason
    assert str(verdict.details["rows_for_power"]) in verdict.reason
    assert verdict.details["rows_for_power"] > 200


def test_the_margin_follows_the_champion():
    strong = judged(*world(first=3.0, second=3.0))
    weak = judged(*world(first=0.5, second=0.5))
    for verdict in (strong, weak):
        assert verdict.margin == pytest.approx(0.02 * (verdict.details["champion"] - 0.5))
    assert strong.margin > 2 * weak.margin


def test_a_champion_no_better_than_chance_leaves_no_margin():
    truth, challenger, _ = world(first=1.0)
    backwards = answers(1 - challenger.scores)
    verdict = judged(truth, backwards, backwards)
    assert (verdict.outcome, verdict.margin) == (FAILED, 0.0)


def test_the_very_same_model_is_not_inferior_and_not_superior():
    truth, model, _ = world(2000)
    assert judged(truth, model, model).outcome is PASSED
    assert judged(truth, model, model, rule="superior").outcome is not PASSED


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "brier", "accuracy"])
def test_better_is_better_whatever_the_direction_of_the_metric(metric):
    random = np.random.default_rng(8)
    truth = (random.random(5000) < 0.5).astype(int)
    sharp = answers(np.clip(0.5 + 0.35 * (2 * truth - 1) * (random.random(5000) < 0.9), 0.02, 0.98))
    blunt = answers(np.clip(0.5 + 0.2 * (2 * truth - 1) * (random.random(5000) < 0.6), 0.02, 0.98))
    assert judged(truth, sharp, blunt, metric=metric, rule="superior").outcome is PASSED
    assert judged(truth, blunt, sharp, metric=metric).outcome is FAILED


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_regression_is_judged_by_its_errors(metric):
    random = np.random.default_rng(9)
    truth = random.normal(size=3000)
    near, far = Predictions(truth + 0.3 * random.normal(size=3000)), Predictions(truth + 0.5 * random.normal(size=3000))
    assert judged(truth, near, far, metric=metric, problem="regression").outcome is PASSED
    assert judged(truth, far, near, metric=metric, problem="regression").outcome is FAILED


@pytest.mark.parametrize(
    ("delta", "challenger", "outcome"), [(0.01, 1.3, PASSED), (0.01, 1.0, FAILED), (-0.5, 0.9, PASSED)]
)
def test_a_fixed_step_shows_its_own_risk(delta, challenger, outcome):
    verdict = judged(*world(4000, challenger, 1.0), rule=Delta(delta=delta))
    assert verdict.outcome is outcome
    assert "An equal model passes this rule" in verdict.reason


def test_the_risk_of_a_fixed_step_is_what_simulation_finds():
    risks, passes = [], []
    for seed in range(300):
        verdict = judged(*world(500, 1.0, 1.0, seed=seed), rule=Delta(delta=0.01))
        risks.append(verdict.details["false_promotion_risk"])
        passes.append(verdict.outcome is PASSED)
    assert np.mean(passes) == pytest.approx(np.mean(risks), abs=0.08)


@pytest.mark.parametrize(
    ("minimum", "outcome"), [({"roc_auc": 0.6}, PASSED), ({"roc_auc": 0.99}, FAILED), ({"log_loss": 0.01}, FAILED)]
)
def test_a_minimum_looks_at_no_champion(minimum, outcome):
    truth, challenger, champion = world(4000, 1.0, 5.0)
    assert judged(truth, challenger, champion, rule=Minimum(minimum=minimum)).outcome is outcome


def test_a_minimum_names_what_is_missed():
    verdict = judged(*world(4000), rule=Minimum(minimum={"roc_auc": 0.6, "brier": 0.001}))
    assert verdict.outcome is FAILED
    assert "brier" in verdict.reason and "roc_auc" not in verdict.reason


@pytest.mark.parametrize(
    ("n", "signal", "floor", "outcome"),
    [
        (4000, 1.0, {}, PASSED),
        (4000, 1.0, {"roc_auc": 0.6}, PASSED),
        (4000, 1.0, {"roc_auc": 0.95}, FAILED),
        (4000, 0.0, {}, FAILED),  # no better than a constant
        (60, 1.2, {"roc_auc": 0.6}, INCONCLUSIVE),  # above the floor, but not surely
        (4000, 3.0, {"roc_auc": 0.6, "log_loss": 0.1}, FAILED),
    ],
)
def test_a_cold_start_needs_the_floor_at_its_confidence_bound(n, signal, floor, outcome):
    truth, challenger, _ = world(n, signal, seed=6)
    verdict = judged(truth, challenger, floor=floor)
    assert verdict.outcome is outcome, verdict.reason


def test_a_minimum_in_a_cold_start_must_beat_a_constant_as_well():
    truth, challenger, _ = world(4000, 0.0)
    assert judged(truth, challenger, rule=Minimum(minimum={"roc_auc": 0.1})).outcome is not PASSED


def test_a_false_promotion_is_as_rare_as_alpha_says():
    """A challenger that is worse by exactly the margin passes non-inferiority in one case of twenty."""
    random = np.random.default_rng(12)
    trials, passed = 2000, 0
    for _ in range(trials):
        truth, common, own = random.normal(size=(3, 400))
        # The champion's mae is half the trivial one's, so the margin is 0.02 of its own mae: an error 2 % larger.
        champion = Predictions(truth + 0.5 * common)
        challenger = Predictions(truth + 1.02 * 0.5 * (0.9 * common + np.sqrt(1 - 0.9**2) * own))
        passed += judged(truth, challenger, champion, metric="mae", problem="regression", **ONE).outcome is PASSED
    assert passed / trials == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / trials))


TRUTH, MODEL, _ = world(400)
BROKEN = answers(np.where(np.arange(400) == 7, np.nan, MODEL.scores))


@pytest.mark.parametrize(
    ("truth", "challenger", "champion"),
    [
        (None, MODEL, MODEL),
        (TRUTH, None, MODEL),
        (TRUTH[:0], answers(MODEL.scores[:0]), None),
        (TRUTH[:20], answers(MODEL.scores[:20]), answers(MODEL.scores[:20])),
        (np.ones(400, dtype=int), MODEL, MODEL),
        (TRUTH, BROKEN, MODEL),
        (TRUTH, MODEL, BROKEN),
        (TRUTH, Predictions(MODEL.labels), MODEL),
    ],
)
@pytest.mark.parametrize("rule", ["non_inferior", "superior", Delta(delta=-1.0), Minimum(minimum={"roc_auc": 0.0})])
def test_missing_empty_and_nan_never_pass(truth, challenger, champion, rule):
    facts = Facts("binary", "roc_auc", None, truth, challenger, champion, None if champion is None else 1)
    verdict = performance.decide(facts, Performance(rule=rule))
    if champion is BROKEN and isinstance(rule, Minimum):
        assert verdict.outcome is PASSED  # this rule does not look at the champion
    else:
        assert verdict.outcome is INCONCLUSIVE
    assert verdict.reason


def test_a_champion_that_did_not_answer_is_inconclusive():
    facts = Facts("binary", "roc_auc", None, TRUTH, MODEL, None, champion_version=3)
    verdict = performance.decide(facts, Performance())
    assert verdict.outcome is INCONCLUSIVE and "v3" in verdict.reason


@pytest.mark.parametrize(
    ("blame", "outcome"),
    [(ErrorSource.CANDIDATE, FAILED), (ErrorSource.CHAMPION, INCONCLUSIVE), (ErrorSource.GATEKEEPER, INCONCLUSIVE)],
)
def test_only_the_candidates_own_fault_fails_it(blame, outcome):
    verdict = performance.decide(
        Facts("binary", "roc_auc", measurement_error=MeasurementError(blame, "it broke")), Performance()
    )
    assert (verdict.outcome, verdict.reason) == (outcome, "it broke")


CLASSES = np.arange(3000) % 3


def of_classes(sharpness, seed):
    noise = np.random.default_rng(seed).normal(size=(len(CLASSES), 3))
    raw = np.exp(sharpness * np.eye(3)[CLASSES] + noise)
    return Predictions(raw.argmax(axis=1), raw / raw.sum(axis=1, keepdims=True))


@pytest.mark.parametrize(
    ("rows", "sharpness", "settings", "outcome", "says"),
    [
        (CLASSES >= 0, 1.5, {"rule": "superior"}, PASSED, "roc_auc_ovr 0."),
        (CLASSES >= 0, 0.5, {}, FAILED, "worse by more than"),
        (CLASSES >= 0, 1.5, {"rule": Minimum(minimum={"roc_auc_ovr": 0.99})}, FAILED, "at least 0.99 is asked"),
        (CLASSES != 2, 1.5, {}, INCONCLUSIVE, "roc_auc_ovr: no golden row is of class 2"),
        (CLASSES != 2, 1.5, {"rule": Minimum(minimum={"accuracy": 0.1})}, PASSED, "accuracy"),
        ((CLASSES != 2) | (np.arange(3000) < 10), 1.5, {}, INCONCLUSIVE, "3 golden rows of class 2; at least 5"),
    ],
)
def test_several_classes_by_the_auc_of_each_against_the_rest(rows, sharpness, settings, outcome, says):
    challenger, champion = of_classes(sharpness, 1).only(rows), of_classes(1.0, 2).only(rows)
    found = judged(CLASSES[rows], challenger, champion, metric="roc_auc_ovr", problem="multiclass", **settings)
    assert found.outcome is outcome, found.reason
    assert says in found.reason


def test_a_first_champion_without_rows_of_a_class_is_inconclusive():
    rows = CLASSES != 0
    found = judged(CLASSES[rows], of_classes(2, 1).only(rows), metric="roc_auc_ovr", problem="multiclass")
    assert found.outcome is INCONCLUSIVE and "no golden row is of class 0" in found.reason
