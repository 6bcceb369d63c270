"""The encoder gives, to the last bit, what the fitted transformers give; and refuses what they refuse."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
)

from forms import Column, Row, parity_rows
from forms.form import Unsupported
from forms.transformers import Raw, encoder, transformed
from support.form_models import COLUMNS, COUNTS, NUMBERS, WORDS, dense, ordinals, table, to_frame, to_rows

WORD, COUNT, NUMBER = list(WORDS), list(COUNTS), list(NUMBERS)


def of(*parts: tuple[Any, Any], remainder: Any = "drop") -> ColumnTransformer:
    return ColumnTransformer([(f"part{n}", each, where) for n, (each, where) in enumerate(parts)], remainder=remainder)


def hot(**how: Any) -> OneHotEncoder:
    return OneHotEncoder(**{"handle_unknown": "ignore", **how})


TRANSFORMERS: dict[str, Any] = {
    "mean": of((SimpleImputer(), NUMBER)),
    "constant": of((SimpleImputer(strategy="constant", fill_value=-7.5), NUMBER)),
    "most frequent": of((SimpleImputer(strategy="most_frequent"), NUMBER)),
    "standard": of((StandardScaler(), NUMBER + COUNT)),
    "only centred": of((StandardScaler(with_std=False), NUMBER)),
    "min-max": of((MinMaxScaler((-1, 2)), NUMBER)),
    "min-max, clipped": of((MinMaxScaler(clip=True), NUMBER + COUNT)),
    "max-abs": of((MaxAbsScaler(), NUMBER)),
    "robust": of((RobustScaler(), NUMBER)),
    "one-hot, sparse": of((hot(), WORD)),
    "one-hot, first dropped": of((hot(drop="first"), WORD)),
    "one-hot, of two one dropped": of((hot(drop="if_binary"), [*WORD, "late"])),
    "one-hot, rare ones together": of((hot(min_frequency=60, handle_unknown="infrequent_if_exist"), WORD)),
    "one-hot, at most five": of((hot(max_categories=5), WORD)),
    "one-hot, refusing": of((hot(handle_unknown="error"), WORD)),
    "one-hot of counts": of((hot(), COUNT), (hot(), NUMBER[:1])),
    "one-hot, imputed": of((make_pipeline(SimpleImputer(strategy="most_frequent"), hot()), WORD)),
    "one-hot, constant for missing": of(
        (make_pipeline(SimpleImputer(strategy="constant", fill_value="none", missing_values=None), hot()), WORD)
    ),
    "ordinal": of((ordinals(), WORD)),
    "ordinal, refusing": of((OrdinalEncoder(), WORD)),
    "ordinal, minus one": of((OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), [*WORD, *COUNT])),
    "ordinal, rare ones together": of(
        (OrdinalEncoder(min_frequency=60, handle_unknown="use_encoded_value", unknown_value=-1), WORD)
    ),
    "the usual": dense(),
    "passed and dropped": of((ordinals(), WORD), ("drop", NUMBER[:2]), remainder="passthrough"),
    "scaled remainder": of((hot(), WORD), remainder=make_pipeline(SimpleImputer(), StandardScaler())),
    "by number, slice, mask and selector": of(
        (StandardScaler(), [0, 3]),
        (RobustScaler(), slice("distance", "speed")),
        (hot(), [place in (4, 6) for place in range(10)]),
        (MaxAbsScaler(), make_column_selector(pattern="^hour$")),
    ),
    "one column twice": of((StandardScaler(), NUMBER), (MinMaxScaler(), NUMBER)),
    "union": of((FeatureUnion([("a", StandardScaler()), ("b", SimpleImputer())]), NUMBER)),
    "nested": of((of((ordinals(), WORD[:1]), (SimpleImputer(), NUMBER)), [*WORD, *NUMBER])),
    "one after the other": Pipeline([("columns", dense()), ("scaled", StandardScaler())]),
    "as it is": make_pipeline(
        of((SimpleImputer(), NUMBER)), PolynomialFeatures(2), FunctionTransformer(), PCA(5, random_state=0)
    ),
}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    known = to_rows(table(300, seed=3))
    return known + parity_rows(known, COLUMNS, limit=300)


def outcome(transform: Any, asked: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = transform(asked)
    except ValueError:
        return None
    return np.asarray(found.toarray() if hasattr(found, "toarray") else found).astype(np.float64)


def parts() -> list[Any]:
    return [Raw(place, column) for place, column in enumerate(COLUMNS)]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_the_encoder_gives_what_the_transformers_give(name: str, rows: list[Row]) -> None:
    transformer = TRANSFORMERS[name].fit(table())
    encode = encoder(transformed(transformer, parts()))
    wanted = [outcome(transformer.transform, to_frame([row])) for row in rows[::12]]
    for row, expected in zip(rows[::12], wanted, strict=True):
        found = outcome(encode, [row])
        assert (found is None) == (expected is None), row
        if expected is not None:
            close_or_equal(name, found, expected)
    answered = [row for row, expected in zip(rows[::12], wanted, strict=True) if expected is not None]
    close_or_equal(name, encode(answered), np.concatenate([each for each in wanted if each is not None]))


def close_or_equal(name: str, found: Any, expected: Any) -> None:
    if name == "as it is":  # a product of matrices is not the same for one row as for many
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    else:
        np.testing.assert_array_equal(found, expected)


numbers = st.none() | st.floats(allow_nan=False, allow_infinity=False)
words = st.none() | st.sampled_from(["carrier0", "carrier1", "origin5", "tail3", ""]) | st.text(max_size=3)
anything = st.tuples(
    *[numbers] * len(NUMBERS),
    *[words] * len(WORDS),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-9, 30),
    st.booleans(),
)
USUAL = dense().fit(table())
USUAL_ENCODER = encoder(transformed(USUAL, parts()))


@settings(max_examples=60, deadline=None)
@given(st.lists(anything, min_size=1, max_size=4))
def test_any_rows_are_encoded_as_the_transformers_would(rows: list[Row]) -> None:
    with np.errstate(over="ignore"):
        found, expected = outcome(USUAL_ENCODER, rows), outcome(USUAL.transform, to_frame(rows))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scaler", [StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()], ids=repr)
def test_single_precision_is_computed_with_as_in_a_frame(scaler: Any) -> None:
    columns = [Column("a", "float"), Column("b", "float"), Column("c", "double")]
    sent = [(0.1, 3.3, 0.1), (None, 1e-9, 7.0), (16777217.0, -2.5, None), (0.7, 1 / 3, 2.0)]
    frame = to_frame(sent, columns)
    transformer = of((make_pipeline(SimpleImputer(), scaler), ["a", "b"]), remainder="passthrough").fit(frame)
    found = encoder(transformed(transformer, [Raw(place, column) for place, column in enumerate(columns)]))(sent)
    np.testing.assert_array_equal(found, transformer.transform(frame))


class Doubling(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Somebody's own transformer."""

    def fit(self, frame: Any, target: Any = None) -> Doubling:
        return self

    def transform(self, frame: Any) -> Any:
        return frame * 2


@pytest.mark.parametrize(
    ("transformer", "reason"),
    [
        (of((Doubling(), NUMBER)), "the transformer Doubling"),
        (of((FunctionTransformer(np.abs), NUMBER)), "the transformer FunctionTransformer"),
        (of((SimpleImputer(strategy="most_frequent"), WORD)), "words without an encoder"),
        (of(("passthrough", WORD)), "reaches the model unencoded"),
        (of((SimpleImputer(missing_values=-1), COUNT)), "SimpleImputer of -1"),
    ],
)
def test_what_is_not_known_is_refused_by_name(transformer: Any, reason: str) -> None:
    transformer.fit(table(200))
    with pytest.raises(Unsupported, match=reason):
        encoder(transformed(transformer, parts()))
