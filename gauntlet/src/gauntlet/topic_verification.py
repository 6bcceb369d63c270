"""Which records of a topic are decisions that a trusted key signed, which are not and why, and in which order they are.

Pure: records in, a report out. Who reads the topic decides what becomes of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from chassis.errors import Malformed
from chassis.signing.dsse import NotVerified, Verifier
from chassis.signing.event_signature import HEADER, verify_event
from chassis.signing.precedence import place_of
from contracts.cloudevents import Record, decode

State = Literal["signed", "unsigned", "wrong"]


@dataclass(frozen=True)
class Place:
    """A record and where it is: `offset` in its partition, or the line of a file that names none."""

    record: Record
    partition: int | None
    offset: int

    def __str__(self) -> str:
        at = f"line {self.offset}" if self.partition is None else f"{self.partition}:{self.offset}"
        return f"{self.record.topic}:{at}"


@dataclass
class ModelReport:
    """What a topic has of one model. `key_id`: the key of its last record, None where that one is not verified."""

    topic: str
    model_name: str
    signed: int = 0
    unsigned: int = 0
    wrong: int = 0
    key_id: str | None = None
    newest: int = 0
    """Highest epoch or revision that is verified; 0 for a topic without."""
    order: list[str] = field(default_factory=list)
    """Lower numbers after higher ones, two decisions with one number, and numbers that are missing."""
    problem: str | None = None
    """Why a reader that starts after compaction would not find the newest decision."""


@dataclass(frozen=True)
class BadRecord:
    place: str
    model_name: str
    event_id: str | None
    state: State
    reason: str


@dataclass
class Report:
    models: list[ModelReport]
    bad: list[BadRecord]

    @property
    def is_good(self) -> bool:
        return not self.bad and not any(model.problem for model in self.models)


def examine(places: Iterable[Place], keys: Verifier, max_bytes: int) -> Report:
    """Examine records, which come in the order of each partition."""
    models: dict[tuple[str, str], ModelReport] = {}
    ids: dict[tuple[str, str], dict[int, str]] = defaultdict(dict)
    bad: list[BadRecord] = []
    for place in places:
        record = place.record
        name = (record.key or b"").decode(errors="replace")
        model = models.setdefault((record.topic, name), ModelReport(record.topic, name))
        state, reason, key_id, event = _verified(record, keys, max_bytes)
        setattr(model, state, getattr(model, state) + 1)
        model.key_id = key_id
        if state != "signed":
            bad.append(BadRecord(str(place), name, event[0] if event else None, state, reason))
            model.problem = f"the last record is {state}: {reason}"
            continue
        assert event is not None
        _in_order(model, ids[record.topic, name], str(place), *event)
    return Report([models[key] for key in sorted(models)], bad)


def newest_of(places: Iterable[Place]) -> list[Place]:
    """Return the last record of each key of each topic: what compaction keeps."""
    last: dict[tuple[str, bytes | None], Place] = {}
    for place in places:
        last[place.record.topic, place.record.key] = place
    return list(last.values())


def _verified(record: Record, keys: Verifier, max_bytes: int) -> tuple[State, str, str | None, tuple[str, int] | None]:
    """Return state, reason, id of the key, and the event's id and number (0 for one that has none)."""
    event: tuple[str, int] | None = None
    if record.value is None:
        return "unsigned", "a tombstone: compaction removes all records of the model", None, None
    try:
        envelope = decode(record, max_bytes)
        event = envelope.id, place_of(envelope).number
        return "signed", "", verify_event(record, keys), event
    except (Malformed, NotVerified) as error:
        has_signature = any(name.lower() == HEADER and value for name, value in record.headers)
        return "wrong" if has_signature else "unsigned", str(error), None, event


def _in_order(model: ModelReport, ids: dict[int, str], place: str, event_id: str, number: int) -> None:
    """Compare a verified decision with those before it."""
    model.problem = None
    if number == 0:
        return
    if number < model.newest:
        model.order.append(f"{place}: {number} after {model.newest}")
        model.problem = f"the last record has number {number}, the newest is {model.newest}"
        return
    if ids.get(number, event_id) != event_id:
        model.order.append(f"{place}: a second decision with number {number}")
    if model.newest and number > model.newest + 1:
        model.order.append(f"{place}: {number} after {model.newest}; what was between is missing, or compacted")
    ids[number], model.newest = event_id, number
