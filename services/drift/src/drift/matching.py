"""Which label belongs to which row when only the entity is known.

A label tells how things stood at its time, so it is the truth of the entity's predictions up to then: by the times of
the events where both are known, else by when the prediction was made and the label sent. The first label wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import and_, or_, update

from drift.tables import PredictionRow


def label_of(row: Mapping[str, Any], labels: Iterable[Any]) -> str | None:
    """The label of a new row among its entity's `labels`, which are in the order they were sent."""
    for label in labels:
        if row["event_time"] is not None and label.event_time is not None:
            belongs = row["event_time"] <= label.event_time
        else:
            belongs = row["made_at"] <= label.sent_at
        if belongs:
            return str(label.label)
    return None


def labels_rows(label: Mapping[str, Any]) -> Any:
    """The UPDATE that gives a new label to the rows it belongs to; it returns the keys of their windows."""
    made_before = PredictionRow.made_at <= label["sent_at"]
    if label["event_time"] is None:
        belongs: Any = made_before
    else:
        happened_before = and_(PredictionRow.event_time.is_not(None), PredictionRow.event_time <= label["event_time"])
        belongs = or_(happened_before, and_(PredictionRow.event_time.is_(None), made_before))
    return (
        update(PredictionRow)
        .where(
            PredictionRow.model_name == label["model_name"],
            PredictionRow.entity_id == label["entity_id"],
            PredictionRow.label.is_(None),
            belongs,
        )
        .values(label=label["label"])
        .returning(PredictionRow.window_key)
        .execution_options(synchronize_session=False)
    )
