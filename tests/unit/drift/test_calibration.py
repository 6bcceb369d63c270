"""Limits of a reference: from row splits, from past windows, and from its own rows in order of time."""

import numpy as np
import pandas as pd
import pytest

from drift.policy.limits import IID, WINDOWS
from drift.scoring import sketches
from drift.scoring.calibration import Calibration, blocks_of, calibrated
from drift.scoring.scores import Reference, compare
from drift.scoring.splits import row_splits
from drift.scoring.summaries import JENSEN_SHANNON, MISSING, UNSEEN, WASSERSTEIN, distances, sketch_of, summary_of

SIZE = 500


def rows(count: int, seed: int, day: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(40 + 10 * day, 10, count),
            "spend": np.where(rng.random(count) < 0.1, np.nan, rng.gamma(2.0, 10.0, count)),
            "plan": rng.choice(np.array(["basic", "plus", "pro"], dtype=object), count),
        }
    )


REFERENCE = Reference.of(rows(4000, 1))


def past(windows: int, moves: float = 0.1):
    days = np.random.default_rng(9).normal(0, moves, windows)
    return [sketched(rows(SIZE, 100 + number, day)) for number, day in enumerate(days)]


def sketched(frame: pd.DataFrame):
    return sketches.loads(sketches.dumps(compare(REFERENCE, frame).summaries))


def test_a_split_is_scored_as_a_window_against_the_other_rows():
    """Half of the rows are the window, so that nothing is scaled: the scores are those of `compare`."""
    frame = rows(600, 3)
    columns = Reference.of(frame).columns
    found = row_splits(columns, 10**9, 50)
    again = row_splits(columns, 10**9, 50)
    assert (found.scores == again.scores).all()
    scale = np.sqrt((1 / 10**9 + 1 / 600) / (2 / 300))
    rng = np.random.default_rng(20240229)
    inside = np.zeros(600, dtype=bool)
    inside[np.argpartition(rng.random((50, 600), dtype=np.float32), 299, axis=1)[0, :300]] = True
    whole = Reference.of(frame)
    for name, column in columns.items():
        parts = [
            type(column)(*(value[side] if isinstance(value, np.ndarray) else value for value in column))
            for side in (inside, ~inside)
        ]
        expected = distances(summary_of(parts[1]), summary_of(parts[0]))
        if WASSERSTEIN in expected:
            expected[WASSERSTEIN] *= summary_of(parts[1]).norm / whole.summaries[name].norm
        for method, score in expected.items():
            drawn = found.scores[0, found.signals.index((name, method))]
            assert drawn == pytest.approx(score * (1.0 if method == UNSEEN else scale), abs=1e-12)


def test_without_past_windows_the_limits_are_of_row_splits_and_it_says_so():
    found = calibrated(REFERENCE, SIZE, 1 / 20, [], [], 0.5)
    assert (found.assumption, found.windows, found.splits) == (IID, 0, 400)
    assert found.in_words == "limits from 400 random splits of the reference, which assumes independent rows"
    assert found.share_rule["of"] == 400
    assert found.share_rule["alarms"] < 8, "two of three columns by 0.1: seldom at 500 rows"
    alarms = sum(
        any(score.drifted for score in compare(REFERENCE, rows(SIZE, 1000 + seed), found.limits).scores)
        for seed in range(200)
    )
    assert alarms <= 22, "of 200, 10 expected; the reference itself is one draw"


def test_past_windows_are_what_ordinary_variation_is_measured_by():
    of_rows = calibrated(REFERENCE, SIZE, 1 / 20, [], [], 0.5)
    of_windows = calibrated(REFERENCE, SIZE, 1 / 20, past(40, 0.3), [], 0.5)
    assert (of_windows.assumption, of_windows.windows) == (WINDOWS, 40)
    days = np.random.default_rng(10).normal(0, 0.3, 100)
    windows = [rows(SIZE, 2000 + number, day) for number, day in enumerate(days)]

    def alarms(found: Calibration) -> int:
        return sum(any(s.drifted for s in compare(REFERENCE, window, found.limits).scores) for window in windows)

    assert alarms(of_rows) > 40
    assert alarms(of_windows) <= 15
    assert any(score.drifted for score in compare(REFERENCE, rows(SIZE, 5, 2.0), of_windows.limits).scores)


