"""Match labels to rows when only the entity is known.

A label describes the state at its time, so it applies to the entity's predictions up to that time: by event time where
both are known, else by when the prediction was made and the label sent. The first label wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, NamedTuple, TypeVar

L = TypeVar("L")


class EntityLabel(NamedTuple, Generic[L]):
    """`event_time` is when what it describes happened. All times are of one type: datetimes, or numbers."""

    label: L
    event_time: Any
    sent_at: Any


def _time(label: EntityLabel[Any]) -> tuple[Any, Any]:
    return (label.sent_at if label.event_time is None else label.event_time, label.sent_at)


def label_for(event_time: Any, made_at: Any, labels: Iterable[EntityLabel[L]]) -> L | None:
    """Return the label of a row of the same entity, None when all labels are earlier than the row."""
    for label in sorted(labels, key=_time):
        if event_time is not None and label.event_time is not None:
            belongs = event_time <= label.event_time
        else:
            belongs = made_at <= label.sent_at
        if belongs:
            return label.label
    return None
