"""A table with everything that trips compiled models up, and what a model answers to rows of it natively."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from forms import Column, Row

DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}

NUMBERS = ("delay", "distance", "speed", "wind")
WORDS = ("carrier", "origin", "tail")
COUNTS = ("hour", "weekday")
COLUMNS = (
    *(Column(name, "double") for name in NUMBERS),
    *(Column(name, "string") for name in WORDS),
    *(Column(name, "long") for name in COUNTS),
    Column("late", "boolean"),
)


def table(rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    """Numbers and words with missing ones; a rare word; as many as 90 words in a column."""
    chance = np.random.default_rng(seed)
    frame = pd.DataFrame({name: chance.normal(size=rows).round(2) for name in NUMBERS})
    frame = frame.mask(chance.random(frame.shape) < 0.05)
    for name, kinds in zip(WORDS, (4, 12, 90), strict=True):
        words = [f"{name}{number}" for number in range(kinds)]
        frame[name] = pd.Series(chance.choice(words, rows, p=_shares(kinds)), dtype=object)
        frame.loc[chance.random(rows) < 0.03, name] = None
    frame["hour"] = chance.integers(0, 24, rows)
    frame["weekday"] = chance.integers(0, 7, rows)
    frame["late"] = chance.random(rows) < 0.5
    return frame


def amounts(frame: pd.DataFrame) -> Any:
    """What a regression is fitted on."""
    chance = np.random.default_rng(1)
    known = frame[list(NUMBERS)].fillna(0)
    sums = known["delay"] * 3 + known["distance"] * known["speed"] + 2 * frame["carrier"].eq("carrier1")
    sums += frame["origin"].isin(["origin2", "origin5"]) + 0.1 * frame["hour"] + frame["late"]
    return sums + chance.normal(size=len(frame))


def sides(frame: pd.DataFrame) -> Any:
    return (amounts(frame) > 2).map({False: "no", True: "yes"})


def thirds(frame: pd.DataFrame) -> Any:
    return np.digitize(amounts(frame), [0.5, 3.0])


def ordinals() -> Any:
    return OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)


def coded(*, words: Any = None, numbers: Any = "passthrough") -> ColumnTransformer:
    """Words as ordinals unless said otherwise, the rest as it is."""
    parts = [("words", words or ordinals(), list(WORDS)), ("numbers", numbers, list(NUMBERS))]
    return ColumnTransformer(parts, remainder="passthrough")


def dense() -> ColumnTransformer:
    """Nothing missing left, words one-hot."""
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    return coded(words=OneHotEncoder(handle_unknown="ignore", sparse_output=False), numbers=numbers)


def piped(first: Any, estimator: Any) -> Pipeline:
    return Pipeline([("columns", first), ("estimator", estimator)])


def to_rows(frame: pd.DataFrame) -> list[Row]:
    """As JSON would bring them."""
    columns = [[None if value is None or value != value else value for value in frame[name].tolist()] for name in frame]
    return list(zip(*columns, strict=True))


def to_frame(rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> pd.DataFrame:
    """As the model's pyfunc would be given them."""
    values = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            column.name: np.array(each, dtype=DTYPES.get(column.kind, object))
            for column, each in zip(columns, values, strict=True)
        }
    )


def answers(model: Any, method: str, rows: Sequence[Row], columns: Sequence[Column] = COLUMNS) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(getattr(model, method)(to_frame(rows, columns)))


def _shares(kinds: int) -> Any:
    weights = 1.0 / np.arange(1, kinds + 1)
    return weights / weights.sum()
