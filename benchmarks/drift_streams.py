"""Windows of twenty columns with and without drift, as the table of docs/explanation/drift.md has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

NUMBERS, LEVELS = 12, (2, 3, 5, 8, 12, 20, 40, 60)
ORDINARY_DAY = 0.08
"""Standard deviations by which every number of an ordinary day differs from the reference."""
NUMBER, CATEGORY = "number 0", "category 2"


@dataclass(frozen=True)
class World:
    """A reference, and windows like it; `day`: standard deviation of a day's shift of each number."""

    seed: int
    day: float

    def window(self, rows: int, number: int) -> pd.DataFrame:
        """Return the window of that number; the reference is number 0 of a world without days."""
        rng = np.random.default_rng([self.seed, number, rows])
        shifts = rng.normal(0.0, self.day, NUMBERS) if self.day else np.zeros(NUMBERS)
        values: dict[str, object] = {
            f"number {column}": _number(rng, column, rows, shifts[column]) for column in range(NUMBERS)
        }
        for column, levels in enumerate(LEVELS):
            shares = 1 / np.arange(1, levels + 1)
            codes = rng.choice(levels, rows, p=shares / shares.sum())
            values[f"category {column}"] = pd.Categorical.from_codes(codes, [f"k{level}" for level in range(levels)])
        return pd.DataFrame(values)

    def reference(self, rows: int) -> pd.DataFrame:
        return World(self.seed, 0.0).window(rows, 0)


def _number(rng: np.random.Generator, column: int, rows: int, shift: float) -> np.ndarray:
    """Normal, or skewed (gamma of shape 2), with standard deviation 1."""
    if column % 3:
        return rng.normal(0.0, 1.0, rows) + shift
    return rng.gamma(2.0, 1.0 / np.sqrt(2.0), rows) + shift


def _moved(columns: int, by: float) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda window: pd.DataFrame({f"number {c}": window[f"number {c}"] + by for c in range(columns)})


def _half_missing(window: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({NUMBER: window[NUMBER].where(np.arange(len(window)) % 2 == 0)})


def _category_gone(window: pd.DataFrame) -> pd.DataFrame:
    """Take the second of five levels as the first, as a mapping that lost an entry does."""
    texts = window[CATEGORY].astype(object)
    return pd.DataFrame({CATEGORY: texts.where(texts != "k1", "k0")})


DRIFTS: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "one column by 0.5 sd": _moved(1, 0.5),
    "one column by 1 sd": _moved(1, 1.0),
    "a column of zeros": lambda window: pd.DataFrame({NUMBER: np.zeros(len(window))}),
    "half of a column missing": _half_missing,
    "a category gone": _category_gone,
    "three columns by 0.3 sd": _moved(3, 0.3),
}
"""The columns that change, as they are then."""


def score(window: pd.DataFrame) -> np.ndarray:
    """Return the score of a fixed model of all numbers: what a detector of a single stream watches."""
    weights = np.linspace(1.0, 0.2, NUMBERS)
    values = window[[f"number {column}" for column in range(NUMBERS)]].fillna(0.0).to_numpy()
    return np.asarray(1 / (1 + np.exp(-(values @ weights) / 2)))
