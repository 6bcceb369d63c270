"""Match labels to rows when only the entity is known.

A label describes the state at its time, so it applies to the entity's predictions up to that time: by event time where
both are known, else by when the prediction was made and the label sent. The first label wins.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class EntityLabel(NamedTuple):
    """`label` is JSON; `event_time` is when what it describes happened."""

    label: str
    event_time: datetime | None
    sent_at: datetime


def label_for(event_time: datetime | None, made_at: datetime, labels: Iterable[EntityLabel]) -> str | None:
    """Return the label of a row of the same entity, None when all labels are earlier than the row."""
    for label in sorted(labels, key=lambda item: (item.event_time or item.sent_at, item.sent_at)):
        if event_time is not None and label.event_time is not None:
            belongs = event_time <= label.event_time
        else:
            belongs = made_at <= label.sent_at
        if belongs:
            return label.label
    return None
