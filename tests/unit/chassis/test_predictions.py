"""What a model answered, read one way everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.predictions import read


@pytest.mark.parametrize(
    ("raw", "problem", "labels", "scores"),
    [
        ([0.2, 0.7], "binary", [0, 1], [0.2, 0.7]),
        ([[0.8, 0.2], [0.3, 0.7]], "binary", [0, 1], [0.2, 0.7]),
        (pd.DataFrame({"p": [0.2, 0.7]}), "binary", [0, 1], [0.2, 0.7]),
        ([True, False], "binary", [1, 0], None),
        ([1, 0], "binary", [1, 0], None),
        ([[1], [0]], "binary", [1, 0], None),
        ([1.0, 0.0], "binary", [1, 0], [1.0, 0.0]),
        ([[3.5], [4.5]], "regression", [3.5, 4.5], None),
        ([[0.1, 0.6, 0.3]], "multiclass", [1], [[0.1, 0.6, 0.3]]),
        (["a", "b"], "multiclass", ["a", "b"], None),
    ],
)
def test_the_usual_shapes(raw: Any, problem: str, labels: list[Any], scores: Any) -> None:
    answers = read(raw, problem)
    assert answers.labels.tolist() == labels
    assert (answers.scores.tolist() if answers.scores is not None else None) == scores


def test_classes_name_the_labels() -> None:
    assert read([[0.8, 0.2], [0.1, 0.9]], "binary", classes=["no", "yes"]).labels.tolist() == ["no", "yes"]
    assert read([[0.1, 0.9, 0.0]], "multiclass", classes=["x", "y", "z"]).labels.tolist() == ["y"]


@pytest.mark.parametrize(
    ("raw", "problem", "classes", "labels"),
    [
        ([1.0, 0.0], "binary", (0, 1), [1, 0]),
        (["1", "0"], "binary", (0, 1), [1, 0]),
        ([1, 0], "binary", (False, True), [True, False]),
        (["yes", "no"], "binary", ("no", "yes"), ["yes", "no"]),
        ([2.0, 0.0], "multiclass", (0, 1, 2), [2, 0]),
        (np.array([["a"], ["b"]], dtype=object), "multiclass", ("a", "b"), ["a", "b"]),
        ([1, 7], "multiclass", (0, 1), [1, 7]),
    ],
)
def test_labels_are_classes_however_they_are_written(raw: Any, problem: str, classes: Any, labels: list[Any]) -> None:
    answers = read(raw, problem, classes, are_labels=True)
    assert answers.scores is None
    assert [(type(label), label) for label in answers.labels.tolist()] == [(type(label), label) for label in labels]


@pytest.mark.parametrize(
    ("raw", "problem", "rows", "message"),
    [
        ([0.5, float("nan")], "binary", None, "1 of 2 answers are NaN"),
        ([0.5, float("inf")], "regression", None, "NaN or infinite"),
        (["yes", "no"], "binary", None, "prediction 'yes' is none of the classes [0, 1]"),
        ([0, 2], "binary", None, "prediction 2 is none of the classes [0, 1]"),
        ([["yes", "no"]], "binary", None, "expected numbers"),
        ([None, 0.5], "binary", None, "expected numbers"),
        ([1.5], "binary", None, "outside [0, 1]"),
        ([[0.1, 0.2, 0.7]], "binary", None, "(1, 3)"),
        ([[[0.1]]], "binary", None, "shape (1, 1, 1)"),
        (0.5, "binary", None, "of type float"),
        ([0.5], "binary", 2, "1 answers for 2 rows"),
        ([[0.5, 0.5]], "regression", None, "one number a row"),
    ],
)
def test_what_makes_no_sense_is_refused(raw: Any, problem: str, rows: int | None, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(np.array(raw, dtype=object) if raw == [None, 0.5] else raw, problem, rows=rows)
    assert message in str(caught.value)


BY_CLASS = [{"late": 0.2, "early": 0.8}, {"late": 0.7, "early": 0.3}]
OUTPUTS: dict[str, tuple[Any, str, Any, list[Any], Any]] = {
    "probabilities by class": (
        {"label": ["early", "late"], "probability": BY_CLASS}, "binary", ("early", "late"),
        ["early", "late"], [0.2, 0.7],
    ),
    "in a table": (
        pd.DataFrame({"label": ["early", "late"], "probability": BY_CLASS}), "binary", ("early", "late"),
        ["early", "late"], [0.2, 0.7],
    ),
    "in the output's own order": ({"label": ["a", "b"], "p": BY_CLASS}, "binary", None, ["early", "late"], [0.8, 0.3]),
    "of many classes": (
        {"label": [1, 2], "p": [{1: 0.5, 2: 0.3, 3: 0.2}, {1: 0.1, 2: 0.6, 3: 0.3}]}, "multiclass", (3, 1, 2), [1, 2],
        [[0.2, 0.5, 0.3], [0.3, 0.1, 0.6]],
    ),
    "a matrix beside a label": (
        {"label": np.array([0, 1]), "probabilities": np.array([[0.8, 0.2], [0.3, 0.7]])}, "binary", None,
        [0, 1], [0.2, 0.7],
    ),
    "one output": ({"variable": np.array([[2.5], [3.5]])}, "regression", None, [2.5, 3.5], None),
    "labels and no scores": ({"label": ["a", "b"], "distance": [0.1, 7.0]}, "multiclass", None, ["a", "b"], None),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTPUTS)
def test_of_several_outputs_the_scores_are_read_by_the_names_of_their_classes(name: str) -> None:
    raw, problem, classes, labels, scores = OUTPUTS[name]
    answers = read(raw, problem, classes, rows=2)
    assert answers.labels.tolist() == labels
    assert (answers.scores.tolist() if answers.scores is not None else None) == scores


@pytest.mark.parametrize(
    ("raw", "problem", "classes", "message"),
    [
        ({"a": [0.1], "b": [0.2]}, "regression", None, "the outputs 'a', 'b'; expected one"),
        ({"a": [0.1], "b": [0.2]}, "binary", None, "the outputs 'a', 'b'; expected one"),
        ({"label": ["a"], "p": BY_CLASS[:1]}, "binary", (0, 1), "scores of the classes ['late', 'early']; expected"),
    ],
)
def test_outputs_that_leave_it_open_which_is_meant_are_refused(
    raw: Any, problem: str, classes: Any, message: str
) -> None:
    with pytest.raises(ValueError) as caught:
        read(raw, problem, classes)
    assert message in str(caught.value)
