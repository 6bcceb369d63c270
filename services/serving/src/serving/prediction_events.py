"""PredictionMade, as bytes: a prediction's event costs a tenth of what validating and dumping a pydantic model does.

The same bytes' meaning as `chassis.cloudevents.encode` gives; a test holds the two together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from chassis.cloudevents import Encoded
from contracts import PredictionMade
from serving.signature import Column

SOURCE = "serving"


@dataclass(eq=False, slots=True)  # frozen would cost two microseconds of each request
class Answered:
    """A request's rows and what was answered; one event a row follows. `values` are in the order of `columns`."""

    model_name: str
    model_version: int
    request_id: str
    columns: Sequence[Column]
    values: Sequence[tuple[Any, ...]]
    entities: Sequence[str | None]
    event_times: Sequence[datetime | None]
    labels: Sequence[Any]
    scores: Sequence[float] | None
    latency_ms: float = 0.0


def encoded(answered: Answered, now: datetime) -> Iterator[Encoded]:
    """The id of each event is made of request and row, so that the same one published twice is one."""
    key = answered.model_name.encode()
    correlation = answered.request_id.encode()
    attributes = [
        ("ce_specversion", b"1.0"),
        ("ce_type", PredictionMade.type.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_time", now.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("ce_subject", key),
        ("ce_correlationid", correlation),
        ("content-type", b"application/json"),
    ]
    names = [column.name for column in answered.columns]
    for number, values in enumerate(answered.values):
        data = {
            "model_name": answered.model_name,
            "request_id": answered.request_id,
            "row": number,
            "entity_id": answered.entities[number] if answered.entities else None,
            "event_time": answered.event_times[number] if answered.event_times else None,
            "features": dict(zip(names, values, strict=True)),
            "champion": {
                "model_version": answered.model_version,
                "score": answered.scores[number] if answered.scores is not None else None,
                "label": answered.labels[number],
            },
            "latency_ms": answered.latency_ms,
        }
        event_id = ("ce_id", correlation + b":%d" % number)
        yield Encoded(key, orjson.dumps(data, option=orjson.OPT_UTC_Z), [event_id, *attributes])


def is_sampled(request_id: str, share: float) -> bool:
    """Whether a request is among the `share` that is published; the same id always answers alike."""
    return share >= 1.0 or random.Random(request_id).random() < share


class Budget:
    """A token bucket of rows: what is published takes the interpreter from answering, and drift needs no more.

    A request that is larger than what a second holds passes when the bucket is full, and the next ones wait for it.
    """

    def __init__(self, rows_per_second: float) -> None:
        self._rate = rows_per_second
        self._left = rows_per_second
        self._at = 0.0

    def take(self, rows: int, now: float) -> bool:
        """Whether `rows` more may be published at `now`, in seconds on a clock that never goes back."""
        self._left = min(self._rate, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < min(rows, self._rate):
            return False
        self._left -= rows
        return True
