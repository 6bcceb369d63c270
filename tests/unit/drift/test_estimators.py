"""What is fitted on golden predictions: estimates of shifted windows against their labels, and when there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

from contracts import OutputFormat
from contracts.golden_predictions import EVENT_TIME, LABEL, PREDICTION, SCORE
from drift.database.window_rows import PredictedColumns
from drift.policy.predictions import Distribution
from drift.scoring.estimators import fit
from drift.scoring.golden import distribution_of, read, what_of

BINARY = OutputFormat(problem="binary", classes=("stays", "leaves"))
NUMBERS = OutputFormat(problem="regression")
RANDOM = np.random.default_rng(21)


def customers(n: int, spread: float = 1.0) -> tuple[pd.DataFrame, np.ndarray]:
    frame = pd.DataFrame({"a": RANDOM.normal(0, spread, n), "b": RANDOM.normal(size=n)})
    frame["kind"] = RANDOM.choice(["x", "y"], n)
    return frame, (2 * frame["a"] + RANDOM.logistic(size=n) > 0).to_numpy()


TRAINING, LEAVES = customers(4000)
MODEL = LogisticRegression().fit(TRAINING[["a", "b"]], LEAVES)


def predicted(frame: pd.DataFrame) -> PredictedColumns:
    scores = MODEL.predict_proba(frame[["a", "b"]])[:, 1] ** 1.5  # not calibrated
    return PredictedColumns(scores, pd.Series(np.where(scores >= 0.5, "leaves", "stays")))


def golden(n: int = 4000, *, in_time: bool = False) -> pd.DataFrame:
    frame, truth = customers(n)
    said = predicted(frame)
    own = {LABEL: np.where(truth, "leaves", "stays"), PREDICTION: said.answers, SCORE: said.scores}
    return frame.assign(**own, **({EVENT_TIME: pd.date_range("2026-01-01", periods=n, tz="UTC")} if in_time else {}))


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_the_performance_of_a_window_whose_features_moved_is_estimated_from_its_scores(spread: float) -> None:
    fitted = fit(read(golden()), "roc_auc", BINARY, 2000)
    frame, truth = customers(4000, spread)
    said = predicted(frame)
    assert fitted.estimate is not None
    found = fitted.estimate(said, frame)
    assert found is not None
    assert abs(found.raw - roc_auc_score(truth, said.scores)) < 0.03
    assert found.low < found.raw < found.high


def test_its_errors_are_measured_on_windows_of_golden_rows_in_their_order_of_time() -> None:
    fitted = fit(read(golden(in_time=True)), "roc_auc", BINARY, 1000)
    assert len(fitted.errors) == 4 and max(map(abs, fitted.errors)) < 0.05
    assert fit(read(golden()), "roc_auc", BINARY, 1000).errors == (), "without a time, there are no such windows"
    assert fit(read(golden(in_time=True)), "roc_auc", BINARY, 5000).errors == ()


@pytest.mark.parametrize(("metric", "measured"), [("mae", mean_absolute_error), ("rmse", root_mean_squared_error)])
def test_errors_of_a_regression_are_predicted_where_they_are_larger(metric: str, measured: Any) -> None:
    def world(n: int, high: float) -> tuple[pd.DataFrame, np.ndarray]:
        frame = pd.DataFrame({"x": RANDOM.uniform(0, high, n), "kind": RANDOM.choice(["x", "y"], n)})
        return frame, (3 * frame["x"] + RANDOM.normal(size=n) * (0.2 + frame["x"])).to_numpy()

    training, values = world(3000, 1.0)
    model = LinearRegression().fit(training[["x"]], values)
    frame, truth = world(4000, 1.0)
    rows = frame.assign(**{LABEL: truth, PREDICTION: model.predict(frame[["x"]])})
    fitted = fit(read(rows), metric, NUMBERS, 1000)
    assert fitted.estimate is not None
    for low in (0.0, 0.6):  # only the rows of the upper end, which are harder
        moved, truth = world(4000, 1.0)
        part = moved["x"].to_numpy() >= low
        window, answers = moved[part], pd.Series(model.predict(moved.loc[part, ["x"]]))
        found = fitted.estimate(PredictedColumns(np.full(len(window), np.nan), answers), window)
        assert found is not None and found.method == "error model"
        assert found.raw == pytest.approx(measured(truth[part], answers), rel=0.1)


@pytest.mark.parametrize(
    ("rows", "metric", "output", "why"),
    [
        (golden(150), "roc_auc", BINARY, "there are 150 golden predictions, at least 200"),
        (golden(400), "accuracy", OutputFormat(problem="multiclass"), "no estimate of accuracy without labels"),
        (golden(400), "directional_accuracy", NUMBERS, "no estimate of directional_accuracy"),
        (golden(400).assign(**{LABEL: "stays"}), "roc_auc", BINARY, "labels of one class only"),
        (golden(400).drop(columns=SCORE), "roc_auc", BINARY, "carry no scores"),
    ],
)
def test_why_nothing_is_estimated(rows: pd.DataFrame, metric: str, output: OutputFormat, why: str) -> None:
    fitted = fit(read(rows), metric, output, 2000)
    assert fitted.estimate is None and why in fitted.why


def test_a_file_without_the_columns_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no column 'gauntlet\.label'"):
        read(golden(300).drop(columns=LABEL))


NONE = np.full(4, np.nan)


@pytest.mark.parametrize(
    ("scores", "answers", "output", "what", "found"),
    [
        ([0.1, 0.9, np.nan, 0.2], ["a", "b", "a", "a"], None, "scores", Distribution(np.array([0.1, 0.9, 0.2]))),
        (NONE, [1.5, 2.0, "3", None], NUMBERS, "predicted numbers", Distribution(np.array([1.5, 2.0, 3.0]))),
        (NONE, [1.5, 2.0, 3.0, np.nan], None, "predicted numbers", Distribution(np.array([1.5, 2.0, 3.0]))),
        (NONE, [1.0, 2.0, 1.0, 1.0], None, "predicted classes", Distribution(classes={"1": 3.0, "2": 1.0})),
        (
            NONE,
            ["a", None, "a", "b"],
            None,
            "predicted classes",
            Distribution(classes={"a": 2, "(missing)": 1, "b": 1}),
        ),
        (NONE, [True, 1, 0, False], BINARY, "predicted classes", Distribution(classes={"1": 2.0, "0": 2.0})),
    ],
)
def test_what_is_compared_of_the_predictions(
    scores: Any, answers: list[Any], output: OutputFormat | None, what: str, found: Distribution
) -> None:
    rows = PredictedColumns(np.array(scores, dtype=float)[: len(answers)], pd.Series(answers))
    seen = distribution_of(rows, output)
    assert seen is not None and what_of(rows, output) == what
    assert seen.classes == found.classes
    if found.numbers is not None:
        assert seen.numbers is not None and seen.numbers.tolist() == found.numbers.tolist()


def test_a_window_without_rows_has_no_distribution() -> None:
    assert distribution_of(PredictedColumns(np.empty(0), pd.Series([], dtype=object)), None) is None
