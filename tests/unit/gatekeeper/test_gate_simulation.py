"""The performance gate's promises, by simulation through the gate itself: what is nominal is what happens."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest

from contracts import Outcome
from contracts.gate_settings import Delta, Minimum, Performance
from gatekeeper.policy.gates import performance
from gatekeeper.policy.gates.performance import Facts
from gatekeeper.policy.statistics.estimates import Predictions, Series
from support.equal_models import answers, ar1, binormal

PLAIN = {"alpha_spending": False}
others = partial(pytest.param, marks=pytest.mark.exhaustive)
"""Metrics whose bound is made as that of another is, which is simulated in every run."""

AUC, MARGIN = 0.75, 0.02 * 0.25


def passes(
    truth, challenger, champion, *, metric="roc_auc", problem="binary", clusters=None, k=1, series=None, **settings
):
    facts = Facts(
        problem=problem,
        metric=metric,
        truth=truth,
        challenger=challenger,
        champion=champion,
        champion_version=1,
        clusters=clusters,
        k=k,
        series=series,
    )
    return performance.decide(facts, Performance(**settings)).outcome is Outcome.PASSED


def within_chance(times: int, trials: int, nominal: float, sigmas: float = 4.0) -> bool:
    return abs(times / trials - nominal) <= sigmas * math.sqrt(nominal * (1 - nominal) / trials)


@pytest.mark.parametrize(("correlation", "expected"), [(0.9, 0.16), (0.7, 0.29)])
def test_a_step_of_a_hundredth_promotes_equal_models_as_often_as_gates_say(correlation, expected):
    random, trials = np.random.default_rng(51), 1500
    wrong = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, 500, correlation)
        wrong += passes(truth, challenger, champion, rule=Delta(delta=0.01))
    assert within_chance(wrong, trials, expected)


@pytest.mark.parametrize(("rule", "gain"), [("superior", 0.0), ("non_inferior", -MARGIN)])
@pytest.mark.parametrize("correlation", [0.9, 0.7])
def test_delongs_bound_is_wrong_one_time_in_twenty(rule, gain, correlation):
    random, trials = np.random.default_rng(52), 1200
    wrong = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, 500, correlation, (AUC + gain, AUC))
        wrong += passes(truth, challenger, champion, rule=rule, **PLAIN)
    assert within_chance(wrong, trials, 0.05)


def test_of_twenty_equal_challengers_one_is_promoted_unless_alpha_is_spent():
    random, trials = np.random.default_rng(53), 200
    unspent = spent = 0
    for _ in range(trials):
        truth, (champion, *challengers) = binormal(random, 400, 0.9, (AUC,) * 21)
        unspent += any(passes(truth, each, champion, rule="superior", **PLAIN) for each in challengers)
        spent += any(passes(truth, each, champion, rule="superior", k=k) for k, each in enumerate(challengers, 1))
    assert within_chance(unspent, trials, 0.36)
    assert 0.0 < spent / trials < 0.05 + 4 * math.sqrt(0.05 * 0.95 / trials)


def test_an_accuracy_of_nine_tenths_is_reached_by_models_that_have_less():
    random, trials = np.random.default_rng(54), 600
    wrong = 0
    for hits in random.random((trials, 500)) < 0.89:
        wrong += passes(
            np.arange(500) % 2,
            Predictions(np.where(hits, np.arange(500) % 2, 1 - np.arange(500) % 2)),
            None,
            metric="accuracy",
            rule=Minimum(minimum={"accuracy": 0.90}),
        )
    assert within_chance(wrong, trials, 0.26)


@pytest.mark.parametrize("metric", ["pr_auc", others("f1")])
def test_the_bootstraps_bound_is_wrong_one_time_in_twenty(metric):
    random, trials = np.random.default_rng(55), 300
    wrong = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, 150, 0.7, positives=0.4)
        wrong += passes(truth, challenger, champion, metric=metric, rule="superior", **PLAIN)
    assert within_chance(wrong, trials, 0.05)


@pytest.mark.parametrize("metric", ["log_loss", others("brier"), "accuracy"])
def test_other_bounds_of_a_binary_problem_are_wrong_one_time_in_twenty(metric):
    random, trials = np.random.default_rng(56), 1500
    wrong = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, 500, 0.7)
        wrong += passes(truth, challenger, champion, metric=metric, rule="superior", **PLAIN)
    # McNemar's exact test stays below its level.
    assert within_chance(wrong, trials, 0.05 if metric != "accuracy" else 0.045)


@pytest.mark.parametrize("metric", ["mae", others("rmse"), others("mape")])
def test_bounds_of_a_regression_are_wrong_one_time_in_twenty(metric):
    random, trials = np.random.default_rng(57), 1500
    wrong = 0
    for _ in range(trials):
        truth = 5 + random.random(300)
        common, one, other = random.normal(size=(3, 300))
        challenger, champion = Predictions(truth + common + one), Predictions(truth + common + other)
        wrong += passes(
            truth, challenger, champion, metric=metric, problem="regression", rule="superior", margin_share=0.5, **PLAIN
        )
    assert within_chance(wrong, trials, 0.05)


@pytest.mark.parametrize("metric", ["accuracy", others("log_loss")])
def test_bounds_of_a_multiclass_problem_are_wrong_one_time_in_twenty(metric):
    random, trials = np.random.default_rng(58), 1000
    wrong = 0
    for _ in range(trials):
        truth = random.integers(0, 3, 400)
        common = 1.5 * np.eye(3)[truth] + random.normal(size=(400, 3))
        both = []
        for _ in range(2):
            raw = np.exp(common + 0.7 * random.normal(size=(400, 3)))
            both.append(Predictions(raw.argmax(axis=1), raw / raw.sum(axis=1, keepdims=True)))
        wrong += passes(truth, *both, metric=metric, problem="multiclass", rule="superior", **PLAIN)
    assert within_chance(wrong, trials, 0.05 if metric != "accuracy" else 0.045)


@pytest.mark.parametrize("metric", ["roc_auc", others("accuracy"), others("brier")])
def test_rows_of_one_entity_are_not_taken_for_independent(metric):
    """Fifty entities of eight rows, in which either model is off in its own way: by rows, chance looks certain."""
    random, trials = np.random.default_rng(59), 500
    codes = np.arange(400) % 50
    by_rows = by_entities = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, 400, 0.7, entities=codes)
        case = {"metric": metric, "rule": "superior"} | PLAIN
        by_rows += passes(truth, challenger, champion, **case)
        by_entities += passes(truth, challenger, champion, clusters=codes, **case)
    assert by_rows / trials > 0.06
    assert by_rows > 1.4 * by_entities
    assert by_entities / trials < 0.05 + 0.01 + 4 * math.sqrt(0.06 * 0.94 / trials)
    assert by_entities / trials > 0.01  # of accuracy 2 %: McNemar's exact test, and counts rounded outwards


def of_series(random, metric, points, correlation, entities):
    """Labels and answers of two equal models by time and entity: errors depend on those before, and on each other's."""
    rows = np.repeat(np.arange(points), entities)

    def errors():
        return (ar1(random, points, correlation)[rows] + random.normal(size=len(rows))) / math.sqrt(2)

    if metric in ("mae", "smape"):
        truth = 10 + random.normal(size=len(rows))
        return truth, *(Predictions(truth + errors()) for _ in range(2)), rows
    truth, both = binormal(random, len(rows), 0.5, own=errors)
    return truth, *both, rows


