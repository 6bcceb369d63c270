"""Metrics of an estimator, by problem; what cannot be judged is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from chassis.errors import Permanent
from contracts.metrics import METRICS, Problem
from trainer.training.evaluation import classes_of, evaluate

ROWS = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0]})


@dataclass
class Fixed:
    """An estimator that knows its answers."""

    answers: Any
    classes: tuple[Any, ...] = (0, 1)

    @property
    def classes_(self) -> np.ndarray:
        return np.asarray(self.classes)

    def predict_proba(self, _features: pd.DataFrame) -> Any:
        return np.asarray(self.answers)

    def predict(self, _features: pd.DataFrame) -> Any:
        return np.asarray(self.answers)


def binary(*positive: float) -> Fixed:
    return Fixed([[1 - score, score] for score in positive])


def test_the_metrics_of_a_binary_model_are_the_textbook_ones() -> None:
    found = evaluate(binary(0.1, 0.6, 0.4, 0.9), ROWS, pd.Series([0, 0, 1, 1]), "binary")
    assert found["roc_auc"] == 0.75  # three of the four pairs are in order
    assert found["accuracy"] == 0.5
    assert found["f1"] == 0.5
    assert found["pr_auc"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["brier"] == pytest.approx((0.01 + 0.36 + 0.36 + 0.01) / 4)
    assert found["log_loss"] == pytest.approx(-sum(map(math.log, (0.9, 0.4, 0.4, 0.9))) / 4)


def test_without_both_classes_there_is_no_auc() -> None:
    found = evaluate(binary(0.1, 0.6, 0.4, 0.9), ROWS, pd.Series([1, 1, 1, 1]), "binary")
    assert "roc_auc" not in found
    assert found["accuracy"] == 0.5


def test_a_multiclass_model_is_judged_in_the_order_of_its_classes() -> None:
    scores = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1]]
    found = evaluate(Fixed(scores, ("a", "b", "c")), ROWS, pd.Series(["a", "b", "c", "a"]), "multiclass")
    assert found["accuracy"] == 0.75
    truth, ordered = [0, 1, 2, 0], np.array(scores)
    assert found["roc_auc_ovr"] == pytest.approx(roc_auc_score(truth, ordered, multi_class="ovr", average="macro"))
    assert found["log_loss"] == pytest.approx(-(3 * math.log(0.8) + math.log(0.2)) / 4)


def test_a_class_that_was_never_trained_costs_the_log_loss_but_not_the_accuracy() -> None:
    found = evaluate(binary(0.1, 0.6, 0.4, 0.9), ROWS, pd.Series([0, 1, 2, 1]), "multiclass")
    assert found == {"accuracy": 0.75, "f1": pytest.approx((2 / 3 + 1 + 0) / 3)}


def test_a_regression_is_judged_by_its_errors() -> None:
    found = evaluate(Fixed([1.0, 2.0, 3.0, 8.0]), ROWS, pd.Series([1.0, 2.0, 3.0, 4.0]), "regression")
    assert found == {"mae": 1.0, "rmse": 2.0, "mape": 0.25, "smape": pytest.approx(2 * 4 / 12 / 4), "pinball": 0.5}


def test_a_label_of_zero_has_no_relative_error() -> None:
    assert "mape" not in evaluate(Fixed([1.0, 2.0, 3.0, 8.0]), ROWS, pd.Series([0.0, 2.0, 3.0, 4.0]), "regression")


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_every_metric_is_one_that_a_policy_may_name(problem: Problem) -> None:
    estimator = Fixed([1.0, 0.0, 1.0, 0.0]) if problem == "regression" else binary(0.1, 0.6, 0.4, 0.9)
    found = evaluate(estimator, ROWS, pd.Series([1, 2, 1, 2] if problem == "regression" else [0, 1, 0, 1]), problem)
    assert set(found) == {
        name for name, metric in METRICS.items() if problem in metric.problems and not metric.of_series
    }


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([[0.5, 0.5]], "shape (1, 2) to 4 rows"),
        ([0.1, 0.2, 0.3, 0.4], "shape (4,) to 4 rows; expected (4, 2)"),
        ([[0.5, float("nan")]] * 4, "4 values that are NaN or infinite"),
    ],
)
def test_answers_that_are_none_are_refused(answers: Any, said: str) -> None:
    with pytest.raises(Permanent) as caught:
        evaluate(Fixed(answers), ROWS, pd.Series([0, 1, 0, 1]), "binary")
    assert said in str(caught.value)


def test_a_binary_model_must_know_zero_and_one() -> None:
    assert classes_of(binary(0.5), "binary") == [0, 1]
    assert classes_of(Fixed([1.0]), "regression") == []
    with pytest.raises(Permanent, match="must have seen 0 and 1"):
        classes_of(Fixed([], (1,)), "binary")
    with pytest.raises(Permanent, match="has no predict_proba"):
        classes_of(object(), "binary")