def test_a_few_past_windows_widen_the_limits_of_row_splits():
    of_rows = calibrated(REFERENCE, SIZE, 1 / 20, past(4, 0.3), [], 0.5)
    widened = calibrated(REFERENCE, SIZE, 1 / 20, past(7, 0.3), [], 0.5)
    assert (of_rows.windows, widened.windows) == (0, 7)
    assert (of_rows.assumption, widened.assumption) == (IID, IID)
    assert widened.limits["age", WASSERSTEIN][1] > 2 * of_rows.limits["age", WASSERSTEIN][1]
    assert all(widened.limits[signal][1] >= limit for signal, (_, limit) in of_rows.limits.items())


@pytest.mark.parametrize("before", [4, 9, 18, 40])
def test_a_broken_window_among_the_past_ones_does_not_hide_that_it_is_still_broken(before):
    """Else a column of zeros would be seen in one window only, and `after: 2 of 3` would never announce it."""
    broken = rows(SIZE, 900).assign(spend=0.0)
    found = calibrated(REFERENCE, SIZE, 1 / 20, [*past(before), sketched(broken)], [], 0.5)
    assert (found.considered, found.windows) == (before + 1, before if before >= 5 else 0)
    again = compare(REFERENCE, rows(SIZE, 901).assign(spend=0.0), found.limits)
    assert {score.feature for score in again.scores if score.drifted} == {"spend"}


def test_a_reference_with_times_is_cut_into_windows_of_its_own():
    days = np.random.default_rng(11).normal(0, 0.3, 30)
    parts = [rows(300, 300 + number, day) for number, day in enumerate(days)]
    frame = pd.concat(parts, ignore_index=True)
    frame["seen_at"] = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.repeat(np.arange(30), 300), "D")
    reference = Reference.of(frame)
    blocks = blocks_of(reference, 86_400.0, 200)
    assert len(blocks) == 30
    found = calibrated(reference, SIZE, 1 / 20, [], blocks, 0.5)
    assert (found.assumption, found.windows, found.blocks) == (WINDOWS, 30, True)
    assert (
        found.limits["age", WASSERSTEIN][1]
        > 2 * calibrated(reference, SIZE, 1 / 20, [], [], 0.5).limits["age", WASSERSTEIN][1]
    )
    assert blocks_of(REFERENCE, 86_400.0, 200) == [], "no column of times"


@pytest.mark.parametrize(
    ("spoil", "feature", "method"),
    [
        (lambda frame: frame.assign(age=0.0), "age", WASSERSTEIN),
        (lambda frame: frame.assign(spend=frame["spend"].where(np.arange(SIZE) % 2 == 0)), "spend", MISSING),
        (lambda frame: frame.assign(plan=frame["plan"].where(np.arange(SIZE) % 20 != 0, "gold")), "plan", UNSEEN),
        (lambda frame: frame.assign(plan=frame["plan"].where(frame["plan"] != "pro", "plus")), "plan", JENSEN_SHANNON),
        (lambda frame: frame.drop(columns="age"), "age", MISSING),
    ],
    ids=["zeros", "half missing", "unseen", "a category gone", "vanished"],
)
@pytest.mark.parametrize("windows", [0, 40])
def test_a_broken_column_is_beyond_its_limit(spoil, feature, method, windows):
    found = calibrated(REFERENCE, SIZE, 1 / 20, past(windows), [], 0.5)
    scores = compare(REFERENCE, spoil(rows(SIZE, 77)), found.limits, {"age"}).scores
    assert (feature, method) in {(score.feature, score.method) for score in scores if score.drifted}


def test_a_new_column_is_named_and_a_column_that_no_window_had_is_no_drift():
    comparison = compare(REFERENCE, rows(SIZE, 1).drop(columns="age").assign(extra=1))
    assert comparison.not_compared == {
        "extra": "not in the reference",
        "age": "in the reference, but in no prediction of the window",
    }


def test_limits_are_kept_as_they_are():
    found = calibrated(REFERENCE, SIZE, 1 / 20, past(19), [], 0.2)
    assert Calibration.read(found.document()) == found


@pytest.mark.parametrize("count", [300, 50_000])
def test_a_sketch_is_as_far_from_the_reference_as_its_window(count):
    frame = rows(count, 8, 0.05)
    whole = compare(REFERENCE, frame).summaries
    for name, summary in sketches.loads(sketches.dumps(whole)).items():
        expected = distances(REFERENCE.summaries[name], whole[name])
        for method, score in distances(REFERENCE.summaries[name], summary).items():
            assert score == pytest.approx(expected[method], abs=0.0 if count == 300 else 0.001)


def test_of_very_many_categories_a_sketch_knows_no_distance():
    frame = pd.DataFrame({"id": [f"customer {number}" for number in range(5000)]})
    summary = sketch_of(compare(frame, frame).summaries["id"])
    assert set(distances(summary, summary)) == {MISSING}
