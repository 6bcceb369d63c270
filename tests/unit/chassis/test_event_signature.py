"""Every byte and attribute of a signed event is covered: one that is changed or moved is refused."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.errors import Malformed
from chassis.signing.dsse import NotVerified, SignedBytes
from chassis.signing.event_signature import HEADER, sign_event, verify_event
from chassis.signing.keys import SigningKey
from contracts import (
    EVENTS,
    Cause,
    Event,
    GatePassed,
    Mode,
    Outcome,
    Promoted,
    RolloutChanged,
    Stage,
    TriedVersion,
    new_envelope,
)
from contracts.cloudevents import Encoded, Record, encode
from support.signed_topics import trusting

OURS, ANOTHER = SigningKey.generate(), SigningKey.generate()
WHEN = datetime(2026, 11, 30, 22, 0, 0, 123456, UTC)
DIGEST = f"sha256:{1:064x}"
PLACE = {"model_name": "flights", "artifact_uri": "models:/flights/1", "artifact_digest": DIGEST}
DECISIONS: tuple[Event, ...] = (
    Promoted(**PLACE, model_version=1, epoch=3, cause=Cause.GATE, actor="gatekeeper", reason="better"),
    GatePassed(
        **PLACE, model_version=1, candidate_id="flights-v1", outcome=Outcome.PASSED, reason="7 of 7", policy_digest="p"
    ),
    RolloutChanged(
        model_name="flights",
        rollout_id="flights-v2-1",
        revision=4,
        stage=Stage.SHADOW,
        step=0,
        mode=Mode.SHADOW,
        champion_version=1,
        champion_epoch=3,
        tried=TriedVersion(model_version=2, artifact_uri="models:/flights/2", artifact_digest=DIGEST),
        began_at=WHEN,
        actor="gatekeeper",
        reason="it passed",
    ),
)


def encoded(event: Event, *keys: SigningKey) -> Encoded:
    cause = new_envelope(event, source="trainer", time=WHEN)
    return sign_event(encode(new_envelope(event, source="gatekeeper", cause=cause, time=WHEN)), keys)


def record(event: Encoded, topic: str) -> Record:
    return Record(topic, event.key, event.value, event.headers)


def flipped(content: bytes) -> Iterator[bytes]:
    """The content with one bit of one byte changed, for each byte."""
    for place, byte in enumerate(content):
        yield content[:place] + bytes([byte ^ 1]) + content[place + 1 :]


def changed(event: Encoded) -> Iterator[tuple[str, Encoded]]:
    """The event with one change, each of what there is."""
    yield from ((f"value at {at}", event._replace(value=value)) for at, value in enumerate(flipped(event.value)))
    yield "value longer", event._replace(value=event.value + b" ")
    yield "value empty", event._replace(value=b"")
    yield from ((f"key at {at}", event._replace(key=key)) for at, key in enumerate(flipped(event.key)))
    for place, (name, value) in enumerate(event.headers):
        before, after = event.headers[:place], event.headers[place + 1 :]
        if name == HEADER:
            continue
        yield f"{name} missing", event._replace(headers=[*before, *after])
        yield f"{name} empty", event._replace(headers=[*before, (name, b""), *after])
        yield f"{name} twice", event._replace(headers=[*event.headers, (name, value + b"x")])
        for at, other in enumerate(flipped(value)):
            yield f"{name} at {at}", event._replace(headers=[*before, (name, other), *after])
    yield "ce_dataschema added", event._replace(headers=[*event.headers, ("ce_dataschema", b"x")])


def differing_envelopes(event: Encoded) -> Iterator[bytes]:
    """The signature's envelope with one bit changed, where it does not say the same: base64 has idle bits."""
    envelope = b64decode(dict(event.headers)[HEADER])
    said = SignedBytes.from_json(envelope)
    for other in flipped(envelope):
        try:
            if SignedBytes.from_json(other) == said:
                continue
        except NotVerified:
            pass
        yield other


@pytest.mark.parametrize("event", DECISIONS, ids=lambda event: type(event).__name__)
def test_each_single_change_of_a_signed_event_is_refused(event: Event) -> None:
    signed = encoded(event, OURS)
    assert verify_event(record(signed, event.topic), trusting(OURS)) == OURS.key_id
    count = 0
    for what, other in changed(signed):
        with pytest.raises(NotVerified):
            verify_event(record(other, event.topic), trusting(OURS))
            pytest.fail(what)
        count += 1
    assert count > len(signed.value) + sum(len(value) for name, value in signed.headers if name != HEADER)


def test_each_single_change_of_the_signature_is_refused() -> None:
    event = DECISIONS[0]
    signed = encoded(event, OURS)
    headers = [(name, value) for name, value in signed.headers if name != HEADER]
    for envelope in differing_envelopes(signed):
        other = signed._replace(headers=[*headers, (HEADER, b64encode(envelope))])
        with pytest.raises(NotVerified):
            verify_event(record(other, event.topic), trusting(OURS))
            pytest.fail(repr(envelope))


@pytest.mark.parametrize("keys", [(), (ANOTHER,)], ids=["none", "another"])
def test_without_a_trusted_key_nothing_is_verified(keys: tuple[SigningKey, ...]) -> None:
    event = DECISIONS[0]
    with pytest.raises(NotVerified):
        verify_event(record(encoded(event, *keys), event.topic), trusting(OURS))


def test_a_signature_of_two_keys_is_verified_with_either() -> None:
    event = DECISIONS[0]
    signed = record(encoded(event, ANOTHER, OURS), event.topic)
    assert verify_event(signed, trusting(OURS)) == OURS.key_id
    assert verify_event(signed, trusting(ANOTHER)) == ANOTHER.key_id


def test_a_signature_is_for_its_event_only() -> None:
    for event in DECISIONS:
        signature = dict(encoded(event, OURS).headers)[HEADER]
        for other in DECISIONS:
            if other is event:
                continue
            moved = encoded(other)
            moved = moved._replace(headers=[*moved.headers[:-1], (HEADER, signature)])
            with pytest.raises(NotVerified):
                verify_event(record(moved, other.topic), trusting(OURS))


def test_decisions_are_the_types_that_say_so() -> None:
    assert {event.__name__ for event in EVENTS if event.signed} >= {"GatePassed", "Promoted", "RolloutChanged"}


def test_a_structured_message_is_not_verified() -> None:
    event = DECISIONS[0]
    signed = encoded(event, OURS)
    headers: list[tuple[str, Any]] = [*signed.headers, ("content-type", b"application/cloudevents+json")]
    with pytest.raises((NotVerified, Malformed)):
        verify_event(Record(event.topic, signed.key, signed.value, headers), trusting(OURS))
