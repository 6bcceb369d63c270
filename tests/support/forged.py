"""A corpus of decisions that nobody may believe, made of signed ones by whoever can write to the topics.

The attacker reads everything that was ever published, has a key of its own, and not the gatekeeper's.
"""

from __future__ import annotations

import json
import random
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from chassis.signing.dsse import Signature, SignedBytes, pre_authentication_encoding
from chassis.signing.event_signature import HEADER, PAYLOAD_TYPE, sign_event
from chassis.signing.keys import SigningKey
from contracts import (
    Dataset,
    Event,
    GatePassed,
    Mode,
    OutputFormat,
    Promoted,
    Result,
    RolloutChanged,
    ServingArtifact,
    Stage,
    new_envelope,
)
from contracts.cloudevents import Record, encode
from support.versions import Version

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
FIRST, SECOND = "flights", "churn"
EVIL = Version(FIRST, 666, "models:/evil/666", "sha256:" + "e" * 64)
BOM = b"\xef\xbb\xbf"


class Forgery(NamedTuple):
    """`refused`: None where the bytes may differ and say the same, as some of base64: then it is a repetition."""

    kind: str
    record: Record
    refused: bool | None = True


@dataclass
class World:
    """What a gatekeeper has signed: `history` in order, and of each type and model the newest."""

    key: SigningKey = field(default_factory=SigningKey.generate)
    other: SigningKey = field(default_factory=SigningKey.generate)
    history: list[Record] = field(default_factory=list)
    superseded: list[Record] = field(default_factory=list)
    minutes: int = 0

    def publish(self, event: Event, *, older: bool = False, minutes: int | None = None) -> Record:
        """Sign an event. `older`: one that is superseded by what follows. `minutes`: its time; default: the next."""
        self.minutes += 1
        record = self.signed(event, minutes=self.minutes if minutes is None else minutes)
        self.history.append(record)
        if older:
            self.superseded.append(record)
        return record

    def signed(self, event: Event, *keys: SigningKey, minutes: int = 0) -> Record:
        time = BEGAN + timedelta(minutes=minutes, microseconds=250_000)
        encoded = sign_event(encode(new_envelope(event, source="gatekeeper", time=time)), keys or (self.key,))
        return Record(event.topic, encoded.key, encoded.value, encoded.headers)

    @property
    def newest(self) -> list[Record]:
        old = {id(record) for record in self.superseded}
        return [record for record in self.history if id(record) not in old]


def version(model_name: str, number: int) -> Version:
    digest = f"sha256:{number:064x}"
    beside = ServingArtifact(uri=f"runs:/{number}/serving", digest=f"sha256:{number + 1000:064x}")
    output = OutputFormat(problem="binary", classes=("on time", "late"), label="late")
    return Version(model_name, number, f"models:/{model_name}/{number}", digest, beside, output)


def full(promoted: Promoted) -> Promoted:
    """With every field set, so that every field is mutated."""
    digest = "sha256:" + "a" * 64
    more = {
        "previous_version": 1,
        "reason": "better by 0.01",
        "evidence_id": "candidate-1",
        "metric": "roc_auc",
        "baseline": {"roc_auc": 0.7, "log_loss": 0.5},
        "reference": Dataset(uri="runs:/1/reference.parquet", digest=digest, rows=100, window="2013-01"),
        "golden_predictions": Dataset(uri="runs:/1/golden.parquet", digest=digest, rows=100),
        "importance": {"distance": 0.1},
    }
    return promoted.model_copy(update=more)


def world() -> World:
    """Two models; of each, champions that followed each other, one rollout in its steps, and passed versions."""
    made = World()
    for name in (FIRST, SECOND):
        for number in (1, 2, 3):
            made.publish(version(name, number).gate_passed(), older=True)
            made.publish(full(version(name, number).promoted(number)), older=True)
        # Two gatekeepers with one epoch: the later one is in force.
        made.publish(full(version(name, 4).promoted(4)), older=True)
        made.publish(full(version(name, 5).promoted(4)))
        tried = version(name, 6)
        made.publish(tried.gate_passed())
        made.publish(tried.rollout(1, champion_epoch=4), older=True)
        made.publish(tried.rollout(2, champion_epoch=4, mode=Mode.SPLIT, share=0.5), older=True)
        ended = {"stage": Stage.ENDED, "result": Result.ABORTED}
        made.publish(tried.rollout(3, champion_epoch=4, mode=Mode.OFF, **ended))
    return made


