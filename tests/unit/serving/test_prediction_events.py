"""The quick bytes of PredictionMade mean what the contract's own would."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.model_signature import Column
from chassis.row_reader import InputBatch
from contracts import Arm, Output, PredictionMade, new_envelope
from contracts.cloudevents import Record, decode, encode
from serving.inference.prediction import Prediction
from serving.inference.tried import TrialStep, TriedRequest, VersionOutcome
from serving.publishing import prediction_events
from serving.publishing.prediction_events import SOURCE, Budget, about, encoded, is_sampled, line, tried_line

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


def expected(table: InputBatch, prediction: Prediction, number: int) -> Any:
    names = [column.name for column in table.columns]
    event = PredictionMade(
        model_name="flights",
        request_id="req-1",
        row=number,
        entity_id=table.entities[number] if table.entities else None,
        event_time=table.event_times[number] if table.event_times else None,
        features=dict(zip(names, table.values[number], strict=True)),
        champion=Output(
            model_version=7,
            score=prediction.scores[number] if prediction.scores else None,
            label=prediction.labels[number],
        ),
        latency_ms=1.25,
    )
    return new_envelope(event, source=SOURCE, event_id=f"req-1:{number}", correlation_id="req-1", time=NOW)


def assert_same_fields(data: Any, wanted: Any) -> None:
    """Field by field, but for how a time is written. What is set in a rollout only is left out otherwise."""
    outputs = [name for name in ("champion", "challenger") if data.get(name)]
    for side, by_contract in [(data, wanted), *((data[name], wanted[name]) for name in outputs)]:
        assert {name for name, value in by_contract.items() if value is not None} <= set(side) <= set(by_contract)
        assert all(side[name] == by_contract[name] for name in set(side) - {"event_time", *outputs})


@given(
    rows=st.lists(
        st.tuples(scalars, labels, st.floats(0, 1), times, st.none() | st.text("ab0", min_size=1)), min_size=1
    ),
    scored=st.booleans(),
    with_ids=st.booleans(),
)
def test_the_bytes_decode_to_the_same_event(rows: list[Any], scored: bool, with_ids: bool) -> None:
    values, answers, scores, moments, entities = map(list, zip(*rows, strict=True))
    table = InputBatch(COLUMNS, values, (), entities, moments) if with_ids else InputBatch(COLUMNS, values, ())
    prediction = Prediction(None, answers, scores if scored else None)
    said = [about("flights", 7, COLUMNS), line("req-1", table, prediction, 1.25)]
    assert all(each.count(b"\n") == 1 and each.endswith(b"\n") for each in said)
    events = list(encoded(*map(orjson.loads, said), NOW, PredictionMade.type))
    assert len(events) == len(rows)
    for number, (key, value, headers) in enumerate(events):
        wanted = expected(table, prediction, number)
        assert decode(Record("predictions", key, value, headers), 10**6) == wanted
        assert dict(headers) == dict(encode(wanted).headers)
        assert_same_fields(json.loads(value), json.loads(encode(wanted).value))


def part(prediction: Prediction, rows: list[int]) -> Prediction:
    scores = prediction.scores
    return Prediction(None, [prediction.labels[row] for row in rows], scores and [scores[row] for row in rows])


@given(
    rows=st.lists(st.tuples(scalars, labels, st.floats(0, 1), st.booleans()), min_size=1, max_size=8),
    scored=st.booleans(),
    is_split=st.booleans(),
    failing=st.sets(st.sampled_from(list(Arm))),
)
def test_of_a_rollout_they_have_what_each_version_made_of_each_row(
    rows: list[Any], scored: bool, is_split: bool, failing: set[Arm]
) -> None:
    values, answers, scores, draws = map(list, zip(*rows, strict=True))
    table = InputBatch(COLUMNS, values, ())
    whole = Prediction(None, answers, scores if scored else None)
    arms = [Arm.CHALLENGER if draw else Arm.CHAMPION for draw in draws]
    tried = TriedRequest(TrialStep("rollout-3", 2, 7, 8), None, arms=arms if is_split else None)
    wanted: list[dict[str, Any]] = [{} for _ in rows]
    for arm, version, seconds in ((Arm.CHAMPION, 7, 0.25), (Arm.CHALLENGER, 8, None)):
        mine = [row for row in range(len(rows)) if not is_split or arms[row] is arm]
        if not mine:
            continue
        error = "ValueError: no such carrier" if arm in failing else None
        prediction = None if error else part(whole, mine)
        tried.outcomes.append(VersionOutcome(arm, mine if is_split else None, prediction, error, seconds))
        for row in mine:
            wanted[row][arm] = Output(
                model_version=version,
                score=scores[row] if scored and not error else None,
                label=None if error else answers[row],
                error=error,
                latency_ms=None if seconds is None else 250.0,
            )
    said = [about("flights", 7, COLUMNS), tried_line("req-1", table, tried, 1.25)]
    events = list(encoded(*map(orjson.loads, said), NOW, PredictionMade.type))
    for number, (key, value, headers) in enumerate(events):
        event = PredictionMade(
            model_name="flights",
            request_id="req-1",
            row=number,
            features=dict(zip([column.name for column in COLUMNS], values[number], strict=True)),
            champion=wanted[number].get(Arm.CHAMPION, Output(model_version=7)),
            challenger=wanted[number].get(Arm.CHALLENGER),
            arm=arms[number] if is_split else None,
            rollout_id="rollout-3",
            step=2,
            latency_ms=1.25,
        )
        envelope = new_envelope(event, source=SOURCE, event_id=f"req-1:{number}", correlation_id="req-1", time=NOW)
        assert decode(Record("predictions", key, value, headers), 10**6) == envelope
        assert_same_fields(json.loads(value), json.loads(encode(envelope).value))
    assert len(events) == len(rows)


def test_the_names_of_the_arms_are_the_contracts() -> None:
    assert (Arm.CHAMPION, Arm.CHALLENGER) == (prediction_events.CHAMPION, prediction_events.CHALLENGER)
    assert {Arm.CHAMPION, Arm.CHALLENGER} <= set(PredictionMade.model_fields)


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


def test_what_was_not_used_may_be_used_at_once_later() -> None:
    budget = Budget(100, seconds=10)
    assert budget.take(900, 50.0) and budget.take(100, 50.0) and not budget.take(1, 50.0)
    assert not budget.take(600, 55.0) and budget.take(500, 55.0)
    assert budget.take(1000, 100.0) and not budget.take(1, 100.0), "no more than ten seconds are saved up"


def test_a_single_row_now_and_then_always_passes() -> None:
    budget = Budget(1)
    assert all(budget.take(1, 100 + second) for second in range(20))