@pytest.mark.parametrize(
    ("metric", "points", "correlation", "entities"),
    [
        ("mae", 400, 0.9, 1),
        ("roc_auc", 400, 0.9, 3),
        *(
            others(metric, points, correlation, entities)
            for metric in ("mae", "smape", "roc_auc", "accuracy", "log_loss")
            for points in (200, 1000)
            for correlation in (0.0, 0.7, 0.9)
            for entities in (1, 3)
        ),
        others("f1", 400, 0.9, 1),
        others("pr_auc", 400, 0.9, 3),
    ],
)
def test_rows_ordered_in_time_are_not_taken_for_independent(metric, points, correlation, entities):
    """Of one series or a few: by rows, what lasts for hours looks like the evidence of many."""
    random = np.random.default_rng(62)
    trials = 150 if metric in ("f1", "pr_auc") else 1000
    by_rows = by_blocks = 0
    for _ in range(trials):
        truth, challenger, champion, at = of_series(random, metric, points, correlation, entities)
        series = Series(np.full(len(at), np.nan), None, at)
        case = {"metric": metric, "rule": "superior"} | PLAIN
        case["problem"] = "regression" if metric in ("mae", "smape") else "binary"
        by_rows += passes(truth, challenger, champion, **case)
        clusters = np.arange(len(at)) % entities if entities > 1 else None
        by_blocks += passes(truth, challenger, champion, series=series, clusters=clusters, **case)
    if correlation == 0.9 and trials == 1000:
        assert by_rows > 1.4 * by_blocks
    # A block is estimated, and McNemar's test exact: a point and a half above the level, or somewhat below.
    assert 0.015 < by_blocks / trials < 0.065 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_a_bound_covers_the_truth_nineteen_times_in_twenty():
    """A cold start: the floor is what the model truly has, so passing it is the bound's error."""
    random, trials = np.random.default_rng(60), 1200
    wrong = 0
    for _ in range(trials):
        truth, (model, _) = binormal(random, 400, 0.5)
        facts = Facts(problem="binary", metric="roc_auc", truth=truth, challenger=model)
        verdict = performance.decide(facts, Performance(floor={"roc_auc": AUC}))
        wrong += verdict.outcome is Outcome.PASSED
    assert within_chance(wrong, trials, 0.05)