def corpus(made: World, seed: int = 1) -> list[Forgery]:
    """Return all forgeries, in one order for each seed."""
    found = [*_replays(made), *_invented(made)]
    for genuine in made.newest:
        found += _headers_changed(genuine)
        found += _data_changed(genuine)
        found += _bytes_changed(genuine)
        found += _signatures_changed(made, genuine)
        found += _moved(made, genuine)
    for old in made.superseded:
        found += _as_if_new(old)
    random.Random(seed).shuffle(found)
    return found


def _replays(made: World) -> Iterator[Forgery]:
    for record in made.superseded:
        yield Forgery("replayed", record)


def _invented(made: World) -> Iterator[Forgery]:
    """What the attacker would have served: without a signature, with its own, and with those of genuine events."""
    genuine = [header for record in made.history for header in record.headers if header[0] == HEADER]
    wanted: list[Event] = [
        *(EVIL.promoted(epoch) for epoch in (*range(1, 40), 2**31 - 1)),
        *(EVIL.rollout(revision, champion_epoch=4, mode=Mode.SPLIT, share=1.0) for revision in (3, 4, 2**31 - 1)),
        EVIL.gate_passed(),
        replace(EVIL, model_name="unheard-of").promoted(1),
    ]
    for event in wanted:
        for minutes in (0, 10**6):
            own = made.signed(event, made.other, minutes=minutes)
            unsigned = own._replace(headers=_without(own, HEADER))
            yield Forgery("unsigned", unsigned)
            yield Forgery("signed by another key", own)
            yield Forgery("another key under the id of a trusted one", _renamed(own, made.key.key_id))
            yield Forgery("an empty signature", unsigned._replace(headers=[*unsigned.headers, (HEADER, b"")]))
            for header in genuine:
                yield Forgery("another event's signature", unsigned._replace(headers=[*unsigned.headers, header]))


def _headers_changed(genuine: Record) -> Iterator[Forgery]:
    for at, (name, value) in enumerate(genuine.headers):
        assert value is not None
        others = {
            "emptied": b"",
            "another character": bytes([value[0] ^ 1, *value[1:]]),
            "one more character": value + b"0",
            "a space before": b" " + value,
            "cut": value[:-1],
            "another beginning": b"~" + value[1:],
            "a byte order mark": BOM + value,
            "twice": value + value,
        }
        for what, other in others.items():
            changed = [*genuine.headers[:at], (name, other), *genuine.headers[at + 1 :]]
            yield Forgery(f"header {name}: {what}", genuine._replace(headers=changed))
            for title in (name.upper(), name.title(), name):
                repeated = [*genuine.headers, (title, other)]
                yield Forgery(f"header {name} again as {title}: {what}", genuine._replace(headers=repeated))
        if name != "traceparent":
            yield Forgery(f"header {name} removed", genuine._replace(headers=_without(genuine, name)))
            nothing = [*_without(genuine, name), (name, None)]
            yield Forgery(f"header {name} null", genuine._replace(headers=nothing))
    for more in ("ce_dataschema", "ce_causationid"):
        yield Forgery(f"header {more} added", genuine._replace(headers=[*genuine.headers, (more, b"https://evil")]))
    for more in ("traceparent", "ce_evil", "Authorization"):
        added = genuine._replace(headers=[*genuine.headers, (more, b"1")])
        yield Forgery(f"header {more}, which is not signed", added, refused=False)
    yield Forgery("names in capitals", genuine._replace(headers=[(n.upper(), v) for n, v in genuine.headers]), False)


def _data_changed(genuine: Record) -> Iterator[Forgery]:
    assert genuine.value is not None
    data = json.loads(genuine.value)
    for path, value in _leaves(data):
        for what, other in _others(value):
            yield Forgery(f"{path[-1]}: {what}", genuine._replace(value=_dumped(_with(data, path, other))))
        yield Forgery(f"{path[-1]} removed", genuine._replace(value=_dumped(_with(data, path, ...))))
    texts = {
        "byte order mark": BOM + genuine.value,
        "spaces": genuine.value.replace(b",", b", "),
        "a line end": genuine.value + b"\n",
        "another order": json.dumps(dict(reversed(data.items()))).encode(),
        "an unknown field": _dumped(data | {"evil": 1}),
        "a field twice": genuine.value[:-1] + b',"model_version":666}',
        "a field first": b'{"model_version":666,' + genuine.value[1:],
        "nothing": b"",
        "null": b"null",
        "a list": b"[" + genuine.value + b"]",
    }
    for what, text in texts.items():
        yield Forgery(f"data: {what}", genuine._replace(value=text))


