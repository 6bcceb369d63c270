"""Importance of a version's columns, and its golden predictions: a real model in a real sandbox."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from chassis.parquet import read_frame
from contracts.golden_predictions import ENTITY, EVENT_TIME, LABEL, PREDICTION, SCORE
from gatekeeper.evaluation.importance import permutation
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import golden_predictions
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.importance import FEWEST_ROWS, ROWS, Importance, importance_of, rows_within
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.report import importance as section
from gatekeeper.sandbox.sandbox import Sandbox
from support.judging import Bench

RANDOM = np.random.default_rng(7)
N = 3000
GOLDEN = pd.DataFrame(RANDOM.normal(size=(N, 3)), columns=["strong", "weak", "unused"])
GOLDEN["late"] = (3 * GOLDEN["strong"] + GOLDEN["weak"] + RANDOM.normal(size=N) > 0).astype(int)
GOLDEN["who"] = [f"n{number % 700}" for number in range(N)]
GOLDEN["at"] = pd.date_range("2026-01-01", periods=N, freq="min", tz="UTC")
FEATURES = ["strong", "weak", "unused"]


def nothing(_share: float, _what: str) -> None:
    pass


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Any:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    made = Bench(tmp_path_factory.mktemp("bench"), sandbox, entity="who")
    model = LogisticRegression().fit(GOLDEN[FEATURES], GOLDEN["late"])
    model.coef_[0, 2] = 0.0
    roles = {"label": "late", "classes": [0, 1], "entity": "who", "event_time": "at"}
    made.sklearn("one", model, GOLDEN[FEATURES], metadata={"gauntlet": roles})
    made.verdicts("one", made.golden(GOLDEN, index=False))
    yield made
    sandbox.close()


@pytest.fixture
def measured(bench: Bench) -> Measurements:
    return replace(bench.measurements)


def test_the_metric_is_worse_for_the_columns_that_the_model_uses(bench: Bench, measured: Measurements) -> None:
    bench.evaluator.explain(measured, bench.policy, threading.Event(), nothing)
    found = measured.importance
    assert found is not None and found.problem is None and found.missing == ()
    assert (found.metric, found.rows) == ("roc_auc", ROWS)
    assert list(found.worse) == ["strong", "weak", "unused"]
    assert found.worse["strong"] > 0.2 > found.worse["weak"] > 0.01 and found.worse["unused"] == 0.0
    before = measured.importance
    bench.evaluator.explain(measured, bench.policy, threading.Event(), nothing)
    assert measured.importance is not None
    assert measured.importance.worse == before.worse, "the same permutation each time"


def test_columns_for_which_there_is_no_time_are_named(bench: Bench, measured: Measurements, monkeypatch: Any) -> None:
    monkeypatch.setattr("gatekeeper.evaluation.importance.SECONDS", 1e-9)
    bench.evaluator.explain(measured, bench.policy, threading.Event(), nothing)
    found = measured.importance
    assert found is not None and list(found.worse) == ["strong"] and found.missing == ("weak", "unused")
    assert found.problem == "the time for permuted columns, 1e-09 s, was over"


def test_the_limit_of_columns_is_stated(bench: Bench, measured: Measurements, monkeypatch: Any) -> None:
    monkeypatch.setattr("gatekeeper.evaluation.importance.MOST_COLUMNS", 2)
    bench.evaluator.explain(measured, bench.policy, threading.Event(), nothing)
    found = measured.importance
    assert found is not None and set(found.worse) == {"strong", "weak"} and found.missing == ("unused",)
    assert found.problem == "only the first 2 of 3 columns are permuted"


def test_a_version_without_golden_predictions_has_none(bench: Bench, measured: Measurements, tmp_path: Path) -> None:
    measured.golden = None
    bench.evaluator.explain(measured, bench.policy, threading.Event(), nothing)
    assert measured.importance is None
    store = EvidenceStore(tmp_path, bench.registry)  # type: ignore[arg-type]
    assert golden_predictions.keep(measured, bench.policy, store) is None


def test_golden_predictions_are_what_the_gates_saw(bench: Bench, measured: Measurements, tmp_path: Path) -> None:
    store = EvidenceStore(tmp_path, bench.registry)  # type: ignore[arg-type]
    kept = golden_predictions.keep(measured, bench.policy, store)
    assert kept is not None and kept.rows == N
    found = read_frame(bench.registry.download(kept.uri, tmp_path))
    assert list(found.columns) == [*FEATURES, LABEL, PREDICTION, SCORE, ENTITY, EVENT_TIME]
    pd.testing.assert_frame_equal(found[FEATURES], GOLDEN[FEATURES])
    assert found[LABEL].tolist() == GOLDEN["late"].tolist() and found[ENTITY].tolist() == GOLDEN["who"].tolist()
    assert (found[EVENT_TIME] == GOLDEN["at"]).all()
    assert measured.probe is not None and found[SCORE].tolist() == measured.probe.golden.tolist()  # type: ignore[union-attr]
    assert ((found[SCORE] >= 0.5).astype(int) == found[PREDICTION]).all()
    again = golden_predictions.keep(measured, bench.policy, store)
    assert again == kept, "the same rows, the same file"


def test_a_permutation_takes_each_row_once_and_few_stay_in_place() -> None:
    order = permutation(ROWS)
    assert sorted(order.tolist()) == list(range(ROWS)) and (order == np.arange(ROWS)).sum() < 10


@pytest.mark.parametrize(
    ("columns", "seconds_a_row", "rows"),
    [(20, None, ROWS), (0, 1.0, ROWS), (20, 1e-6, ROWS), (20, 5e-4, 1000), (100, 1e-2, FEWEST_ROWS)],
)
def test_a_slow_model_with_many_columns_predicts_fewer_rows(
    columns: int, seconds_a_row: float | None, rows: int
) -> None:
    assert rows_within(columns, seconds_a_row) == rows


def test_worse_is_positive_in_either_direction_of_the_metric() -> None:
    truth, right = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 2.0, 3.0, 4.0])
    wrong = right[::-1].copy()
    found = importance_of("mae", truth, Predictions(right), {"a": Predictions(wrong)}, ["a", "b"], problem="no time")
    assert found == Importance("mae", 0.0, 4, {"a": 2.0}, ("b",), "no time")
    classes, score = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9])
    labels = (score >= 0.5).astype(int)
    flipped = {"a": Predictions(1 - labels, score[::-1].copy())}
    found = importance_of("roc_auc", classes, Predictions(labels, score), flipped, ["a"])
    assert found.worse == {"a": roc_auc_score(classes, score)} and found.problem is None


def test_a_metric_that_is_not_defined_is_a_problem_and_no_error() -> None:
    one_class = np.ones(4, dtype=int)
    found = importance_of("roc_auc", one_class, Predictions(one_class, np.ones(4)), {}, ["a"])
    assert found.worse == {} and found.missing == ("a",) and found.problem


def test_the_section_of_the_page() -> None:
    found = {"metric": "roc_auc", "value": 0.75, "rows": 2000, "worse": {"a": 0.01, "b": 0.125}, "missing": []}
    told = section.shown({"importance": {**found, "problem": None}})
    assert told is not None and "on 2,000 golden rows" in told.text and "0.7500" in told.text
    assert told.section.tables[0].rows == (("b", 0.125), ("a", 0.01))
    part = section.shown({"importance": {**found, "missing": ["c"], "problem": "the time was over"}})
    assert part is not None and "Not measured: 1 columns (c): the time was over" in part.text
    none = section.shown({"importance": {**found, "worse": {}, "problem": "it crashed"}})
    assert none is not None and none.headline == "not known" and none.text == "it crashed."
    assert section.shown(None) is None and section.shown({"importance": None}) is None
    assert section.shown({"importance": {"metric": "of another format"}}) is None
