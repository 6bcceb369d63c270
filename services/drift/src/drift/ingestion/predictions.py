"""PredictionMade as rows: from the message's bytes to columns, outside the transaction and the model's lock.

Most events are plain: what serving publishes for a row without a rollout. Those are read here, ten times as quickly as
by decoding and validating the event. Whatever is written otherwise, or is not valid, is left to `cloudevents.decode`,
which says why; an event that it accepts gives the same row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from contracts import Arm, Envelope, Output, PredictionMade
from contracts.cloudevents import Record, decode
from contracts.event import LARGEST_INTEGER
from drift.database.columns import Columns, Made, columns_of
from drift.database.records import as_utc, identity, row_key, storable, unit_key
from drift.ingestion.headers import is_model_name, plain_time, time_of

TYPE = PredictionMade.type.encode()
SCALARS = frozenset({str, int, float, bool, type(None)})
NUMBERS = frozenset({int, float})


class Read(NamedTuple):
    """A row with its event, where more than the champion's prediction matters: a rollout, or a failure."""

    row: Made
    event: PredictionMade


class Skipped(NamedTuple):
    """A row that is not taken, because the service is too far behind; its message was not parsed."""

    model_name: str


@dataclass
class Predictions:
    """What a batch says of one model. `made`: the rows that the champion predicted, each once, by version."""

    model_name: str
    made: dict[int, Columns] = field(default_factory=dict)
    doubled: int = 0
    """Rows that came more than once in the batch."""
    skipped: int = 0
    """Rows that are not taken."""
    failed: list[Made] = field(default_factory=list)
    """Rows that the champion failed on."""
    trials: list[Read] = field(default_factory=list)
    """Rows of rollouts; those that the champion predicted are in `made`, too."""

    @property
    def is_empty(self) -> bool:
        return not (self.made or self.failed or self.trials)


def read(record: Record, max_bytes: int) -> Made | Read:
    """Return the row of a message. Raises Malformed, or ValueError for a value that cannot be stored."""
    found = _plain(record, max_bytes)
    return of_event(decode(record, max_bytes)) if found is None else found


def of_event(envelope: Envelope[PredictionMade]) -> Made | Read:
    event = envelope.data
    request_id, row = identity(event.request_id), storable("row", event.row)
    entity_id = None if event.entity_id is None else identity(event.entity_id)
    made = Made(
        event.model_name,
        event.champion.model_version,
        request_id,
        row,
        row_key(event.model_name, request_id, row),
        entity_id,
        None if entity_id is None else unit_key(event.model_name, entity_id),
        as_utc(event.event_time),
        as_utc(envelope.time) or datetime.now(UTC),
        event.champion.score,
        event.champion.label,
        event.features,
    )
    is_plain = event.rollout_id is None and event.champion.error is None and event.arm is not Arm.CHALLENGER
    return made if is_plain else Read(made, event)


def gather(rows: Iterable[Made | Read | Skipped]) -> list[Predictions]:
    """Group by model, ordered by name, so that two transactions that lock several models cannot deadlock."""
    found: dict[str, Predictions] = {}
    made: dict[str, dict[int, Made]] = {}
    for item in rows:
        row, event = (item.row, item.event) if isinstance(item, Read) else (item, None)
        batch = found.get(row.model_name)
        if batch is None:
            batch = found[row.model_name] = Predictions(row.model_name)
            made[row.model_name] = {}
        if isinstance(row, Skipped):
            batch.skipped += 1
            continue
        if event is not None:
            if event.rollout_id is not None:
                batch.trials.append(Read(row, event))
            if event.champion.error is not None:
                batch.failed.append(row)
                continue
            if event.arm is Arm.CHALLENGER and not _is_answered(event.champion):
                continue
        unique = made[row.model_name]
        if unique.setdefault(row.key, row) is not row:
            batch.doubled += 1
    for name, batch in found.items():
        batch.made = _by_version(list(made[name].values()))
    return [found[name] for name in sorted(found)]


def _by_version(rows: Sequence[Made]) -> dict[int, Columns]:
    versions: dict[int, list[Made]] = {}
    for row in rows:
        versions.setdefault(row.model_version, []).append(row)
    return {version: columns_of(of_version) for version, of_version in versions.items()}


def _plain(record: Record, max_bytes: int) -> Made | None:
    """Read an event that is written as serving writes it; None for any other."""
    value = record.value
    if value is None or len(value) > max_bytes:
        return None
    made_at = time_of(record.headers, TYPE)
    if made_at is None:
        return None
    try:
        body = orjson.loads(value)
        name, request_id, features = body["model_name"], body["request_id"], body["features"]
        champion, latency = body["champion"], body["latency_ms"]
        version = champion["model_version"]
    except (ValueError, KeyError, TypeError):
        return None
    get = body.get
    row, entity_id, event_time = get("row", 0), get("entity_id"), get("event_time")
    if (
        type(champion) is not dict
        or type(name) is not str
        or name.encode() != record.key
        or not is_model_name(name)
        or type(request_id) is not str
        or type(row) is not int
        or not 0 <= row <= LARGEST_INTEGER
        or type(version) is not int
        or not 1 <= version <= LARGEST_INTEGER
        or type(features) is not dict
        or not SCALARS.issuperset(map(type, features.values()))
        or type(latency) not in NUMBERS
        or latency < 0
        or not _is_alone(get)
    ):
        return None
    if entity_id is not None:
        if type(entity_id) is not str:
            return None
        entity_id = identity(entity_id)
    if event_time is not None and (event_time := plain_time(event_time)) is None:
        return None
    prediction = _prediction(champion)
    if prediction is None:
        return None
    request_id = identity(request_id)
    return Made(
        name,
        version,
        request_id,
        row,
        row_key(name, request_id, row),
        entity_id,
        None if entity_id is None else unit_key(name, entity_id),
        event_time,
        made_at,
        *prediction,
        features,
    )


def _is_alone(get: Any) -> bool:
    """Return whether no rollout has to do with the event."""
    return get("challenger") is None and get("arm") is None and get("rollout_id") is None and get("step") is None


def _prediction(champion: dict[str, Any]) -> tuple[float | None, Any] | None:
    """Return score and label; None where they are not plain, or the version failed."""
    get = champion.get
    score, label, latency = get("score"), get("label"), get("latency_ms")
    if get("error") is not None or type(label) not in SCALARS:
        return None
    if latency is not None and (type(latency) not in NUMBERS or latency < 0):
        return None
    if score is not None and type(score) is not float:
        if type(score) is not int:
            return None
        score = float(score)
    return score, label


def _is_answered(champion: Output) -> bool:
    """Return whether the champion predicted a row of the challenger's arm: it does where the challenger fails."""
    return champion.label is not None or champion.score is not None
