"""The problem of a version whose policy does not state it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from contracts.metrics import DEFAULT_METRIC, METRICS
from contracts.policy import ModelPolicy
from contracts.problem import Label, find


@pytest.mark.parametrize(
    ("declared", "classes", "label", "problem", "because"),
    [
        ("regression", (0, 1), Label("y", "text", 3), "regression", "the model's metadata says problem: regression"),
        (None, ("no", "yes"), Label("y", "integer", 500), "binary", "the model has 2 classes"),
        (None, ("a", "b", "c"), None, "multiclass", "the model has 3 classes"),
        ("ranking", None, Label("y", "text", 2), "binary", "the label 'y' has 2 different values, text"),
        (None, None, Label("y", "text", 400), "multiclass", "the label 'y' has 400 different values, text"),
        (None, None, Label("y", "boolean", 2), "binary", "the label 'y' has 2 different values, true or false"),
        (None, None, Label("y", "integer", 2), "binary", "the label 'y' has 2 different values, integers"),
        (None, None, Label("y", "integer", 1), "binary", "the label 'y' has 1 different values, integers (one class)"),
        (None, None, Label("y", "integer", 20), "multiclass", "the label 'y' has 20 different values, integers"),
        (None, None, Label("y", "integer", 21), "regression", "the label 'y' has 21 different values, integers"),
        (None, None, Label("y", "number", 2), "regression", "the label 'y' has numbers with a fraction"),
    ],
)
def test_found_by_the_first_that_determines_it(
    declared: Any, classes: tuple[Any, ...] | None, label: Label | None, problem: str, because: str
) -> None:
    found = find(declared, classes, label)
    assert found is not None
    assert (found.problem, found.because) == (problem, because)


@pytest.mark.parametrize("label", [None, Label("y", "text", 0)])
def test_unknown_without_any_of_them(label: Label | None) -> None:
    assert find(None, None, label) is None


@pytest.mark.parametrize(
    ("written", "stated", "problem", "metric"),
    [
        ({}, False, "binary", "roc_auc"),
        ({"problem": "regression"}, True, "regression", "mae"),
        ({"problem": "multiclass"}, True, "multiclass", "accuracy"),
        ({"metric": "rmse"}, True, "regression", "rmse"),
        ({"metric": "pr_auc"}, True, "binary", "pr_auc"),
        ({"recipe": "shop:recipe"}, True, "binary", "roc_auc"),
        ({"recipe": "shop:recipe", "metric": "mae"}, True, "regression", "mae"),
        ({"metric": "accuracy"}, False, "binary", "accuracy"),
        ({"gates": {"performance": {"floor": {"mape": 0.2}}}}, True, "regression", "mae"),
        ({"gates": {"performance": {"rule": {"minimum": {"roc_auc_ovr": 0.6}}}}}, True, "multiclass", "accuracy"),
        ({"gates": {"performance": {"floor": {"f1": 0.2}}}}, False, "binary", "roc_auc"),
    ],
)
def test_what_a_policy_leaves_out_follows_from_the_rest(
    written: dict[str, Any], stated: bool, problem: str, metric: str
) -> None:
    policy = ModelPolicy.model_validate({"model": "shop", **written})
    assert (policy.states_problem, policy.problem, policy.metric) == (stated, problem, metric)


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_completed_for_a_version(problem: Any) -> None:
    written = ModelPolicy.model_validate({"model": "shop", "gates": {"latency": False}, "drift": {"cooldown": "2h"}})
    policy = written.completed(problem)
    assert (policy.problem, policy.metric, policy.states_problem) == (problem, DEFAULT_METRIC[problem], True)
    assert problem in METRICS[policy.metric].problems
    assert (policy.gates, policy.drift, policy.digest) == (written.gates, written.drift, written.digest)
    assert policy.completed("regression") is policy, "it states its problem now"
    assert ModelPolicy.model_validate(policy.model_dump(mode="json")).problem == problem, "evidence keeps it"
    stated = ModelPolicy.model_validate({"model": "shop", "problem": problem})
    assert stated.digest != ModelPolicy.model_validate({"model": "shop"}).digest, "they do not do the same"


def test_a_metric_that_the_problem_does_not_have() -> None:
    with pytest.raises(ValueError, match="metric 'accuracy' is not defined for a regression problem"):
        ModelPolicy.model_validate({"model": "shop", "metric": "accuracy"}).completed("regression")
    with pytest.raises(ValidationError, match="no problem has all of these metrics: f1, mae"):
        ModelPolicy.model_validate({"model": "shop", "metric": "mae", "gates": {"performance": {"floor": {"f1": 0.5}}}})
