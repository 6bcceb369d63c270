"""How a model scores a category that it has never seen: as a missing one, as one of its own, or as known ones.

XGBoost 3.2 scores one that sorts before all others as the first category of the training data, and raises on the
others; an OrdinalEncoder with `unknown_value=-1` makes trees do the like. No comparison of a model with itself on
golden rows shows it: these hold no such categories.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

EQUAL = 1e-9
"""Absolute, between two scores of one row."""
SHOWN = 3
MISSING, KNOWN = "missing", "known"
UNSEEN = {"first": " never seen", "last": "~ never seen"}
"""Two values, since where one sorts among the known ones may decide: before all of them, and after all of them."""

Answers = NDArray[Any]


@dataclass(frozen=True)
class CategoryTrial:
    """A column of which the same rows were predicted with each of its `known` values, with unseen ones and none."""

    column: str
    known: tuple[str, ...]
    number: int

    def key(self, what: str) -> str:
        """Return the name of the rows with an unseen value ("first", "last"), without one, or with the known ones.

        The last are one block of rows for each known value, in order.
        """
        return f"category-{self.number}-{what}"


@dataclass(frozen=True, eq=False)
class CategoryAnswers:
    """The predictions of the same rows, by the value of `column`. `unseen`: by kind, where the model did not raise."""

    column: str
    known: Mapping[str, Answers]
    unseen: Mapping[str, Answers] = field(default_factory=dict)
    missing: Answers | None = None


def read(trial: CategoryTrial, dirty: Mapping[str, Answers]) -> CategoryAnswers | None:
    """Take the answers of a trial from those to dirty rows; None if the known values were not answered."""
    together = dirty.get(trial.key(KNOWN))
    if together is None or not trial.known or len(together) % len(trial.known):
        return None
    known = dict(zip(trial.known, np.split(together, len(trial.known)), strict=True))
    unseen = {kind: found for kind in UNSEEN if (found := dirty.get(trial.key(kind))) is not None}
    return CategoryAnswers(trial.column, known, unseen, dirty.get(trial.key(MISSING)))


def scored_as(answers: CategoryAnswers) -> tuple[str, ...]:
    """Return the known values as which an unseen one is scored in every row; none if that is nothing to warn of.

    It is nothing if the unseen value is scored as a missing one, or as most of the known ones: then the model does not
    tell these apart.
    """
    for unseen in answers.unseen.values():
        if answers.missing is not None and _equal(unseen, answers.missing):
            continue
        names = tuple(name for name, known in answers.known.items() if _equal(unseen, known))
        if names and len(names) * 2 <= len(answers.known):
            return names
    return ()


def warning(column: str, names: tuple[str, ...]) -> str:
    listed = ", ".join(map(repr, names[:SHOWN])) + (" …" if len(names) > SHOWN else "")
    return (
        f"a value of {column!r} that was never seen is scored exactly as {listed}, and not as a missing one: encode"
        " what is unknown as missing (OrdinalEncoder(unknown_value=np.nan), pd.CategoricalDtype(known))"
    )


def _equal(one: Answers, other: Answers) -> bool:
    if one.shape != other.shape or one.dtype.kind != other.dtype.kind:
        return False
    return bool(np.allclose(one, other, 0, EQUAL) if one.dtype.kind == "f" else np.array_equal(one, other))
