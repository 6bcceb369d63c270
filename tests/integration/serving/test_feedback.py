"""POST /feedback: 202 means that the broker has it; whatever else is said, sending it again counts once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts import Envelope
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads
from support.waiting import eventually

StartReplica = Callable[..., Replica]

NAME = "feedback"


@pytest.fixture(scope="module")
def served(production: Replica, bus: BusClient, uploads: Uploads) -> Replica:
    bus.publish(uploads.version(NAME, 1).promoted(1))
    eventually(lambda: production.answers_with(NAME, 1, 1))
    return production


def send(replica: Replica, body: Any, model: str = NAME) -> httpx.Response:
    return replica.client.post(f"/models/{model}/feedback", json=body)


def truths(bus: BusClient, **named: Any) -> list[Envelope[Any]]:
    """On the topic at the moment of the call: a 202 has no later."""
    found = [item for item in bus.events("ground-truth") if item.model_name == NAME]
    return [item for item in found if all(getattr(item.data, name) == value for name, value in named.items())]


def test_truth_of_a_request_is_on_the_topic_when_the_answer_comes(served: Replica, bus: BusClient) -> None:
    request_id = served.predict(ROW, ROW, model=NAME).json()["request_id"]
    items = [{"request_id": request_id, "row": row, "label": label} for row, label in enumerate([0, 1])]
    answer = served.client.post("/feedback", json={"model": NAME, "items": items})
    assert answer.status_code == 202, answer.text
    assert answer.json() == {"model_name": NAME, "request_id": answer.headers["X-Request-ID"], "accepted": 2}
    first, second = truths(bus, request_id=request_id)
    assert [(item.data.row, item.data.label) for item in (first, second)] == [(0, 0), (1, 1)]
    assert first.correlation_id == request_id, "the same story as the prediction"


def test_truth_of_an_entity_as_one_item_by_itself(served: Replica, bus: BusClient) -> None:
    body = {"entity_id": 4711, "label": "churned", "event_time": "2013-06-01T12:00:00-05:00"}
    assert send(served, body).status_code == 202
    (event,) = truths(bus, entity_id="4711")
    assert event.data.request_id is None and event.data.label == "churned"
    assert event.data.event_time.isoformat() == "2013-06-01T17:00:00+00:00"


def test_what_a_client_sends_again_is_the_same_event(served: Replica, bus: BusClient) -> None:
    body = {"request_id": "again", "row": 3, "label": 1}
    for sent in (body, {"items": [body]}, body | {"event_time": None}):
        assert send(served, sent).status_code == 202
    assert send(served, body | {"label": 0}).status_code == 202
    *same, other = truths(bus, request_id="again")
    assert len(same) == 3 and len({(item.source, item.id) for item in same}) == 1
    assert other.id != same[0].id, "another label is another event"


def test_a_thousand_items_are_accepted_together_and_one_more_is_refused(served: Replica, bus: BusClient) -> None:
    items = [{"request_id": "bulk", "row": row, "label": row % 2} for row in range(1001)]
    assert send(served, {"items": items[:1000]}).json()["accepted"] == 1000
    assert {item.data.row for item in truths(bus, request_id="bulk")} == set(range(1000))
    answer = send(served, {"items": items})
    assert answer.status_code == 422 and "at most 1,000 items" in answer.json()["detail"]


BAD: dict[str, tuple[Any, str, str]] = {
    # body, field named, value named
    "nothing": ({}, "request_id", "missing"),
    "no list": ({"items": {}}, "items", "an object of 0"),
    "empty": ({"items": []}, "items", "an array of 0"),
    "unknown field": ({"items": [], "row_": 1}, "row_", "did you mean 'row'?"),
    "item beside items": ({"items": [{}], "label": 1}, "label", "1"),
    "unknown field of an item": ({"items": [{"lable": 1}]}, "items[0].lable", "did you mean 'label'?"),
    "no object": ({"items": [7]}, "items[0]", "7"),
    "nobody's": ({"items": [{"label": 1}]}, "items[0].request_id", "missing"),
    "both": ({"request_id": "a", "entity_id": "b", "label": 1}, "entity_id", '"b"'),
    "row of an entity": ({"entity_id": "b", "row": 0, "label": 1}, "row", "0"),
    "negative row": ({"request_id": "a", "row": -1, "label": 1}, "row", "-1"),
    "no label": ({"items": [{"request_id": "a", "label": 1}, {"request_id": "a"}]}, "items[1].label", "missing"),
    "null label": ({"request_id": "a", "label": None}, "label", "null"),
    "label of labels": ({"request_id": "a", "label": [1]}, "label", "an array of 1"),
    "no time": ({"entity_id": "b", "label": 1, "event_time": "soon"}, "event_time", '"soon"'),
    "no id": ({"entity_id": 1.5, "label": 1}, "entity_id", "1.5"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_named_with_field_and_value(served: Replica, case: tuple[Any, str, str]) -> None:
    body, field, value = case
    answer = send(served, body)
    problem = answer.json()
    assert answer.status_code == 422 and answer.headers["content-type"] == "application/problem+json"
    assert field in problem["detail"] and value in problem["detail"], problem
    assert problem["errors"][0]["expected"]


def test_nothing_of_a_request_with_a_bad_item_is_published(served: Replica, bus: BusClient) -> None:
    answer = send(served, {"items": [{"request_id": "half", "label": 1}, {"request_id": "half", "label": {}}]})
    assert answer.status_code == 422 and answer.json()["errors"][0]["item"] == 1
    assert truths(bus, request_id="half") == []


def test_a_model_that_nobody_promoted_is_404(served: Replica) -> None:
    answer = send(served, {"request_id": "a", "label": 1}, model="feedbak")
    assert answer.status_code == 404 and "did you mean" in answer.json()["detail"]


def test_a_broker_that_is_away_is_a_503_in_time_and_the_retry_is_accepted(
    tmp_path: Path, uploads: Uploads, new_replica: StartReplica
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        replica = new_replica(bootstrap_servers=broker.bootstrap_servers, env={"SERVING_FEEDBACK_SECONDS": "1"})
        replica.start_ready()
        bus = BusClient(broker.bootstrap_servers, replica.prefix)
        bus.publish(uploads.version(NAME, 1).promoted(1))
        eventually(lambda: replica.answers_with(NAME, 1, 1))
        bus.close()
        body = {"items": [{"request_id": "late", "row": row, "label": 1} for row in range(3)]}
        assert send(replica, body).status_code == 202
        broker.stop()
        answer = send(replica, body)
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "2"
        assert answer.json()["accepted"] == 0 and "0 of 3" in answer.json()["detail"]
        assert answer.elapsed.total_seconds() < 5
        assert replica.predict(ROW).status_code == 200
        broker.start()
        eventually(lambda: send(replica, body).status_code == 202, timeout=30)
        bus = BusClient(broker.bootstrap_servers, replica.prefix)
        sent = truths(bus, request_id="late")
        assert len(sent) >= 6 and len({item.id for item in sent}) == 3, "what came again is the same three events"
        bus.close()
