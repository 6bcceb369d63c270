"""A form that does not answer as the model does is not proved; rows to prove by try what is easily wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import GradientBoostingClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import SVC

from forms import Column, ParityReport, Rejection, Row, answered, candidates, parity_rows, prove
from support.form_models import COLUMNS, NUMBERS, answers, coded, dense, piped, sides, table, to_rows

ROWS = [(1.0,), (2.0,), (3.0,)]


@dataclass(frozen=True)
class Says:
    """A form that answers what it was told to."""

    answer: Any
    name: str = "liar"

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        if isinstance(self.answer, Exception):
            raise self.answer
        return np.asarray(self.answer)


@pytest.mark.parametrize(
    ("answer", "expected", "labels_differ", "difference", "holds"),
    [
        ([0.1, 0.2, 0.9], [0.1, 0.2, 0.9], 0, 0.0, True),
        ([0.1, 0.2, 0.9], [0.1, 0.2, 0.9 + 5e-7], 0, 5e-7, True),
        ([0.1, 0.2, 0.9], [0.1, 0.2, 0.90001], 0, 1e-5, False),
        ([0.1, 0.5, 0.9], [0.1, 0.5 + 1e-9, 0.9], 1, 1e-9, False),
        ([[0.5, 0.5]] * 3, [[0.5, 0.5], [0.5, 0.5], [0.5 - 1e-9, 0.5 + 1e-9]], 1, 1e-9, False),
        ([3.0, -7.0, 1e9], [3.0, -7.0, 1e9], 0, 0.0, True),
        ([3.0, 0.4, 2.0], [3.0, 0.4, 2.0 + 1e-7], 0, 1e-7, True),
        (["a", "b", "a"], ["a", "b", "b"], 1, 0.0, False),
        ([1, 2, 3], [1, 2, 3], 0, 0.0, True),
        ([math.nan, 1.0, 2.0], [math.nan, 1.0, 2.0], 0, 0.0, True),
        ([math.nan, 1.0, 2.0], [0.0, 1.0, 2.0], 0, math.inf, False),
    ],
)
def test_a_proof_holds_only_for_equal_labels_and_close_scores(
    answer: Any, expected: Any, labels_differ: int, difference: float, holds: bool
) -> None:
    proof = prove(Says(answer), ROWS, np.asarray(expected))
    assert isinstance(proof, ParityReport)
    assert (proof.form, proof.rows, proof.labels_differ, proof.holds) == ("liar", 3, labels_differ, holds)
    assert proof.largest_difference == pytest.approx(difference, rel=1e-3)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([0.1, 0.2], r"answers shape \(2,\), the model \(3,\)"),
        (["a", "b", "c"], "answers <U1, the model float64"),
        (ValueError("no such word"), "fails on the rows to prove it by: ValueError: no such word"),
    ],
)
def test_a_form_that_cannot_be_compared_is_refused(answer: Any, reason: str) -> None:
    found = prove(Says(answer), ROWS, np.array([0.1, 0.2, 0.3]))
    assert isinstance(found, Rejection)
    assert found.form == "liar"
    assert re.search(reason, found.reason)


def test_nothing_is_proved_by_no_rows() -> None:
    proof = prove(Says(np.empty(0)), [], np.empty(0))
    assert isinstance(proof, ParityReport) and not proof.holds


def test_a_form_of_another_model_is_not_proved() -> None:
    frame, rows = table(), to_rows(table(300, seed=2))
    for one, other in (
        (HistGradientBoostingClassifier(max_iter=5), HistGradientBoostingClassifier(max_iter=6)),
        (RandomForestClassifier(5, random_state=0), RandomForestClassifier(5, random_state=1)),
    ):
        first, second = (piped(dense(), each).fit(frame, sides(frame)) for each in (one, other))
        forms, _ = candidates(first, COLUMNS, "predict_proba")
        for form in forms:
            proof = prove(form, rows, answers(second, "predict_proba", rows))
            assert isinstance(proof, ParityReport) and not proof.holds


def test_candidates_never_raise() -> None:
    frame = table(200)
    fitted = piped(dense(), LogisticRegression()).fit(frame, sides(frame))
    for model, columns, method, reason in (
        (object(), COLUMNS, "predict", "object"),
        (None, COLUMNS, "predict", "NoneType"),
        (fitted, COLUMNS[1:], "predict", "column 'delay' that its signature does not have"),
        (fitted, COLUMNS, "transform", "transform"),
        (LogisticRegression(), COLUMNS, "predict", "unencoded"),
    ):
        forms, refused = candidates(model, columns, method)
        assert forms == []
        assert refused and any(reason in each.reason for each in refused), refused


def test_an_estimator_that_nothing_compiles_is_served_without_a_frame() -> None:
    frame, rows = table(400), to_rows(table(100, seed=2))
    model = piped(dense(), SVC()).fit(frame, sides(frame))
    forms, refused = candidates(model, COLUMNS, "predict")
    assert [form.name for form in forms] == ["numpy+sklearn"]
    assert {each.form for each in refused} == {"linear", "onnxruntime", "treelite"}
    proof = prove(forms[0], rows, answers(model, "predict", rows))
    assert isinstance(proof, ParityReport) and proof.holds


def test_a_bare_estimator_takes_columns_in_the_order_it_was_fitted_with() -> None:
    frame = table()[list(NUMBERS)]
    model = HistGradientBoostingClassifier(max_iter=10).fit(frame, sides(table()))
    backwards = [Column(name, "double") for name in reversed(NUMBERS)]
    rows = to_rows(frame[list(reversed(NUMBERS))])
    forms, _ = candidates(model, backwards, "predict_proba")
    proof = prove(forms[0], rows, model.predict_proba(frame))
    assert isinstance(proof, ParityReport) and proof.holds


@pytest.mark.parametrize("features", [["carrier", "tail", "origin"], "from_dtype"])
def test_words_that_histogram_boosting_encodes_itself(features: Any) -> None:
    frame = table()
    fitted_on = frame.astype(dict.fromkeys(("carrier", "tail", "origin"), "category"))
    model = HistGradientBoostingClassifier(categorical_features=features, max_iter=15)
    model.fit(fitted_on if features == "from_dtype" else frame, sides(frame))
    rows = to_rows(table(500, seed=2))
    rows += parity_rows(rows, COLUMNS, limit=300)
    forms, _ = candidates(model, COLUMNS, "predict_proba")
    assert [form.name for form in forms] == ["onnxruntime", "treelite"]
    for form in forms:
        proof = prove(form, rows, answers(model, "predict_proba", rows))
        assert isinstance(proof, ParityReport) and proof.holds


def test_rows_that_the_model_refuses_are_found_and_refused_by_its_forms() -> None:
    frame = table().dropna()
    encode = OneHotEncoder(handle_unknown="error", sparse_output=False)
    model = piped(coded(words=encode), LogisticRegression(max_iter=50)).fit(frame, sides(frame))
    rows = to_rows(frame)[:200]
    rows += parity_rows(rows, COLUMNS, limit=100)

    def ask(asked: Sequence[Row]) -> Any:
        return answers(model, "predict_proba", asked)

    known, expected, refused = answered(ask, rows, most_calls=1000)
    assert sorted(map(str, known + refused)) == sorted(map(str, rows)) and len(refused) > 20
    np.testing.assert_allclose(expected, ask(known), rtol=1e-9)
    some, _, none = answered(ask, rows, most_calls=8)
    assert set(some) < set(known) and len(some) > 50 and set(none) <= set(refused)
    forms, _ = candidates(model, COLUMNS, "predict_proba")
    for form in forms:
        proof = prove(form, known, expected, refused=refused)
        assert isinstance(proof, ParityReport) and proof.holds
    careless = prove(Says([[0.5, 0.5]]), known, expected, refused=refused)
    assert isinstance(careless, Rejection) and "answers a row that the model refuses" in careless.reason


@pytest.mark.parametrize("value", [[], {}, 10**400, "word"])
@pytest.mark.parametrize("place", [0, len(NUMBERS)])
def test_hostile_values_are_value_errors(value: Any, place: int) -> None:
    frame = table(300)
    model = piped(coded(), HistGradientBoostingClassifier(max_iter=3)).fit(frame, sides(frame))
    forms, _ = candidates(model, COLUMNS, "predict")
    row = list(to_rows(frame)[0])
    row[place] = value
    for form in forms:
        for rows in ([tuple(row)], [tuple(row)] * 3):
            try:
                assert len(form.predict(rows)) == len(rows)  # an unknown word is a category like others
                assert place == len(NUMBERS) and isinstance(value, str | int)
            except ValueError:
                pass


def test_a_row_that_the_model_refuses_is_refused_by_the_form() -> None:
    frame = table()
    model = piped(coded(numbers="drop"), LogisticRegression()).fit(*complete(frame))
    forms, _ = candidates(model, COLUMNS, "predict")
    row = list(to_rows(frame.dropna())[0])
    row[len(NUMBERS)] = "never seen before"  # becomes NaN, which a regression does not take
    for form in forms:
        with pytest.raises(ValueError, match="NaN"):
            form.predict([tuple(row)])


def complete(frame: Any) -> tuple[Any, Any]:
    whole = frame.dropna()
    return whole, sides(whole)


def test_exponential_loss_is_refused_since_treelite_misreads_it() -> None:
    frame = table(300)
    model = piped(dense(), GradientBoostingClassifier(loss="exponential", n_estimators=3)).fit(frame, sides(frame))
    forms, refused = candidates(model, COLUMNS, "predict_proba")
    assert [form.name for form in forms] == ["numpy+sklearn"]
    assert any("exponential loss" in each.reason for each in refused)


def test_forms_answer_many_threads_at_once() -> None:
    frame, rows = table(), to_rows(table(400, seed=2))
    model = piped(coded(), HistGradientBoostingClassifier(categorical_features=[0, 1, 2], max_iter=10))
    model.fit(frame, sides(frame))
    expected = answers(model, "predict_proba", rows)
    forms, _ = candidates(model, COLUMNS, "predict_proba")
    for form in forms[:2]:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda at, form=form: form.predict(rows[at : at + 4]), range(0, 400, 4)))
        np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-9)


def test_probe_rows_try_each_column_missing_and_what_was_never_seen() -> None:
    known = to_rows(table(100))
    probes = parity_rows(known, COLUMNS, limit=600, seed=1)
    assert probes == parity_rows(known, COLUMNS, limit=600, seed=1) != parity_rows(known, COLUMNS, limit=600, seed=2)
    assert len(probes) == 600 and not set(probes) <= set(known)
    for place, column in enumerate(COLUMNS):
        tried = {row[place] for row in probes}
        assert (None in tried) == (column.kind in ("double", "string"))
        assert column.kind == "boolean" or len(tried - {row[place] for row in known}) >= 3
    assert len(parity_rows(known, COLUMNS, limit=7)) == 7
    assert parity_rows([], COLUMNS) == []


def test_probe_rows_fit_their_columns_types() -> None:
    columns = [Column("i", "integer"), Column("l", "long"), Column("f", "float"), Column("t", "datetime")]
    known: list[Row] = [(2**31 - 1, -(2**63), 1.5, "2024-01-01T00:00:00"), (-(2**31), 2**63 - 1, 2.5, None)]
    for whole, long, number, moment in parity_rows(known, columns, limit=300):
        assert -(2**31) <= whole < 2**31 and -(2**63) <= long < 2**63
        assert number is None or abs(number) < 3.4e38
        assert moment in (None, "2024-01-01T00:00:00")