def _bytes_changed(genuine: Record) -> Iterator[Forgery]:
    assert genuine.value is not None and genuine.key is not None
    for at in range(len(genuine.value)):
        yield Forgery("a bit of the data", genuine._replace(value=_flipped(genuine.value, at)))
    for at in range(len(genuine.key)):
        yield Forgery("a bit of the key", genuine._replace(key=_flipped(genuine.key, at)))
    [signature] = [value for name, value in genuine.headers if name == HEADER and value is not None]
    for at in range(0, len(signature), 2):
        flipped = (HEADER, _flipped(signature, at))
        # The last character before the padding has bits that mean nothing.
        yield Forgery("a bit of the signature", genuine._replace(headers=[*_without(genuine, HEADER), flipped]), None)


def _signatures_changed(made: World, genuine: Record) -> Iterator[Forgery]:
    envelope = _envelope(genuine)
    [mine] = envelope.signatures
    id_ = made.key.key_id
    stranger = made.other.sign(pre_authentication_encoding(envelope.payload_type, envelope.payload))
    variants = {
        "none": replace(envelope, signatures=()),
        "of another key": replace(envelope, signatures=(Signature(made.other.key_id, stranger),)),
        "of another key, named as a trusted one": replace(envelope, signatures=(Signature(id_, stranger),)),
        "under the id of another key": replace(envelope, signatures=(Signature(made.other.key_id, mine.signature),)),
        "under no id": replace(envelope, signatures=(Signature("", mine.signature),)),
        "cut": replace(envelope, signatures=(Signature(id_, mine.signature[:-1]),)),
        "empty": replace(envelope, signatures=(Signature(id_, b""),)),
        "twice as long": replace(envelope, signatures=(Signature(id_, mine.signature * 2),)),
        "zeros": replace(envelope, signatures=(Signature(id_, bytes(64)),)),
        "for another use": replace(envelope, payload_type="application/vnd.in-toto+json"),
        "of nothing": replace(envelope, payload=b""),
        "of an empty object": replace(envelope, payload=b"{}"),
        "of more": replace(envelope, payload=envelope.payload[:-1] + b',"core":"evil"}'),
        "too many": replace(envelope, signatures=(*[Signature("x", b"y")] * 8, mine)),
        "too long": replace(envelope, payload=b" " * 20_000 + envelope.payload),
    }
    for what, variant in variants.items():
        yield Forgery(f"signature: {what}", _carrying(genuine, variant.to_json()))
    for text in (b"", b"null", b"[]", b"{}", b'{"payload":1}', b'"text"', b"\xff", b"[" * 50):
        yield Forgery("signature: no envelope", _carrying(genuine, text))
    two = replace(envelope, signatures=(Signature(made.other.key_id, stranger), mine))
    yield Forgery("signature: of another key, too", _carrying(genuine, two.to_json()), refused=False)


def _moved(made: World, genuine: Record) -> Iterator[Forgery]:
    """To other topics, models and formats."""
    assert genuine.value is not None
    for topic in (Promoted.topic, RolloutChanged.topic, GatePassed.topic):
        if topic != genuine.topic:
            yield Forgery("on another topic", genuine._replace(topic=topic))
            named = [*genuine.headers, ("ce_type", f"gauntlet.{_TYPES[topic]}.v1".encode())]
            yield Forgery("on another topic, as its type", genuine._replace(topic=topic, headers=named))
    others = (SECOND if genuine.key == FIRST.encode() else FIRST, "unheard-of", "FLIGHTS", "flights ", "")
    data = json.loads(genuine.value)
    for name in others:
        key = name.encode()
        subject = [("ce_subject", key)]
        moved = _dumped(data | {"model_name": name})
        yield Forgery("re-keyed", genuine._replace(key=key))
        yield Forgery("re-keyed, with its subject", genuine._replace(key=key, headers=[*genuine.headers, *subject]))
        yield Forgery("re-targeted", genuine._replace(key=key, value=moved))
        yield Forgery(
            "re-targeted, with its subject",
            genuine._replace(key=key, value=moved, headers=[*genuine.headers, *subject]),
        )
    yield Forgery("without a key", genuine._replace(key=None))
    yield Forgery("tombstone", genuine._replace(value=None))
    yield Forgery("tombstone without headers", genuine._replace(value=None, headers=[]))
    texts = {name: value.decode() for name, value in genuine.headers if value is not None}
    attributes = {name.removeprefix("ce_"): value for name, value in texts.items() if name.startswith("ce_")}
    for kind in (b"application/cloudevents+json", b"application/json", None):
        for more in ({}, {"dssematerial": texts[HEADER]}):
            whole = _dumped({**attributes, **more, "data": data})
            headers = [("content-type", kind)] if kind else []
            yield Forgery("structured", genuine._replace(value=whole, headers=headers))
            kept = [*headers, (HEADER, texts[HEADER].encode())]
            yield Forgery("structured, with its signature", genuine._replace(value=whole, headers=kept))
    yield Forgery("bare", genuine._replace(headers=[]))


