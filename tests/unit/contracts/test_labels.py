"""Labels are read alike however they are written: by Python, JSON, numpy, pandas or people."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from contracts.labels import UNKNOWN, ClassLabels, canonical, in_order, number

ONES: list[Any] = [
    *(1, 1.0, True, "1", "1.0", "true", "True", "TRUE", " 1 ", b"1", Decimal(1)),
    *(np.int8(1), np.uint64(1), np.float32(1), np.bool_(True), np.str_("1"), np.array(1)),
]
ZEROS: list[Any] = [0, 0.0, -0.0, False, "0", "0.0", "false", "False", np.int64(0), np.float16(0), np.bool_(False)]
NOTHING: list[Any] = [None, float("nan"), np.nan, np.float32("nan"), pd.NA, pd.NaT]


@pytest.mark.parametrize("names", [(0, 1), (False, True), ("0", "1"), (0.0, 1.0), ("False", "True"), ("0.0", "1.0")])
def test_zero_and_one_are_the_same_classes_however_labels_and_classes_are_written(names: tuple[Any, ...]) -> None:
    assert ClassLabels(names).numbers([*ZEROS, *ONES]) == [0] * len(ZEROS) + [1] * len(ONES)


@pytest.mark.parametrize("value", [*NOTHING, 2, -1, "yes", "", "0x1", 0.5, float("inf"), dt.date(2026, 1, 1), [1], {}])
def test_what_is_none_of_the_classes_is_unknown(value: Any) -> None:
    assert ClassLabels((0, 1)).number(value) == UNKNOWN


def test_classes_that_are_words_keep_their_order_and_their_case() -> None:
    known = ClassLabels(("no", "yes"))
    assert known.numbers(["no", "yes", np.str_("yes"), b"no", " yes\n", "Yes", 1, True]) == [0, 1, 1, 0, 1, -1, -1, -1]
    assert ClassLabels(("yes", "no")).numbers(["no", "yes"]) == [1, 0], "the second is the positive one"
    assert ClassLabels(("late", "Late")).numbers(["late", "Late"]) == [0, 1]


def test_a_spelling_that_could_be_two_classes_is_neither_but_each_is_itself() -> None:
    known = ClassLabels(("true", "1.0", "x"))
    assert known.numbers(["true", "1.0", True, "x"]) == [0, 1, UNKNOWN, 2]


def test_large_identities_are_not_rounded_into_one_another() -> None:
    known = ClassLabels((2**53, 2**53 + 1))
    assert known.numbers([2**53, 2**53 + 1, str(2**53 + 1), f"{2**53 + 1}.0"]) == [0, 1, 1, UNKNOWN]


def test_other_classes_follow_the_named_ones_by_their_text() -> None:
    assert ClassLabels(("b",)).with_others(["c", "a", None, np.nan, "b", "c"]).names == ("b", "a", "c")
    assert ClassLabels((0, 1)).with_others(["1", True, 2.0]).names == (0, 1, 2.0)


def test_classes_without_names_are_ordered_by_size_and_not_by_text() -> None:
    assert in_order([10, 2, 0, 1, 10.0]) == (0, 1, 2, 10.0)
    assert in_order(["b", "10", "9", None, "a"]) == ("9", "10", "a", "b")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        *[(value, 1.5) for value in (1.5, "1.5", " 1.5 ", np.float64(1.5), np.float32(1.5), Decimal("1.5"))],
        *[(value, 1.0) for value in (1, True, "1", np.bool_(True), np.uint8(1))],
        *[(value, None) for value in (*NOTHING, "", "a", "nan", "inf", float("inf"), 10**400, "1_000", b"1", "1,5")],
        *[(value, None) for value in (dt.date(2026, 1, 1), np.datetime64(1, "ns"), pd.Timestamp(0), [1.0])],
    ],
)
def test_numbers_are_finite_numbers(value: Any, found: float | None) -> None:
    assert number(value) == found


def test_a_class_is_compared_by_its_text_and_a_missing_one_has_none() -> None:
    assert [canonical(value) for value in (1.0, True, np.int8(1), "a", b"a")] == ["1", "1", "1", "a", "a"]
    assert [canonical(value) for value in NOTHING] == [None] * len(NOTHING)
