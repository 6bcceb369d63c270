"""How far features have moved: on shifts, no shifts, and on what makes Evidently raise."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from contracts import Outcome
from drift.policy.windows import judge_data
from drift.scoring.scores import JENSEN_SHANNON, LIMIT, MISSING, WASSERSTEIN, compare


def rows(count: int, seed: int = 0, *, shift: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.normal(40 + 10 * shift, 10, count),
            "plan": rng.choice(["basic", "plus", "pro"], count, p=[0.6, 0.3, 0.1]).astype(object),
        }
    )


def by_feature(reference: pd.DataFrame, current: pd.DataFrame) -> dict[tuple[str, str], tuple[float, bool]]:
    return {(score.feature, score.method): (score.score, score.drifted) for score in compare(reference, current).scores}


@pytest.mark.parametrize("count", [1000, 2000, 20_000])
def test_rows_of_the_same_kind_have_not_drifted(count):
    found = by_feature(rows(5000), rows(count, seed=1))
    assert not any(drifted for _, drifted in found.values())
    assert set(found) == {("age", WASSERSTEIN), ("plan", JENSEN_SHANNON)}


@pytest.mark.parametrize("shift", [0.5, 1.0, -2.0])
def test_a_shifted_number_scores_its_shift_in_standard_deviations(shift):
    score, drifted = by_feature(rows(5000), rows(2000, seed=1, shift=shift))["age", WASSERSTEIN]
    assert drifted
    assert score == pytest.approx(abs(shift), abs=0.1)


def test_an_unseen_category_is_drift():
    current = rows(2000, seed=1)
    current.loc[:199, "plan"] = "enterprise"
    score, drifted = by_feature(rows(5000), current)["plan", JENSEN_SHANNON]
    assert drifted
    assert score > LIMIT


def test_a_column_that_lost_all_its_values_has_drifted_and_does_not_raise():
    found = by_feature(rows(5000), rows(2000, seed=1).assign(age=np.nan, plan=None))
    assert found == {("age", MISSING): (1.0, True), ("plan", MISSING): (1.0, True)}


def test_half_of_the_values_missing_is_seen_although_the_others_look_the_same():
    current = rows(2000, seed=1)
    current.loc[::2, "age"] = np.nan
    found = by_feature(rows(5000), current)
    assert found["age", MISSING] == (0.5, True)
    assert not found["age", WASSERSTEIN][1]


@pytest.mark.parametrize("empty", [np.nan, None, pd.NA, "late", np.inf], ids=str)
def test_a_column_that_is_empty_on_both_sides_is_not_compared(empty):
    comparison = compare(rows(500).assign(age=np.nan), rows(500, 1).assign(age=empty))
    assert comparison.not_compared == {"age": "no value on either side"}
    assert {score.feature for score in comparison.scores} == {"plan"}


def test_a_column_that_got_values_it_never_had_has_drifted():
    assert by_feature(rows(500).assign(age=np.nan), rows(500, 1))["age", MISSING] == (1.0, True)


def test_a_handful_of_values_is_not_taken_for_a_distribution():
    reference, current = rows(500), rows(500, 1)
    current.loc[3:, "age"] = np.nan
    reference.loc[3:, "age"] = np.nan
    comparison = compare(reference, current)
    assert "fewer than 30 values" in comparison.not_compared["age"]
    assert comparison.distances == ("plan",)


@pytest.mark.parametrize(("now", "drifted"), [(7.0, False), (7.5, True)])
def test_a_constant_is_compared_with_its_value(now, drifted):
    found = by_feature(rows(500).assign(age=7.0), rows(500, 1).assign(age=now))
    assert found["age", WASSERSTEIN][1] is drifted


def test_a_word_in_a_column_of_numbers_counts_as_missing():
    current = rows(400, 1).astype({"age": object})
    current.loc[:199, "age"] = "forty"
    assert by_feature(rows(500), current)["age", MISSING] == (0.5, True)


def test_huge_and_infinite_numbers_leave_a_finite_score():
    current = rows(400, 1)
    current.loc[:99, "age"] = [1e308, -1e308] * 50
    current.loc[100:150, "age"] = np.inf
    assert all(np.isfinite(score) for score, _ in by_feature(rows(500), current).values())


def test_booleans_and_numbers_as_text_are_categories():
    reference = pd.DataFrame({"flag": [True, False] * 100, "code": ["1", "2"] * 100})
    current = pd.DataFrame({"flag": [True] * 200, "code": [1, 2] * 100})
    found = by_feature(reference, current)
    assert found["flag", JENSEN_SHANNON][1]
    assert found["code", JENSEN_SHANNON] == (0.0, False)


def test_columns_on_one_side_only_and_times_are_named_and_left_out():
    reference = rows(500).assign(label=1, seen_at=pd.Timestamp("2026-01-01", tz="UTC"))
    current = rows(500, 1).assign(extra=1, seen_at="2026-02-01")
    comparison = compare(reference, current)
    assert set(comparison.not_compared) == {"label", "extra", "seen_at"}
    assert {score.feature for score in comparison.scores} == {"age", "plan"}


NO_FEATURES = pd.DataFrame(index=range(500))


@pytest.mark.parametrize(
    ("reference", "current", "says"),
    [
        (
            rows(500)[["age"]],
            rows(500)[["plan"]],
            "features of the predictions (plan) and of the reference (age) differ",
        ),
        (rows(500), NO_FEATURES, "the predictions of the window carry no features"),
        (NO_FEATURES, rows(500), "the reference has no columns"),
        (rows(0), rows(500), "the reference has no rows"),
        (
            rows(500).assign(age=np.nan, plan=None),
            rows(500).assign(age=None, plan=None),
            "age: no value on either side",
        ),
        (
            pd.DataFrame({"at": [dt.date(2026, 1, 1)] * 500}),
            pd.DataFrame({"at": ["2026-02-01"] * 500}),
            "at: a time: it moves by itself",
        ),
    ],
    ids=["nothing in common", "no features", "no columns", "no rows", "all null", "times only"],
)
def test_nothing_to_compare_is_inconclusive_and_says_why(reference, current, says):
    comparison = compare(reference, current)
    verdict = judge_data(500, comparison.scores, 0.5, comparison.nothing)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.reason.startswith("nothing to compare: ")
    assert says in verdict.reason


def test_all_values_gone_is_drift_and_no_lack_of_evidence():
    comparison = compare(rows(500), rows(500).assign(age=None, plan=None))
    assert judge_data(500, comparison.scores, 0.5, comparison.nothing).outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("reference", "window", "method"),
    [
        (pd.Categorical([1, 2] * 100), [1, 2, 1.0, 2.0] * 50, JENSEN_SHANNON),
        ([Decimal(i) for i in range(200)], [f"{i}.0" for i in range(200)], WASSERSTEIN),
        (np.arange(2**64 - 200, 2**64, dtype=np.uint64), list(range(2**64 - 200, 2**64)), WASSERSTEIN),
        ([b"a", b"b"] * 100, ["a", "b"] * 100, JENSEN_SHANNON),
        (["", "x"] * 100, ["", "x"] * 100, JENSEN_SHANNON),
        ([1, "a", 2.5, None] * 50, [1, "a", 2.5, None] * 50, JENSEN_SHANNON),
        (pd.array([1, None] * 100, dtype="Int64"), [1, None] * 100, WASSERSTEIN),
        (pd.array([True, None] * 100, dtype="boolean"), [True, None] * 100, JENSEN_SHANNON),
    ],
    ids=["numbered categories", "decimals", "uint64", "bytes", "empty texts", "mixed", "Int64", "boolean"],
)
def test_the_same_values_have_not_drifted_although_json_has_fewer_types(reference, window, method):
    comparison = compare(pd.DataFrame({"x": reference}), pd.DataFrame({"x": window}, dtype=object))
    assert [score.method for score in comparison.scores if score.method != MISSING] == [method]
    assert not any(score.drifted for score in comparison.scores)


def test_integers_beyond_any_float_are_missing_and_do_not_raise():
    found = by_feature(rows(500), pd.DataFrame({"age": [10**400, 40] * 200}, dtype=object))
    assert found["age", MISSING] == (0.5, True)
