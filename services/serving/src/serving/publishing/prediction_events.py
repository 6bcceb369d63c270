"""PredictionMade, as bytes: a prediction's event costs a tenth of what validating and dumping a pydantic model does.

In two steps, because making the events themselves is the work of a process of its own (`serving.publishing.worker`): a
replica writes a `line` for a request, that process makes events of it. This module is therefore quick to import. The
events mean what `chassis.cloudevents.encode` gives; a test holds the two together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from serving.inference.prediction import Prediction
    from serving.inference.row_reader import InputBatch
    from serving.inference.signature import Column

SOURCE = "serving"

Header = tuple[str, bytes]


def about(model_name: str, model_version: int, columns: Sequence[Column]) -> bytes:
    """What the lines that follow have in common; said once, because the names are half of what there is to say."""
    said = {"model_name": model_name, "model_version": model_version, "columns": [column.name for column in columns]}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def line(request_id: str, table: InputBatch, prediction: Prediction, latency_ms: float) -> bytes:
    """A request's rows and what was answered; one event a row follows.

    Raises orjson.JSONEncodeError for a value that JSON cannot say, such as an integer of more than 64 bits.
    """
    answered = (
        request_id,
        table.values,
        table.entities,
        table.event_times,
        prediction.labels,
        prediction.numbers,
        latency_ms,
    )
    return orjson.dumps(answered, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def encoded(
    about: dict[str, Any], line: list[Any], now: datetime, kind: str
) -> Iterator[tuple[bytes, bytes, list[Header]]]:
    """Key, value and headers of each row's event, of the type `kind`, from what was said `about` it and its `line`.

    The id is made of request and row, so that the same one published twice is one.
    """
    key = about["model_name"].encode()
    attributes = [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", SOURCE.encode()),
        ("ce_time", now.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()),
        ("ce_subject", key),
        ("content-type", b"application/json"),
    ]
    names = about["columns"]
    request_id, values, entities, event_times, labels, scores, latency_ms = line
    correlation = request_id.encode()
    attributes.append(("ce_correlationid", correlation))
    for number, row in enumerate(values):
        data = {
            "model_name": about["model_name"],
            "request_id": request_id,
            "row": number,
            "entity_id": entities[number] if entities else None,
            "event_time": event_times[number] if event_times else None,
            "features": dict(zip(names, row, strict=True)),
            "champion": {
                "model_version": about["model_version"],
                "score": scores[number] if scores is not None else None,
                "label": labels[number],
            },
            "latency_ms": latency_ms,
        }
        yield key, orjson.dumps(data), [*attributes, ("ce_id", correlation + b":%d" % number)]


def is_sampled(request_id: str, share: float) -> bool:
    """Whether a request is among the `share` that is published; the same id always answers alike."""
    return share >= 1.0 or random.Random(request_id).random() < share


class Budget:
    """A token bucket of rows: what is published takes cores from answering, and drift cannot read faster for long.

    A request that is larger than the bucket passes when it is full, and the next ones wait for it.
    """

    def __init__(self, rows_per_second: float, seconds: float = 1.0) -> None:
        """The bucket holds what `seconds` bring."""
        self._rate = rows_per_second
        self._most = self._left = rows_per_second * seconds
        self._at = 0.0

    def take(self, rows: int, now: float) -> bool:
        """Whether `rows` more may be published at `now`, in seconds on a clock that never goes back."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < min(rows, self._most):
            return False
        self._left -= rows
        return True
