"""Messages are read in one step where they are plain: with the same result as by decoding the event, or the same
reason why not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chassis.errors import Permanent
from contracts import GroundTruthReceived, Output, PredictionMade, new_envelope
from contracts.cloudevents import Record, decode, encode
from drift.database.columns import columns_of, scalars
from drift.database.records import dumps, loads
from drift.ingestion import labels, predictions

MOST = 4096
NOW = 1_772_366_400_000

texts = st.text(max_size=6) | st.sampled_from(["\0", "a\0b", "é", "x" * 300, "\u2028", "😀", "1", "NaN"])
integers = st.integers() | st.sampled_from([0, 1, -1, 2**31 - 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**40, -(2**63) - 1])
scalars_of_json = st.none() | st.booleans() | integers | texts | st.floats(allow_nan=True) | st.just([1])
times = st.sampled_from(
    [
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00:00.5Z",
        "2026-03-01T12:00:00.123456789Z",
        "2026-03-01T12:00:00+02:00",
        "2026-03-01t12:00:00z",
        "2026-03-01 12:00:00",
        "2026-03-01",
        "2026-02-30T12:00:00Z",
        "2026-03-01T23:59:60Z",
        "2026-03-01T24:00:00Z",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+10:00",
        "20260301T120000Z",
        "",
        "soon",
    ]
)
anything = scalars_of_json | times | st.dictionaries(texts, scalars_of_json, max_size=2)


def usual() -> dict[str, Any]:
    return {
        "model_name": "shop",
        "request_id": "request-1",
        "row": 3,
        "entity_id": "ann",
        "event_time": "2026-03-01T12:00:00Z",
        "features": {"age": 41.5, "visits": 3, "plan": "basic", "new": True, "none": None},
        "champion": {"model_version": 2, "score": 0.25, "label": 0},
        "latency_ms": 2.5,
    }


@st.composite
def bodies(draw: st.DrawFn, names: tuple[str, ...], inner: tuple[str, ...]) -> dict[str, Any]:
    body = draw(st.just(None).map(lambda _: usual()))
    for name in draw(st.lists(st.sampled_from(names), max_size=2)):
        body[name] = draw(anything)
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        body.pop(name, None)
    if inner and isinstance(body.get("champion"), dict):
        for name in draw(st.lists(st.sampled_from(inner), max_size=2)):
            body["champion"][name] = draw(anything)
    if isinstance(body.get("features"), dict):
        body["features"] |= draw(st.dictionaries(texts, scalars_of_json, max_size=3))
    return body


@st.composite
def header_lists(draw: st.DrawFn, event_type: str) -> tuple[tuple[str, bytes | None], ...]:
    found: list[tuple[str, bytes | None]] = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"request-1:3"),
        ("ce_type", event_type.encode()),
        ("ce_source", b"serving"),
        ("ce_time", b"2026-03-01T12:00:00.25Z"),
        ("ce_subject", b"shop"),
        ("content-type", b"application/json"),
    ]
    changes = [
        ("ce_time", draw(times).encode()),
        ("ce_id", draw(st.sampled_from([b"", b"x" * 201, b"a\0", "é".encode(), b"\xff", None]))),
        ("CE_ID", b"other"),
        ("ce_source", draw(st.sampled_from([b"", b"y" * 501, None]))),
        ("content-type", draw(st.sampled_from([b"application/json; charset=utf-8", b"application/cloudevents+json"]))),
        ("traceparent", b"00-1-1-01"),
        ("x-other", b"\xff"),
        ("ce_other", b"\xff"),
        ("ce_type", b"nothing"),
    ]
    for change in draw(st.lists(st.sampled_from(changes), max_size=2)):
        if draw(st.booleans()):
            found = [item for item in found if item[0] != change[0]]
        if draw(st.booleans()):
            found.append(change)
    return tuple(found)


def record(topic: str, body: Any, headers: Any, key: bytes | None = b"shop") -> Record:
    return Record(topic, key, json.dumps(body).encode(), headers, NOW)


def outcome(work: Any) -> Any:
    try:
        return work()
    except (Permanent, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def same(found: Any, expected: Any) -> bool:
    """Whether they are the same rows, as they are stored: integers beyond 64 bits are kept as JSON keeps them."""
    if isinstance(found, predictions.Read) and isinstance(expected, predictions.Read):
        return found.event == expected.event and same(found.row, expected.row)
    if isinstance(found, predictions.Made) and isinstance(expected, predictions.Made):
        return stored(found) == stored(expected)
    if isinstance(found, labels.LabelRead) and isinstance(expected, labels.LabelRead):
        return [*found[:-1], loads(found.label)] == [*expected[:-1], loads(expected.label)]
    return bool(found == expected)


def stored(row: predictions.Made) -> list[Any]:
    values = [*row[:-2], *(loads(dumps(value)) for value in (row.answer, row.features))]
    return [(type(value), value) for value in values]


@settings(max_examples=500, deadline=None)
@given(
    body=bodies((*usual(), "arm", "rollout_id", "step", "challenger", "more"), ("model_version", "score", "label",
                                                                               "error", "latency_ms", "more")),
    headers=header_lists(PredictionMade.type),
)  # fmt: skip
@example(body=usual() | {"rollout_id": "r", "step": 0}, headers=())
@example(body=usual() | {"row": True}, headers=())
@example(body=usual() | {"features": {"a": 10**400}}, headers=())
def test_a_prediction_is_read_as_its_event_is_decoded(body: Any, headers: Any) -> None:
    made = record("predictions", body, headers)
    expected = outcome(lambda: predictions.of_event(decode(made, MOST)))
    assert same(outcome(lambda: predictions.read(made, MOST)), expected)


@settings(max_examples=300, deadline=None)
@given(
    body=bodies(("model_name", "request_id", "row", "entity_id", "event_time", "label", "more"), ()),
    label=scalars_of_json,
    headers=header_lists(GroundTruthReceived.type),
)
def test_a_label_is_read_as_its_event_is_decoded(body: Any, label: Any, headers: Any) -> None:
    made = record("ground-truth", {"label": label} | body, headers)
    expected = outcome(lambda: labels.of_event(decode(made, MOST)))
    assert same(outcome(lambda: labels.read(made, MOST)), expected)


@pytest.mark.parametrize(
    "value",
    [
        b'{"model_name":"shop","request_id":"a","request_id":"b","features":{"x":1,"x":2},'
        b'"champion":{"model_version":1},"latency_ms":1}',
        b'{"model_name":"shop","request_id":"\\ud800","features":{},"champion":{"model_version":1},"latency_ms":1}',
        b'{"model_name":"shop","request_id":"a","features":{"x":1e400},"champion":{"model_version":1},"latency_ms":1}',
        b'{"model_name":"shop","request_id":"a","features":{"x":NaN},"champion":{"model_version":1},"latency_ms":1}',
        b"\xef\xbb\xbf" + json.dumps(usual()).encode(),
        b" " + json.dumps(usual(), indent=1).encode() + b"\n",
        b"[]",
        b"{",
        b"\xff",
        b"",
        b"x" * 5000,
    ],
    ids=str,
)
def test_a_value_that_is_written_strangely_is_read_as_its_event_is_decoded(value: bytes) -> None:
    headers = tuple(encode(new_envelope(PredictionMade.model_validate(usual()), source="serving")).headers)
    made = Record("predictions", b"shop", value, headers, NOW)
    expected = outcome(lambda: predictions.of_event(decode(made, MOST)))
    assert same(outcome(lambda: predictions.read(made, MOST)), expected)


def test_what_serving_writes_is_read_in_one_step() -> None:
    """Or it would be slow without a test that fails."""
    event = PredictionMade.model_validate(usual())
    key, value, headers = encode(new_envelope(event, source="serving"))
    assert predictions._plain(Record("predictions", key, value, tuple(headers), NOW), MOST) is not None
    truth = GroundTruthReceived(model_name="shop", request_id="a", label=1)
    key, value, headers = encode(new_envelope(truth, source="serving"))
    assert labels._plain(Record("ground-truth", key, value, tuple(headers), NOW), MOST) is not None


columns = st.lists(st.none() | st.booleans() | integers | texts | st.floats(allow_nan=False, allow_infinity=False),
                   min_size=1, max_size=6)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(values=columns)
@example(values=[1, 2.5])
@example(values=[True, 1])
@example(values=[1.0, True])
@example(values=[2**60 + 1, 0.5])
@example(values=["\ud800"])
def test_values_come_back_from_a_column_as_they_were(values: list[Any]) -> None:
    rows = [
        predictions.of_event(
            new_envelope(
                PredictionMade.model_construct(
                    model_name="shop",
                    request_id="a",
                    row=number,
                    entity_id=None,
                    event_time=None,
                    features={"x": value},
                    champion=Output.model_construct(model_version=1, score=None, label=value, error=None),
                    arm=None,
                    rollout_id=None,
                    latency_ms=1.0,
                ),
                source="serving",
                time=datetime(2026, 3, 1, tzinfo=UTC),
            )
        )
        for number, value in enumerate(values)
    ]
    found = columns_of(rows)
    expected = [loads(dumps(value)) for value in values]
    for name in ("answer", "f:x"):
        read = scalars(found, name)
        assert read == expected
        assert [type(value) is bool for value in read] == [type(value) is bool for value in expected]
