"""Events to Kafka records and back, and every way in which a record can be no event."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.cloudevents import Record, decode, encode
from chassis.errors import Malformed
from contracts import Envelope, GroundTruthReceived, ModelRegistered, TrainingRequested, new_envelope

LIMIT = 1000
REGISTERED = ModelRegistered(model_name="churn", model_version=3, metrics={"roc_auc": 0.8})


def record(
    value: bytes | None = b'{"model_name": "churn", "model_version": 3}',
    *,
    topic: str = "model-registered",
    key: bytes | None = b"churn",
    **headers: bytes | None,
) -> Record:
    return Record(topic, key, value, tuple(headers.items()), 1_700_000_000_000)


def test_an_event_survives_the_journey() -> None:
    cause = new_envelope(TrainingRequested(model_name="churn"), source="cli")
    sent = new_envelope(REGISTERED, source="trainer", cause=cause)
    key, value, headers = encode(sent)
    received = decode(Record("model-registered", key, value, headers), LIMIT)
    assert received == sent
    assert received.correlation_id == cause.id
    assert received.causation_id == cause.id
    assert key == b"churn"
    assert json.loads(value)["metrics"] == {"roc_auc": 0.8}


def test_headers_are_cloudevents_binary_mode() -> None:
    headers = dict(encode(new_envelope(REGISTERED, source="trainer", time=datetime(2026, 1, 2, tzinfo=UTC))).headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_type"] == b"gauntlet.ModelRegistered.v1"
    assert headers["ce_time"] == b"2026-01-02T00:00:00Z"
    assert headers["ce_subject"] == b"churn"
    assert headers["content-type"] == b"application/json"


def test_key_and_json_alone_are_enough_for_model_registered_and_a_resend_has_the_same_id() -> None:
    first = decode(record(), LIMIT)
    again = decode(record(b'{ "model_version":3,\n"model_name":"churn" }'), LIMIT)
    other = decode(record(b'{"model_name": "churn", "model_version": 4}'), LIMIT)
    assert first.id == again.id != other.id
    assert isinstance(first.data, ModelRegistered)
    assert first.time == datetime.fromtimestamp(1_700_000_000, UTC)


def test_ground_truth_needs_no_headers_either() -> None:
    value = b'{"model_name": "churn", "request_id": "r1", "label": 1}'
    assert isinstance(decode(record(value, topic="ground-truth"), LIMIT).data, GroundTruthReceived)


def test_structured_mode_is_understood() -> None:
    body = {
        "specversion": "1.0",
        "id": "7",
        "source": "/crm",
        "type": ModelRegistered.type,
        "data": {"model_name": "churn", "model_version": 3},
    }
    received: Envelope[Any] = decode(
        record(json.dumps(body).encode(), **{"content-type": b"application/cloudevents+json; charset=utf-8"}), LIMIT
    )
    assert (received.id, received.source, received.data.model_version) == ("7", "/crm", 3)


def test_unknown_fields_of_a_newer_writer_are_ignored() -> None:
    assert decode(record(b'{"model_name": "churn", "model_version": 3, "colour": "red"}'), LIMIT)


def test_a_header_that_is_not_ours_may_hold_anything() -> None:
    assert decode(record(**{"x-blob": b"\xff", "x-null": None}), LIMIT)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (record(None), "tombstone"),
        (record(b"\xff\xfe"), "not JSON"),
        (record(b"{"), "not JSON"),
        (record(b"[" * 900), "not JSON"),
        (record(b"9" * 5000), "over the limit"),
        (record(b"[]"), "ModelRegistered"),
        (record(ce_type=ModelRegistered.type.encode(), ce_id=b"x" * 201, ce_source=b"s"), "at most 200"),
        (record(ce_type=ModelRegistered.type.encode(), ce_id=b"a\0b", ce_source=b"s"), "NUL"),
        (record(b'{"model_name": "churn"}'), "model_version: Field required"),
        (record(b'{"model_name": "churn", "model_version": "x"}'), "(got 'x')"),
        (record(b'{"model_name": "churn", "model_version": 0}'), "model_version"),
        (record(b'{"model_name": "a b", "model_version": 1}', key=b"a b"), "model_name"),
        (record(b'{"model_name": "churn", "model_version": 3, "metrics": {"auc": NaN}}'), "metrics.auc"),
        (record(b"x" * 1001), "over the limit of 1,000"),
        (record(key=None), "missing key"),
        (record(key=b""), "missing key"),
        (record(key=b"other"), "differs from model_name 'churn'"),
        (record(ce_id=b"1", ce_source=b"s"), "missing header ce_type"),
        (record(ce_type=b"gauntlet.Nope.v1", ce_id=b"1", ce_source=b"s"), "unknown type 'gauntlet.Nope.v1'"),
        (record(ce_type=b"gauntlet.Promoted.v1", ce_id=b"1", ce_source=b"s"), "on 'model-registered' it is one of"),
        (record(ce_type=ModelRegistered.type.encode(), ce_id=b"\xff", ce_source=b"s"), "ce_id is not UTF-8"),
        (record(ce_type=ModelRegistered.type.encode(), ce_id=b"1"), "ce_source"),
        (record(ce_type=ModelRegistered.type.encode(), ce_id=b"1", ce_source=b"s", ce_time=b"noon"), "'noon'"),
        (record(b'{"model_name": "churn"}', topic="training"), "missing header ce_type"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(bad: Record, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(bad, LIMIT)
    assert reason in str(caught.value)


def test_a_number_too_long_to_be_read_is_no_json() -> None:
    with pytest.raises(Malformed, match="not JSON"):
        decode(record(b"9" * 5000), 10_000)
