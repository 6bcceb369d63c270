"""The golden predictions of a version, as its estimates read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from contracts import OutputFormat, Scalar
from contracts.golden_predictions import ENTITY, EVENT_TIME, LABEL, OWN, PREDICTION, SCORE
from contracts.labels import canonical, number
from contracts.metrics import Problem
from drift.database.window_rows import Answered, Predicted
from drift.policy.predictions import Distribution, Floats


@dataclass(frozen=True)
class Golden:
    """`answered`: prediction and label of each row; in order of time if `in_time`. `features`: of the same rows."""

    answered: tuple[Answered, ...]
    features: pd.DataFrame
    in_time: bool

    @property
    def predicted(self) -> list[Predicted]:
        return [Predicted(row.score, row.answer) for row in self.answered]


def read(frame: pd.DataFrame) -> Golden:
    """Read the rows of a file. Raises ValueError for one that lacks the columns."""
    if missing := sorted({LABEL, PREDICTION} - set(frame.columns)):
        raise ValueError(f"the golden predictions have no column {missing[0]!r}")
    in_time = EVENT_TIME in frame.columns and bool(frame[EVENT_TIME].notna().all())
    if in_time:
        frame = frame.sort_values(EVENT_TIME, kind="stable").reset_index(drop=True)
    blank = [None] * len(frame)
    scores = [None if np.isnan(value) else float(value) for value in frame[SCORE]] if SCORE in frame.columns else blank
    times = list(pd.to_datetime(frame[EVENT_TIME], utc=True)) if in_time else blank
    entities = [canonical(value) for value in frame[ENTITY]] if ENTITY in frame.columns else blank
    rows = zip(scores, _plain(frame[PREDICTION]), _plain(frame[LABEL]), times, entities, strict=True)
    features = frame[[name for name in frame.columns if name not in OWN]]
    return Golden(tuple(Answered(*row) for row in rows), features, in_time)


def distribution_of(rows: Sequence[Predicted], output: OutputFormat | None) -> Distribution | None:
    """Return the distribution of scores, else of predicted numbers, else of predicted classes; None without rows."""
    if not rows:
        return None
    scores = np.array([row.score for row in rows if row.score is not None], dtype=np.float64)
    problem = problem_of(rows, output)
    if problem == "binary" and 2 * len(scores) >= len(rows):
        return Distribution(numbers=scores)
    if problem == "regression":
        return Distribution(numbers=numbers_of(row.answer for row in rows))
    names = Counter(canonical(row.answer) or "(missing)" for row in rows)
    return Distribution(classes={name: float(count) for name, count in names.items()})


def problem_of(rows: Sequence[Predicted], output: OutputFormat | None) -> Problem:
    """Return the problem as the promotion says; without it, as the rows suggest."""
    if output is not None:
        return output.problem
    if any(row.score is not None for row in rows):
        return "binary"
    fractions = any(isinstance(row.answer, float) and not row.answer.is_integer() for row in rows)
    return "regression" if fractions else "multiclass"


def what_of(rows: Sequence[Predicted], output: OutputFormat | None) -> str:
    """Name what `distribution_of` is of."""
    problem = problem_of(rows, output)
    if problem == "regression":
        return "predicted numbers"
    has_scores = problem == "binary" and 2 * sum(row.score is not None for row in rows) >= len(rows)
    return "scores" if has_scores else "predicted classes"


def numbers_of(values: Iterable[Scalar]) -> Floats:
    """Return the finite numbers among the values."""
    return np.array([found for value in values if (found := number(value)) is not None], dtype=np.float64)


def _plain(column: pd.Series) -> list[Scalar]:
    return [None if pd.isna(value) else value for value in column.tolist()]