def _as_if_new(old: Record) -> Iterator[Forgery]:
    """A superseded decision with a higher number, or a later time."""
    assert old.value is not None
    data = json.loads(old.value)
    for name in ("epoch", "revision", "champion_epoch"):
        for number in (4, 5, 100, 2**31 - 1):
            if name in data and data[name] != number:
                yield Forgery("old, renumbered", old._replace(value=_dumped(data | {name: number})))
    for time in (b"2026-01-01T12:00:00.999999Z", b"2027-01-01T00:00:00Z", b"2026-01-01T12:00:00-12:00"):
        yield Forgery("old, with a later time", old._replace(headers=[*old.headers, ("ce_time", time)]))
    # Within the second, to which alone the specification signs the time.
    [time] = [value for name, value in old.headers if name == "ce_time" and value is not None]
    later = time.replace(b".250000", b".999999")
    assert later != time
    yield Forgery("old, later in its second", old._replace(headers=[*old.headers, ("ce_time", later)]))
    yield Forgery("old, with a new id", old._replace(headers=[*old.headers, ("ce_id", b"new")]))


_TYPES = {each.topic: each.__name__ for each in (Promoted, RolloutChanged, GatePassed)}


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every value below the top, those that have parts as a whole, too."""
    if path:
        yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield from _leaves(item, (*path, name))


def _others(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, bool):
        yield "the other", not value
    elif isinstance(value, int | float):
        yield from (("one more", value + 1), ("one less", value - 1), ("as a text", str(value)), ("large", 2**31 - 1))
    elif isinstance(value, str):
        digest = "sha256:" + "e" * 64
        yield from (("another", value + "x"), ("empty", ""), ("capitals", value.upper() + "X"), ("a digest", digest))
        yield from (("a URI", "models:/evil/666"), ("a number", 666))
    elif isinstance(value, list):
        yield from (("no items", ["evil"]), ("one item more", [*value, "evil"]))
    elif isinstance(value, dict):
        yield from (("one field more", {**value, "evil": 1}), ("no fields", {"evil": 1}))
    if value is not None:
        yield "null", None
    else:
        yield from (("a text", "evil"), ("a number", 666), ("an object", {"uri": "models:/evil/666"}))


def _with(data: Any, path: Sequence[Any], value: Any) -> Any:
    """A copy with another value at `path`, or none (...)."""
    copied = json.loads(json.dumps(data))
    parent = copied
    for step in path[:-1]:
        parent = parent[step]
    if value is ...:
        del parent[path[-1]]
    else:
        parent[path[-1]] = value
    return copied


def _dumped(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def _flipped(text: bytes, at: int) -> bytes:
    return bytes([*text[:at], text[at] ^ 1, *text[at + 1 :]])


def _without(record: Record, name: str) -> list[tuple[str, bytes | None]]:
    return [header for header in record.headers if header[0] != name]


def _envelope(record: Record) -> SignedBytes:
    [text] = [value for name, value in record.headers if name == HEADER and value is not None]
    return SignedBytes.from_json(b64decode(text))


def _carrying(record: Record, envelope: bytes) -> Record:
    return record._replace(headers=[*_without(record, HEADER), (HEADER, b64encode(envelope))])


def _renamed(record: Record, key_id: str) -> Record:
    envelope = _envelope(record)
    named = tuple(replace(each, key_id=key_id) for each in envelope.signatures)
    return _carrying(record, replace(envelope, payload_type=PAYLOAD_TYPE, signatures=named).to_json())
