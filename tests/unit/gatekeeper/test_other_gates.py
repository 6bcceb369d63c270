"""Slices, fairness, robustness, dependents: a table of cases each."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from contracts.gate_settings import Dependents, Fairness, Robustness, Slices
from gatekeeper.policy.gates import dependents, fairness, robustness, slices
from gatekeeper.policy.gates.slices import Grouping
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.statistics.estimates import Predictions, Series

N = 6000
RANDOM = np.random.default_rng(11)
TRUTH = (RANDOM.random(N) < 0.5).astype(np.int64)
GROUP = np.arange(N) % 3
SCORES = np.clip(0.5 + 0.4 * (TRUTH - 0.5) + RANDOM.normal(0, 0.25, N), 0.001, 0.999)
BLIND = RANDOM.random(N)
TROUBLE = MeasurementError(ErrorSource.DATA, "no rows")


def answers(scores: np.ndarray) -> Predictions:
    return Predictions((scores >= 0.5).astype(np.int64), scores)


def blind_in(*groups: int) -> Predictions:
    """Good, but in these groups it guesses."""
    return answers(np.where(np.isin(GROUP, groups), BLIND, SCORES))


def nudged(seed: int) -> Predictions:
    """Another model that is as good."""
    return answers(np.clip(SCORES + np.random.default_rng(seed).normal(0, 0.02, N), 0, 1))


SLICED = slices.Facts(
    "roc_auc",
    truth=TRUTH,
    challenger=nudged(1),
    champion=answers(SCORES),
    champion_version=1,
    groupings={"origin": Grouping(("EWR", "JFK", "LGA"), GROUP), "rare": Grouping(("no", "yes"), (GROUP * 0 + 0))},
)


@pytest.mark.parametrize(
    ("changes", "settings", "outcome", "says"),
    [
        ({}, {}, "Passed", "no slice of 4 is shown to lose more than"),
        ({"challenger": blind_in(2)}, {}, "Failed", "origin = LGA: roc_auc 0."),
        ({"challenger": blind_in(1, 2)}, {}, "Failed", "(and "),
        ({"challenger": blind_in(2), "champion": blind_in(2)}, {}, "Passed", "no slice"),  # no worse than before
        ({"champion": None, "champion_version": None}, {}, "Passed", "no champion yet"),
        ({"champion": None}, {}, "Inconclusive", "has not answered"),
        ({"measurement_error": TROUBLE}, {}, "Inconclusive", "no rows"),
        ({"truth": TRUTH[:0]}, {}, "Inconclusive", "no clean golden rows"),
        ({}, {"minimum_rows": 10_000}, "Inconclusive", "no slice has 10000 rows"),
        ({"truth": np.ones(N, dtype=int)}, {}, "Inconclusive", "roc_auc:"),
    ],
)
def test_slices(changes: dict, settings: dict, outcome: str, says: str) -> None:
    facts = dataclasses.replace(SLICED, **changes)
    verdict = slices.decide(facts, Slices.model_validate({"columns": ["origin"], **settings}))
    assert (verdict.outcome.value, says in verdict.reason) == (outcome, True), verdict.reason


def test_equal_models_rarely_lose_a_slice() -> None:
    """Holm: over all slices together, at most alpha; 3.5 standard errors of 200 tries above it."""
    settings = Slices.model_validate({"columns": ["g"], "margin_share": 1e-9})
    groups = Grouping(tuple("abcdefghij"), np.arange(N) % 10)
    failed = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        one, other = (np.clip(SCORES + random.normal(0, 0.2, N), 0, 1) for _ in range(2))
        facts = slices.Facts("log_loss", None, TRUTH, answers(np.clip(one, 0.01, 0.99)),
                             answers(np.clip(other, 0.01, 0.99)), 1, None, {"g": groups})  # fmt: skip
        failed += slices.decide(facts, settings).outcome.value == "Failed"
    assert failed / 200 <= 0.05 + 3.5 * (0.05 * 0.95 / 200) ** 0.5


FAIR = fairness.Facts(
    "binary",
    truth=TRUTH,
    challenger=answers(SCORES),
    champion=answers(SCORES),
    champion_version=1,
    groupings={"sex": Grouping(("f", "m"), np.arange(N) % 2)},
)
FAVOURING = answers(np.where(np.arange(N) % 2 == 0, np.clip(SCORES + 0.3, 0, 1), SCORES))
LEANING = answers(np.where(np.arange(N) % 2 == 0, np.clip(SCORES + 0.06, 0, 1), SCORES))


@pytest.mark.parametrize("metric", Fairness.model_fields["metric"].annotation.__args__)
@pytest.mark.parametrize("seed", range(12))
def test_fairness_is_fairlearns_to_the_last_digit(metric: str, seed: int) -> None:
    """Also where a group has no positive rows, or none that are negative, or all are labelled alike."""
    from fairlearn import metrics

    random = np.random.default_rng(seed)
    groups = random.integers(0, 2 + seed % 4, N)
    shares = random.choice([0.0, 0.05, 0.5, 1.0], 2 + seed % 4)
    truth = (random.random(N) < shares[groups]).astype(int)
    challenger = answers(random.random(N) if seed else np.full(N, 0.9))
    facts = dataclasses.replace(
        FAIR,
        truth=truth,
        challenger=challenger,
        champion=None,
        groupings={"sex": Grouping(tuple("abcde"[: 2 + seed % 4]), groups)},
    )
    settings = Fairness.model_validate({"columns": ["sex"], "metric": metric, "limit": 1.0})
    found = fairness.decide(facts, settings)
    own = getattr(metrics, metric)(truth, challenger.labels, sensitive_features=groups)
    assert found.observed == own and found.outcome.value == "Passed"


@pytest.mark.parametrize(
    ("changes", "settings", "outcome", "says"),
    [
        ({}, {}, "Passed", "is at most 0.0"),
        ({"challenger": FAVOURING}, {}, "Failed", "0.2 are allowed"),
        ({"challenger": FAVOURING}, {"limit": 0.9}, "Failed", "more than 0.05 above champion v1's"),
        ({"challenger": FAVOURING, "champion": FAVOURING}, {"limit": 0.9}, "Passed", "0.9 are allowed"),
        ({"challenger": LEANING, "champion": None, "champion_version": None}, {}, "Passed", "sex"),
        ({"problem": "regression"}, {}, "Inconclusive", "not for regression"),
        ({}, {"minimum_rows": 5000}, "Inconclusive", "fewer than two groups of 5000 rows"),
        ({"measurement_error": TROUBLE}, {}, "Inconclusive", "no rows"),
        ({"truth": TRUTH[:0]}, {}, "Inconclusive", "no clean golden rows"),
    ],
)
def test_fairness(changes: dict, settings: dict, outcome: str, says: str) -> None:
    verdict = fairness.decide(
        dataclasses.replace(FAIR, **changes), Fairness.model_validate({"columns": ["sex"], **settings})
    )
    assert (verdict.outcome.value, says in verdict.reason) == (outcome, True), verdict.reason


ROBUST = robustness.Facts("roc_auc", truth=TRUTH, clean=answers(SCORES), dirty={"noise": nudged(3)})


@pytest.mark.parametrize(
    ("changes", "outcome", "says"),
    [
        ({}, "Passed", "at worst (numbers are noisy)"),
        ({"dirty": {"missing": answers(BLIND)}}, "Failed", "when cells are missing, roc_auc is 0."),
        ({"faults": {"unseen": "ValueError: unknown category"}}, "Failed", "raised ValueError: unknown category"),
        ({"dirty": {}}, "Inconclusive", "no perturbation of the policy applies"),
        ({"measurement_error": TROUBLE}, "Inconclusive", "no rows"),
        ({"measurement_error": MeasurementError(ErrorSource.CANDIDATE, "died")}, "Failed", "died"),
        ({"truth": np.ones(N, dtype=int)}, "Inconclusive", "roc_auc:"),
    ],
)
def test_robustness(changes: dict, outcome: str, says: str) -> None:
    verdict = robustness.decide(dataclasses.replace(ROBUST, **changes), Robustness())
    assert (verdict.outcome.value, says in verdict.reason) == (outcome, True), verdict.reason


DEPENDING = dependents.Facts(
    truth=TRUTH,
    challenger=nudged(4),
    champion=answers(SCORES),
    champion_version=1,
    challenger_output="[double]",
    champion_output="[double]",
)
MAILING = {"consumers": [{"name": "mailing", "threshold": 0.7, "flagged_change": 0.05, "chain_metric": "accuracy"}]}


@pytest.mark.parametrize(
    ("changes", "settings", "outcome", "says"),
    [
        ({}, MAILING, "Passed", "1 consumers unharmed"),
        ({"challenger_output": "[string]"}, {}, "Failed", "its output is [string], champion v1's [double]"),
        ({"challenger": answers(SCORES / 2)}, {}, "Failed", "distributed otherwise"),
        ({"challenger": answers(SCORES / 2)}, {"max_shift": 1}, "Passed", "1 allowed"),
        ({"challenger": answers(np.sqrt(SCORES))}, {**MAILING, "max_shift": 1}, "Failed", "mailing: at 0.7"),
        ({"challenger": answers(BLIND)}, {**MAILING, "max_shift": 1}, "Failed", "accuracy of its decisions"),
        ({"champion": None, "champion_version": None}, MAILING, "Passed", "no champion yet"),
        ({"champion": None}, MAILING, "Inconclusive", "have not both answered"),
        ({"measurement_error": TROUBLE}, MAILING, "Inconclusive", "no rows"),
    ],
)
def test_dependents(changes: dict, settings: dict, outcome: str, says: str) -> None:
    verdict = dependents.decide(dataclasses.replace(DEPENDING, **changes), Dependents.model_validate(settings))
    assert (verdict.outcome.value, says in verdict.reason) == (outcome, True), verdict.reason


def test_the_decisions_of_a_consumer_are_compared_over_entities_or_blocks_of_time() -> None:
    """Each row four times says no more than once, and neighbours that are alike little more."""
    random = np.random.default_rng(4)
    rows = np.repeat(np.arange(300), 4)
    truth = (random.random(300) < 0.4).astype(int)[rows]
    pair = [Predictions(truth, (0.6 * truth + random.random(300)[rows]) / 1.6) for _ in range(2)]
    settings = Dependents.model_validate({"consumers": [{"name": "c", "threshold": 0.5, "chain_metric": "f1"}]})
    facts = dependents.Facts(None, truth, *pair, champion_version=1)
    order = Series(np.full(len(rows), np.nan), None, np.arange(len(rows)))
    lower = [
        dependents.decide(dataclasses.replace(facts, **units), settings).details["consumers"]["c"]["lower"]
        for units in ({"clusters": rows}, {"series": order}, {})
    ]
    assert max(lower[:2]) < lower[2] - 0.01
