"""The rows of a window, as they were predicted: features, predictions, and the labels that have arrived."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from contracts import Scalar
from drift.database.records import clean, loads
from drift.database.tables import PredictionRow, WindowRow

MOST_OTHERS = 50
"""Columns that the reference does not have, of which the names are read."""


class Answered(NamedTuple):
    """One labelled row; `score` is the probability of the positive class, `answer` the predicted class or number."""

    score: float | None
    answer: Scalar
    truth: Scalar
    event_time: datetime | None = None
    entity: str | None = None


class LabelledRow(NamedTuple):
    """A labelled row as it was predicted. `at`: its event time, else when it was predicted."""

    features: dict[str, Scalar]
    truth: Scalar
    entity: str | None
    at: datetime


class Predicted(NamedTuple):
    """The prediction of one row, labelled or not."""

    score: float | None
    answer: Scalar


def features(session: Session, window: WindowRow, names: list[str]) -> pd.DataFrame:
    """Return the features that any row has, in order of arrival, and empty columns for some other names.

    Values stay as they are: pandas would make floats of integers, and refuse those that are too large.
    """
    query = select(PredictionRow.features).where(PredictionRow.window_key == window.key).order_by(PredictionRow.seq)
    parsed = [loads(row) for row in session.scalars(query)]
    seen = set().union(*parsed)
    others = sorted(clean(name) for name in seen.difference(names))[:MOST_OTHERS]
    columns = {name: [row.get(name) for row in parsed] for name in names if name in seen}
    return pd.DataFrame(columns | dict.fromkeys(others), index=range(len(parsed)), dtype=object)


def predictions(session: Session, window: WindowRow) -> list[Predicted]:
    """Return the predictions of all rows, in order of arrival."""
    query = select(PredictionRow.score, PredictionRow.answer).where(PredictionRow.window_key == window.key)
    return [Predicted(row.score, loads(row.answer)) for row in session.execute(query.order_by(PredictionRow.seq))]


def labelled(session: Session, window: WindowRow) -> list[Answered]:
    """Return the rows that have a label, in order of arrival."""
    query = select(
        PredictionRow.score,
        PredictionRow.answer,
        PredictionRow.label,
        PredictionRow.event_time,
        PredictionRow.entity_id,
    ).where(PredictionRow.window_key == window.key, PredictionRow.label.is_not(None))
    return [
        Answered(row.score, loads(row.answer), loads(row.label or "null"), row.event_time, row.entity_id)
        for row in session.execute(query.order_by(PredictionRow.seq))
    ]


def newest_labelled(
    session: Session, model_name: str, model_version: int, limit: int, until: datetime | None = None
) -> list[LabelledRow]:
    """Return the newest labelled rows of a version, in order of arrival; of those predicted `until` then, if given."""
    query = (
        select(PredictionRow)
        .join(WindowRow, PredictionRow.window_key == WindowRow.key)
        .where(
            WindowRow.model_name == model_name,
            WindowRow.model_version == model_version,
            PredictionRow.label.is_not(None),
        )
    )
    if until is not None:
        query = query.where(PredictionRow.made_at <= until)
    found = [
        LabelledRow(loads(row.features), loads(row.label or "null"), row.entity_id, row.event_time or row.made_at)
        for row in session.scalars(query.order_by(PredictionRow.seq.desc()).limit(limit))
    ]
    return found[::-1]
