"""The quick bytes of PredictionMade mean what the contract's own would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.cloudevents import Record, decode, encode
from contracts import Output, PredictionMade, new_envelope
from serving.prediction_events import SOURCE, Answered, Budget, encoded, is_sampled
from serving.signature import Column

NOW = datetime(2026, 3, 1, 12, 30, 0, 123456, tzinfo=UTC)
COLUMNS = (Column("distance", "double"), Column("carrier", "string"), Column("night", "boolean"), Column("n", "long"))

scalars = st.tuples(
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
)
labels = st.integers(-5, 5) | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
zones = st.integers(-12, 12).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=zones)


def expected(answered: Answered, number: int) -> Any:
    names = [column.name for column in answered.columns]
    event = PredictionMade(
        model_name=answered.model_name,
        request_id=answered.request_id,
        row=number,
        entity_id=answered.entities[number] if answered.entities else None,
        event_time=answered.event_times[number] if answered.event_times else None,
        features=dict(zip(names, answered.values[number], strict=True)),
        champion=Output(
            model_version=answered.model_version,
            score=answered.scores[number] if answered.scores else None,
            label=answered.labels[number],
        ),
        latency_ms=answered.latency_ms,
    )
    event_id = f"{answered.request_id}:{number}"
    return new_envelope(event, source=SOURCE, event_id=event_id, correlation_id=answered.request_id, time=NOW)


@given(
    rows=st.lists(
        st.tuples(scalars, labels, st.floats(0, 1), times, st.none() | st.text("ab0", min_size=1)), min_size=1
    ),
    scored=st.booleans(),
)
def test_the_bytes_decode_to_the_same_event(rows: list[Any], scored: bool) -> None:
    values, answers, scores, moments, entities = zip(*rows, strict=True)
    answered = Answered(
        "flights", 7, "req-1", COLUMNS, values, entities, moments, answers, scores if scored else None, 1.25
    )
    for number, (key, value, headers) in enumerate(encoded(answered, NOW)):
        wanted = expected(answered, number)
        assert decode(Record("predictions", key, value, headers), 10**6) == wanted
        assert dict(headers) == dict(encode(wanted).headers)
        data = json.loads(value)
        assert data == {name: json.loads(encode(wanted).value)[name] for name in data} | {
            name: data[name] for name in ("event_time",)
        }, "field by field, but for how a time is written"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_share_of_the_requests_is_sampled_and_always_the_same(share: float) -> None:
    ids = [f"request {number}" for number in range(4000)]
    sampled = [is_sampled(each, share) for each in ids]
    assert abs(sum(sampled) / len(ids) - share) < 0.03
    assert sampled == [is_sampled(each, share) for each in ids]


def test_no_more_rows_a_second_than_the_budget_holds_and_large_requests_have_their_turn() -> None:
    budget = Budget(100)
    taken = sum(10 for tick in range(1000) if budget.take(10, 50 + tick / 100))
    assert 1000 <= taken <= 1100, "ten seconds of a hundred rows, and what the bucket held at the start"
    assert not budget.take(500, 60.0)
    assert budget.take(500, 61.5), "larger than the bucket, which is full"
    assert not budget.take(1, 65.0), "paid back first"
    assert budget.take(1, 66.0)


def test_a_single_row_now_and_then_always_passes() -> None:
    budget = Budget(1)
    assert all(budget.take(1, 100 + second) for second in range(20))
