"""How a candidate's predictions are read, as its promotion says: the problem, classes and label of its gates."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.mlmodel import MLmodel
from contracts import ModelRegistered, OutputFormat
from contracts.metrics import Problem
from gatekeeper.evaluation.golden_rows import GoldenRows
from gatekeeper.evaluation.measurements import Measurements


def measured(problem: Problem, own: Any, golden: Any = None, **changes: Any) -> Measurements:
    rows = GoldenRows(pd.DataFrame({"a": [1.0]}), np.zeros(1), golden, "late", 1, 0, frozenset())
    description = MLmodel(True, ("a",), own, {"label": "declared"})
    known = {"description": description, "golden": rows, "artifact_digest": "sha256:aa", **changes}
    return Measurements(ModelRegistered(model_name="flights", model_version=3), problem, **known)


@pytest.mark.parametrize(
    ("problem", "own", "golden", "classes"),
    [
        ("binary", ("no", "yes"), ("no", "yes"), ("no", "yes")),
        ("binary", None, (0, 1), (0, 1)),
        ("binary", (False, True), (False, True), (False, True)),
        ("multiclass", ("b", "a"), ("b", "a", "c"), ("b", "a")),
        ("multiclass", None, ("a", "b", "c"), ("a", "b", "c")),
        ("multiclass", (pd.Timestamp("2013-01-01"),), None, ("2013-01-01 00:00:00",)),
        ("regression", ("no", "yes"), None, ()),
    ],
)
def test_classes_are_the_models_own_in_the_order_of_its_scores(
    problem: Problem, own: Any, golden: Any, classes: tuple[Any, ...]
) -> None:
    found = measured(problem, own, golden).output
    assert found == OutputFormat(problem=problem, classes=classes, label="late")
    assert [type(name) for name in found.classes] == [type(name) for name in classes]
    assert OutputFormat.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("changes", "label"), [({}, "late"), ({"golden": None}, "declared")])
def test_the_label_is_that_of_the_golden_rows_else_what_the_model_declares(changes: Any, label: str) -> None:
    measurements = measured("regression", None)
    for name, value in changes.items():
        setattr(measurements, name, value)
    assert measurements.output == OutputFormat(problem="regression", label=label)


def test_entity_and_event_time_are_those_of_the_golden_rows_so_that_serving_takes_them() -> None:
    measurements = measured("binary", None, (0, 1))
    assert measurements.golden is not None
    measurements.golden = replace(measurements.golden, entity="who", event_time="at")
    assert measurements.output is not None
    assert (measurements.output.entity, measurements.output.event_time) == ("who", "at")


@pytest.mark.parametrize("changes", [{"artifact_digest": None}, {"artifact_problem": "no MLmodel file"}])
def test_nothing_is_said_of_a_model_that_could_not_be_read(changes: dict[str, Any]) -> None:
    assert measured("binary", None, (0, 1), **changes).output is None
