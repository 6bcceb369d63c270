"""The golden predictions of a version, as its estimates read them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from contracts import OutputFormat, Scalar
from contracts.golden_predictions import ENTITY, EVENT_TIME, LABEL, OWN, PREDICTION, SCORE
from contracts.labels import canonical, number
from contracts.metrics import Problem
from drift.database.window_rows import Answered, PredictedColumns
from drift.policy.predictions import Distribution, Floats


@dataclass(frozen=True)
class Golden:
    """`answered`: prediction and label of each row, and `predicted` the predictions as columns; in order of time if
    `in_time`. `features`: of the same rows."""

    answered: tuple[Answered, ...]
    predicted: PredictedColumns
    features: pd.DataFrame
    in_time: bool


def read(frame: pd.DataFrame) -> Golden:
    """Read the rows of a file. Raises ValueError for one that lacks the columns."""
    if missing := sorted({LABEL, PREDICTION} - set(frame.columns)):
        raise ValueError(f"the golden predictions have no column {missing[0]!r}")
    in_time = EVENT_TIME in frame.columns and bool(frame[EVENT_TIME].notna().all())
    if in_time:
        frame = frame.sort_values(EVENT_TIME, kind="stable").reset_index(drop=True)
    blank = [None] * len(frame)
    scores = frame[SCORE].to_numpy(dtype=np.float64) if SCORE in frame.columns else np.full(len(frame), np.nan)
    times = list(pd.to_datetime(frame[EVENT_TIME], utc=True)) if in_time else blank
    entities = [canonical(value) for value in frame[ENTITY]] if ENTITY in frame.columns else blank
    rows = zip(_plain(pd.Series(scores)), _plain(frame[PREDICTION]), _plain(frame[LABEL]), times, entities, strict=True)
    features = frame[[name for name in frame.columns if name not in OWN]]
    answered = tuple(Answered(*row) for row in rows)  # type: ignore[arg-type]
    return Golden(answered, PredictedColumns(scores, frame[PREDICTION]), features, in_time)


def distribution_of(rows: PredictedColumns, output: OutputFormat | None) -> Distribution | None:
    """Return the distribution of scores, else of predicted numbers, else of predicted classes; None without rows."""
    if not len(rows.answers):
        return None
    problem = problem_of(rows, output)
    if problem == "binary" and _has_scores(rows):
        return Distribution(numbers=rows.scores[np.isfinite(rows.scores)])
    if problem == "regression":
        numbers = numbers_of(rows.answers)
        return Distribution(numbers=numbers[np.isfinite(numbers)])
    classes: Counter[str] = Counter()
    for name, count in rows.answers.value_counts(dropna=False).items():
        classes[canonical(name) or "(missing)"] += int(count)
    return Distribution(classes={name: float(count) for name, count in classes.items() if count})


def problem_of(rows: PredictedColumns, output: OutputFormat | None) -> Problem:
    """Return the problem as the promotion says; without it, as the rows suggest."""
    if output is not None:
        return output.problem
    if np.isfinite(rows.scores).any():
        return "binary"
    if not pd.api.types.is_float_dtype(rows.answers.dtype):
        return "multiclass"
    numbers = numbers_of(rows.answers)
    return "regression" if (numbers[np.isfinite(numbers)] % 1 != 0).any() else "multiclass"


def what_of(rows: PredictedColumns, output: OutputFormat | None) -> str:
    """Name what `distribution_of` is of."""
    problem = problem_of(rows, output)
    if problem == "regression":
        return "predicted numbers"
    return "scores" if problem == "binary" and _has_scores(rows) else "predicted classes"


def numbers_of(values: pd.Series) -> Floats:
    """Return each value as a number, (n,); NaN for what is none, or not finite."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        found = values.to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(found), found, np.nan)
    read = [number(value) for value in values.tolist()]
    return np.array([np.nan if value is None else value for value in read], dtype=np.float64)


def _has_scores(rows: PredictedColumns) -> bool:
    return bool(2 * np.isfinite(rows.scores).sum() >= len(rows.scores))


def _plain(column: pd.Series) -> list[Scalar]:
    return [None if pd.isna(value) else value for value in column.tolist()]
