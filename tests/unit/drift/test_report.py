"""Evidently's report: equal to our scores, harmless, and rendered whatever the columns hold."""

import socket

import numpy as np
import pandas as pd
import pytest

from contracts import FeatureScore
from drift.reports.evidently_report import render
from drift.scoring.scores import JENSEN_SHANNON, WASSERSTEIN, compare

LEVELS = np.array([f"k{number}" for number in range(25)], dtype=object)


def frame(count: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    age = np.where(rng.random(count) < 0.1, np.nan, rng.gamma(2.0 + shift, 10.0, count))
    return pd.DataFrame({"age": age, "dest": rng.choice(LEVELS, count, p=rng.dirichlet(np.ones(25)))})


@pytest.mark.parametrize(("before", "now"), [(400, 250), (5000, 2000)])
@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_our_scores_are_evidentlys(before, now, shift):
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    reference, current = frame(before, 1), frame(now, 2, shift)
    definition = DataDefinition(numerical_columns=["age"], categorical_columns=["dest"])
    preset = DataDriftPreset(num_method=WASSERSTEIN, cat_method=JENSEN_SHANNON)
    snapshot = Report([preset]).run(
        Dataset.from_pandas(current, definition), Dataset.from_pandas(reference, definition)
    )
    theirs = {
        metric["config"]["column"]: (float(metric["value"]), metric["config"]["threshold"])
        for metric in snapshot.dict()["metrics"]
        if "column" in metric["config"]
    }
    ours = {
        score.feature: (score.score, score.limit)
        for score in compare(reference, current).scores
        if score.method in (WASSERSTEIN, JENSEN_SHANNON)
    }
    assert ours.keys() == theirs.keys() == {"age", "dest"}
    for feature, (score, limit) in ours.items():
        assert score == pytest.approx(theirs[feature][0], rel=1e-9)
        assert limit == theirs[feature][1]


def drawn(reference: pd.DataFrame, current: pd.DataFrame, most_rows: int = 10_000) -> tuple[str | None, str]:
    scores = compare(reference, current).scores
    found = render(reference, current, scores, drift_share=None, most_rows=most_rows)
    return found.page, found.note


def test_the_page_is_evidentlys_and_says_what_it_was_drawn_from():
    page, note = drawn(frame(500, 1).assign(label=1), frame(300, 2))
    assert page is not None
    assert page.lstrip().startswith("<!DOCTYPE html>")
    assert "Drift is detected for" in page
    assert note == "Drawn from all 300 rows of the window and all 500 of the reference."


@pytest.mark.parametrize(
    ("limits", "share", "drifted"),
    [((0.5, 0.5), None, False), ((0.1, 0.5), None, True), ((0.1, 0.5), 0.6, False), ((0.1, 0.1), 0.6, True)],
)
def test_evidently_draws_by_the_limits_and_the_rule_of_the_verdict(limits, share, drifted):
    reference, current = frame(2000, 1), frame(1000, 2)
    scores = [
        FeatureScore(feature=name, method=method, score=1.0, limit=limit, drifted=True)
        for name, method, limit in zip(("age", "dest"), (WASSERSTEIN, JENSEN_SHANNON), limits, strict=True)
    ]
    current["age"] += 5
    page = render(reference, current, scores, drift_share=share, most_rows=10_000).page
    assert page is not None
    assert ("Dataset Drift is detected" in page) == drifted
    assert ("Dataset Drift is NOT detected" in page) == (not drifted)


def test_a_feature_without_a_limit_is_not_drawn():
    reference, current = frame(500, 1), frame(300, 2)
    [only] = [score for score in compare(reference, current).scores if score.method == JENSEN_SHANNON]
    page = render(reference, current, [only], drift_share=None, most_rows=10_000).page
    assert page is not None
    assert "dest" in page and '"age"' not in page


def test_a_large_window_is_drawn_from_a_sample_and_says_so():
    _, note = drawn(frame(3000, 1), frame(2500, 2), most_rows=1000)
    assert "1,000 of 2,500 rows of the window, 1,000 of 3,000 of the reference" in note


@pytest.mark.parametrize(
    "columns",
    [{"age": np.nan}, {"dest": None}, {"age": 7.0}, {"dest": "k0"}],
    ids=["no numbers", "no categories", "constant", "one category"],
)
def test_columns_on_which_evidently_raises_are_drawn_around(columns):
    page, _ = drawn(frame(500, 1), frame(300, 2).assign(**columns))
    assert page is not None


RANDOM = np.random.default_rng(0)
TWICE = RANDOM.random(500) < 0.5
UNDRAWABLE = {
    "identities": np.arange(500) + 10**18,
    "near 2^64": np.arange(2**64 - 500, 2**64, dtype=np.uint64),
    "last bits": np.where(TWICE, 0.1, np.nextafter(0.1, 1)),
    "huge constant": np.full(500, 1e300),
    "all of float64": np.where(TWICE, 1.7e308, -1.7e308),
}
DRAWABLE = {
    "1e15": 1e15 + RANDOM.integers(0, 3, 500),
    "microseconds": 1_700_000_000_000_000 + RANDOM.integers(0, 1000, 500),
    "constant": np.full(500, 3.0),
    "zeros": np.zeros(500),
    "tiny": np.where(TWICE, 5e-324, 1e-320),
    "infinite": np.where(TWICE, np.inf, 1.0),
    "outlier": np.r_[np.zeros(499), 1e18],
    "heavy tail": np.exp(RANDOM.normal(size=500) * 50),
    "mixed": [[1, "a", 2.5, None][number % 4] for number in range(500)],
    "empty text": np.where(TWICE, "", "x"),
    "bytes": [b"a", b"b"] * 250,
    "missing words": np.where(TWICE, "nan", "None"),
    "500 categories": [f"k{number}" for number in range(500)],
    "long": ["x" * 100_000, "y"] * 250,
    "NUL": ["\0", "y"] * 250,
}


@pytest.mark.parametrize("values", UNDRAWABLE.values(), ids=UNDRAWABLE)
def test_a_column_that_cannot_be_drawn_is_left_out_and_the_page_says_which_and_why(values):
    rows = frame(500, 1).assign(odd=values)
    page, note = drawn(rows, rows)
    assert page is not None and "age" in page
    assert "Left out of the drawing: odd (no histogram fits its values" in note


@pytest.mark.parametrize("values", DRAWABLE.values(), ids=DRAWABLE)
def test_columns_of_any_other_kind_are_drawn(values):
    rows = frame(500, 1).assign(odd=values)
    page, note = drawn(rows, rows)
    assert page is not None
    assert note == "Drawn from all 500 rows of the window and all 500 of the reference."


def test_a_page_of_no_drawable_column_says_so_and_does_not_raise():
    rows = pd.DataFrame(UNDRAWABLE)
    page, note = drawn(rows, rows)
    assert page is None
    assert note.startswith("Not drawn. Left out of the drawing: identities (")
    assert all(name in note for name in UNDRAWABLE)


def test_nothing_to_draw_is_said():
    assert drawn(frame(500, 1), frame(300, 2).assign(age=np.nan, dest=None)) == (
        None,
        "No feature has values on both sides: there is nothing to draw.",
    )


def test_values_and_names_cannot_put_a_script_into_the_page():
    evil = "</script><script>alert(document.domain)</script>"
    for reference, current in (
        (frame(500, 1), frame(300, 2).assign(dest=evil)),
        (frame(500, 1).rename(columns={"age": evil}), frame(300, 2).rename(columns={"age": evil})),
    ):
        page, _ = drawn(reference, current)
        assert page is not None
        assert "<script>alert(document" not in page


def test_a_drawing_reaches_for_no_network(monkeypatch):
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AssertionError("the report reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    page, _ = drawn(frame(500, 1), frame(300, 2))
    assert page is not None
    assert "<script src=" not in page
    assert "<link" not in page
