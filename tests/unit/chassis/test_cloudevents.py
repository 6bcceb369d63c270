"""Events to Kafka records and back, and every way in which a record can be no event."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import Malformed
from contracts import Envelope, GroundTruthReceived, ModelRegistered, TrainingRequested, new_envelope
from contracts.cloudevents import Record, decode, encode

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


SDK = json.loads((Path(__file__).parents[2] / "data" / "cloudevents-sdk.json").read_text())["messages"]
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


@pytest.mark.parametrize("message", SDK, ids=[message["name"] for message in SDK])
def test_what_the_sdk_of_cloudevents_sends_is_understood(message: dict[str, Any]) -> None:
    """Real output, of tests/data/cloudevents_sdk.py: all of these are the same event."""
    headers = {name: value.encode() for name, value in message["headers"].items()}
    received = decode(record(message["value"].encode(), **headers), LIMIT)
    assert (received.id, received.source, received.time) == ("7", "/crm", WHEN)
    assert received.data == REGISTERED
    if message["name"].startswith("extensions"):
        assert received.correlation_id == "c1" and str(received.traceparent).startswith("00-4bf92f")


DATA = '{"model_name": "churn", "model_version": 3, "metrics": {"roc_auc": 0.8}}'
ATTRIBUTES = f'"specversion": "1.0", "id": "7", "source": "/crm", "type": "{ModelRegistered.type}"'
MODE = "content-type"


PLAIN_DATA = f'"data": {DATA}'
OWN_MODE = b"application/cloudevents+json"


def structured(rest: str = PLAIN_DATA, mode: bytes = OWN_MODE, bom: bytes = b"") -> Record:
    return record(bom + f"{{{ATTRIBUTES}, {rest}}}".encode(), **{MODE: mode})


def binary(value: str = DATA, bom: bytes = b"", **more: bytes | None) -> Record:
    own = {"ce_id": b"7", "ce_source": b"/crm", "ce_type": ModelRegistered.type.encode(), "ce_specversion": b"1.0"}
    return record(bom + value.encode(), **{**own, **more})


BOM = b"\xef\xbb\xbf"
BASE64 = base64.b64encode(DATA.encode()).decode()
OTHERS = {
    "media type in capitals": structured(mode=b"Application/CloudEvents+JSON; Charset=UTF-8"),
    "header in capitals": record(structured().value, **{"Content-Type": OWN_MODE.upper()}),
    "media type alone": structured(mode=b"application/cloudevents"),
    "media type with a parameter and no space": structured(mode=b"application/cloudevents;charset=utf-8"),
    "base64": structured(f'"data_base64": "{BASE64}"'),
    "base64 of a text with a mark": structured(f'"data_base64": "{base64.b64encode(BOM + DATA.encode()).decode()}"'),
    "base64, the other null": structured(f'"data_base64": "{BASE64}", "data": null'),
    "data, the other null": structured(f'"data": {DATA}, "data_base64": null'),
    "base64 as 0.3 had it": structured(f'"datacontentencoding": "base64", "data": "{BASE64}"'),
    "structured with a mark": structured(bom=BOM),
    "structured, null attributes": structured(f'"data": {DATA}, "time": null, "subject": null, "traceparent": null'),
    "structured, null in data": structured(PLAIN_DATA.replace('"metrics"', '"run_id": null, "metrics"')),
    "structured, small t and z": structured(f'"data": {DATA}, "time": "2026-01-02t03:04:05.6789z"'),
    "structured, and headers": record(structured().value, **{MODE: OWN_MODE, "ce_id": b"9"}),
    "binary with a mark": binary(bom=BOM),
    "binary, null headers": binary(ce_time=None, ce_subject=None, traceparent=None),
    "binary, empty headers": binary(ce_time=b"", ce_causationid=b"", traceparent=b""),
    "binary, small t and z": binary(ce_time=b"2026-01-02t03:04:05.6789z"),
    "binary, nanoseconds": binary(ce_time=b"2026-01-02T03:04:05.678900123Z"),
    "binary, another media type": binary(**{MODE: b"Application/JSON; charset=utf-8"}),
    "binary, capitals": record(DATA.encode(), **{name.upper(): value for name, value in binary().headers}),
}  # fmt: skip


@pytest.mark.parametrize("message", OTHERS.values(), ids=OTHERS.keys())
def test_what_sdks_of_other_languages_send_is_understood(message: Record) -> None:
    received = decode(message, LIMIT)
    assert (received.id, received.source, received.data) == ("7", "/crm", REGISTERED)
    assert (received.causation_id, received.traceparent) == (None, None)
    assert received.time in (WHEN, datetime.fromtimestamp(1_700_000_000, UTC))


def test_null_is_a_field_that_is_not_set_where_it_need_not_be_there() -> None:
    """Also where its type does not allow null, inside of other objects, and without headers."""
    dataset = {"uri": "runs:/x/a", "digest": "sha256:" + "1" * 64, "rows": None}
    body = {"model_name": "churn", "model_version": 3, "metrics": None, "training": dataset, "evaluation": None}
    event = decode(record(json.dumps(body).encode()), LIMIT).data
    assert (event.metrics, event.evaluation, event.training.digest) == ({}, None, dataset["digest"])
    for required in ("model_version", "training.digest", "metrics.roc_auc"):
        broken = json.loads(json.dumps({**body, "metrics": {"roc_auc": 0.5}}))
        *path, name = required.split(".")
        (broken[path[0]] if path else broken)[name] = None
        with pytest.raises(Malformed, match=required):
            decode(record(json.dumps(broken).encode()), LIMIT)


@pytest.mark.parametrize(
    ("when", "seconds"),
    [("2016-12-31T23:59:60Z", 59), ("2016-12-31t23:59:60.5+00:00", 59.5), ("2016-12-31T23:59:58Z", 58)],
)
def test_a_leap_second_is_the_second_before(when: str, seconds: float) -> None:
    received = decode(binary(ce_time=when.encode()), LIMIT)
    assert received.time.second + received.time.microsecond / 1e6 == seconds


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
        (binary(ce_time=b"0001-01-01T00:00:00+14:00"), "is not RFC 3339"),
        (binary(DATA.replace("0.8", "null")), "metrics.roc_auc"),
        (structured('"data_base64": "%%%"'), "data_base64 is not base64"),
        (structured('"data_base64": "AAAA"'), "not JSON"),
        (structured(f'"data": {DATA}, "data_base64": "{BASE64}"'), "one of them"),
        (structured('"data": null'), "without data"),
        (structured('"subject": "churn"'), "without data"),
        (structured(mode=b"application/cloudevents+avro"), "application/cloudevents+json"),
        (structured(mode=b"application/cloudevents-batch+json"), "one event in a message"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason(bad: Record, reason: str) -> None:
    with pytest.raises(Malformed) as caught:
        decode(bad, LIMIT)
    assert reason in str(caught.value)


def test_a_number_too_long_to_be_read_is_no_json() -> None:
    with pytest.raises(Malformed, match="not JSON"):
        decode(record(b"9" * 5000), 10_000)
