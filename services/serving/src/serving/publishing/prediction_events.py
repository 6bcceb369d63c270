"""Encode PredictionMade as bytes, at a tenth of the cost of validating and dumping a pydantic model.

In two steps, because a separate process builds the events (`serving.publishing.worker`): a replica writes a `line`
for a request, that process builds its events. This module is therefore quick to import. The events are equivalent to
those of `contracts.cloudevents.encode`; a test compares the two.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from chassis.model_signature import Column
    from chassis.row_reader import InputBatch
    from serving.inference.prediction import Prediction
    from serving.inference.tried import TriedRequest

SOURCE = "serving"
CHAMPION, CHALLENGER = "champion", "challenger"
"""The arms, and the fields of the event: those of `contracts.Arm`, which is not quick to import."""
LONGEST_ERROR = 300
"""Characters."""

Header = tuple[str, bytes]


def about(model_name: str, model_version: int, columns: Sequence[Column]) -> bytes:
    """Encode what the following lines have in common; sent once, because the names are half of the bytes."""
    said = {"model_name": model_name, "model_version": model_version, "columns": [column.name for column in columns]}
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def line(request_id: str, table: InputBatch, prediction: Prediction, latency_ms: float) -> bytes:
    """Encode a request's rows and predictions, from which one event a row is built.

    Raises orjson.JSONEncodeError for a value that JSON cannot represent, such as an integer of more than 64 bits.
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


def tried_line(request_id: str, table: InputBatch, tried: TriedRequest, latency_ms: float) -> bytes:
    """Encode a request during a rollout, with what each version made of its rows. Raises as `line`."""
    outcomes = [
        (
            outcome.arm,
            outcome.rows,
            None if outcome.prediction is None else outcome.prediction.labels,
            None if outcome.prediction is None else outcome.prediction.numbers,
            None if outcome.error is None else outcome.error[:LONGEST_ERROR],
            None if outcome.seconds is None else outcome.seconds * 1000,
        )
        for outcome in tried.outcomes
    ]
    step = tried.step
    said = (
        request_id,
        table.values,
        table.entities,
        table.event_times,
        None,
        None,
        latency_ms,
        (step.rollout_id, step.step, step.tried_version, tried.arms, outcomes),
    )
    return orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


def encoded(
    about: dict[str, Any], line: list[Any], now: datetime, kind: str
) -> Iterator[tuple[bytes, bytes, list[Header]]]:
    """Yield key, value and headers of each row's event, of the type `kind`, from `about` and `line`.

    The id is derived from request and row, so that an event published twice counts once.
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
    request_id, values, entities, event_times, labels, scores, latency_ms, *rollout = line
    tried = _tried(about["model_version"], len(values), *rollout[0]) if rollout else None
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
            "latency_ms": latency_ms,
        }
        if tried is not None:
            data |= tried[number]
        else:
            data["champion"] = {
                "model_version": about["model_version"],
                "score": scores[number] if scores is not None else None,
                "label": labels[number],
            }
        yield key, orjson.dumps(data), [*attributes, ("ce_id", correlation + b":%d" % number)]


def _tried(
    champion_version: int,
    rows: int,
    rollout_id: str,
    step: int,
    tried_version: int,
    arms: list[str] | None,
    outcomes: list[list[Any]],
) -> list[dict[str, Any]]:
    """Return what a rollout adds to the event of each row; a version that did not predict it has no label."""
    versions = {CHAMPION: champion_version, CHALLENGER: tried_version}
    found: list[dict[str, Any]] = [
        {
            CHAMPION: {"model_version": champion_version, "score": None, "label": None},
            "rollout_id": rollout_id,
            "step": step,
        }
        for _ in range(rows)
    ]
    for row, arm in enumerate(arms or ()):
        found[row]["arm"] = arm
    for arm, numbers, labels, scores, error, milliseconds in outcomes:
        for place, row in enumerate(range(rows) if numbers is None else numbers):
            output = {
                "model_version": versions[arm],
                "score": None if scores is None else scores[place],
                "label": None if labels is None else labels[place],
            }
            if error is not None:
                output["error"] = error
            if milliseconds is not None:
                output["latency_ms"] = milliseconds
            found[row][arm] = output
    return found


def is_sampled(request_id: str, share: float) -> bool:
    """Return whether a request is in the `share` that is published; always the same for the same id."""
    return share >= 1.0 or random.Random(request_id).random() < share


class Budget:
    """A token bucket of rows: publishing takes CPU from predicting, and drift cannot sustain a higher rate.

    A request that is larger than the bucket passes when it is full; later ones must wait until it refills.
    """

    def __init__(self, rows_per_second: float, seconds: float = 1.0) -> None:
        """The bucket holds the rows of `seconds`."""
        self._rate = rows_per_second
        self._most = self._left = rows_per_second * seconds
        self._at = 0.0

    def take(self, rows: int, now: float) -> bool:
        """Return whether `rows` more may be published at `now`, in seconds on a monotonic clock."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < min(rows, self._most):
            return False
        self._left -= rows
        return True