def test_with_the_rows_it_asks_for_an_equal_model_passes_four_times_in_five():
    random, trials = np.random.default_rng(61), 400
    truth, (challenger, champion) = binormal(random, 100_000, 0.9)
    facts = Facts(
        problem="binary", metric="roc_auc", truth=truth, challenger=challenger, champion=champion, champion_version=1
    )
    settings = Performance(margin_share=0.1, **PLAIN)
    needed = performance.decide(facts, settings).details["rows_for_power"]
    passed = 0
    for _ in range(trials):
        truth, (challenger, champion) = binormal(random, needed, 0.9)
        passed += passes(truth, challenger, champion, margin_share=0.1, **PLAIN)
    assert within_chance(passed, trials, 0.8)


def test_the_reason_says_which_level_was_used():
    random = np.random.default_rng(62)
    truth, (challenger, champion) = binormal(random, 400, 0.9)
    facts = {"truth": truth, "challenger": challenger, "champion": champion, "champion_version": 1}
    third = performance.decide(Facts("binary", "roc_auc", **facts, k=3), Performance())
    assert "99.66 % (α 0.0034 of 0.05, for challenger 3 on these rows) bounds" in third.reason
    assert third.details["alpha_k"] == pytest.approx(0.05 * 6 / math.pi**2 / 9)
    assert (third.details["alpha"], third.details["k"]) == (0.05, 3)
    plain = performance.decide(Facts("binary", "roc_auc", **facts, k=3), Performance(**PLAIN))
    assert " 95 % bounds" in plain.reason
    assert plain.details["alpha_k"] == 0.05


def test_the_bootstraps_seed_and_draws_are_evidence():
    random = np.random.default_rng(63)
    truth, (challenger, champion) = binormal(random, 400, 0.9)
    facts = Facts("binary", "pr_auc", None, truth, challenger, champion, 1, clusters=np.arange(400) // 2)
    first, second = (performance.decide(facts, Performance()).model_dump_json() for _ in range(2))
    assert first == second
    details = performance.decide(facts, Performance()).details
    assert details["bootstrap"] == {"draws": 2000, "seed": 20130101}
    assert (details["method"], details["entities"]) == ("bootstrap", 200)


@pytest.mark.parametrize(
    ("clusters", "positives", "says"),
    [
        (np.arange(400) % 29, 0.5, "29 entities among the golden rows with labels; at least 30"),
        (np.arange(400) % 50, 0.01, "4 entities among the golden rows of the rarer class; at least 5"),
    ],
)
def test_many_rows_of_few_entities_are_few(clusters, positives, says):
    truth, (challenger, champion) = binormal(np.random.default_rng(64), 400, 0.9, positives=positives)
    facts = Facts("binary", "roc_auc", None, truth, challenger, champion, 1, clusters=clusters)
    verdict = performance.decide(facts, Performance())
    assert verdict.outcome is Outcome.INCONCLUSIVE and says in verdict.reason


def test_a_class_of_few_rows_is_too_few_for_a_mean_over_classes():
    truth = np.array([0] * 200 + [1] * 196 + [2] * 4)
    model = Predictions(truth, np.eye(3)[truth])
    facts = Facts("multiclass", "f1", None, truth, model, model, 1)
    assert "4 golden rows of class 2" in performance.decide(facts, Performance()).reason


def test_a_class_that_nobody_names_is_answered_right_by_nobody():
    """Or a model that names no class at all would be right wherever it does not know the answer."""
    truth, unknown = np.full(400, -1), Predictions(np.full(400, -1))
    facts = Facts("multiclass", "accuracy", None, truth, unknown, None, None)
    assert performance.decide(facts, Performance()).outcome is Outcome.FAILED
    assert answers(np.array([0.4, 0.6])).labels.tolist() == [0, 1]
