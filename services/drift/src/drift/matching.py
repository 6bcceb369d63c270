"""Which label belongs to which row when only the entity is known.

A label tells how things stood at its time, so it is the truth of the entity's predictions up to then: by the times of
the events where both are known, else by when the prediction was made and the label sent. The first label wins.
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
    """The label of a row of their entity, None when all of them are of an earlier time."""
    for label in sorted(labels, key=lambda item: (item.event_time or item.sent_at, item.sent_at)):
        if event_time is not None and label.event_time is not None:
            belongs = event_time <= label.event_time
        else:
            belongs = made_at <= label.sent_at
        if belongs:
            return label.label
    return None
