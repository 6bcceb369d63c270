"""PredictionMade follows every answer, in the background: right, in its place, and never in the way."""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from kafka import KafkaProducer
from sklearn.neighbors import KNeighborsClassifier

from contracts import Envelope, PredictionMade
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads, pipeline, score_of
from support.waiting import eventually

StartReplica = Callable[..., Replica]


def predictions(bus: BusClient, model_name: str, count: int) -> list[Envelope[PredictionMade]]:
    def enough() -> list[Envelope[Any]] | None:
        found = [item for item in bus.events("predictions") if item.model_name == model_name]
        return found if len(found) >= count else None

    return eventually(enough)


def serve(replica: Replica, bus: BusClient, uploads: Uploads, model_name: str, *estimator: Any, **options: Any) -> None:
    bus.publish(uploads.version(model_name, 3, *estimator, **options).promoted(1))
    eventually(lambda: replica.answers_with(model_name, 3, 1))


def test_each_row_becomes_one_event_with_what_was_sent_and_answered(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    serve(production, bus, uploads, name, pipeline())
    beside = {"tailnum": "N14228", "departed": "2013-06-01T12:00:00-05:00"}
    rows = [ROW | beside, {"distance": 2000, "carrier": "DL"}]
    answer = production.predict(*rows, model=name, headers={"X-Request-ID": "request-1"})
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "request-1"
    first, second = predictions(bus, name, 2)
    assert (first.id, second.id) == ("request-1:0", "request-1:1")
    assert first.correlation_id == "request-1"
    assert (first.data.row, second.data.row) == (0, 1)
    assert first.data.features == ROW, "features as sent; entity and event time beside them"
    assert second.data.features == {"distance": 2000, "carrier": "DL"}
    assert first.data.entity_id == "N14228" and second.data.entity_id is None
    assert first.data.event_time == datetime(2013, 6, 1, 17, tzinfo=UTC) and second.data.event_time is None
    for event, said in zip((first.data, second.data), answer.json()["predictions"], strict=True):
        assert (event.champion.score, event.champion.label) == (said["score"], said["label"])
        assert event.champion.model_version == 3
        assert event.latency_ms > 0


def test_a_request_that_was_refused_makes_no_event(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    serve(production, bus, uploads, name)
    assert production.predict(ROW, ROW | {"distance": "far"}, model=name).status_code == 422
    production.predict(ROW, model=name, headers={"X-Request-ID": "good"})
    assert [item.data.request_id for item in predictions(bus, name, 1)] == ["good"]


def test_predictions_lie_where_every_kafka_client_would_put_them(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    names = [f"{name}-{number}" for number in range(8)]
    for each in names:
        serve(production, bus, uploads, each)
        production.predict(ROW, model=each)
    predictions(bus, names[-1], 1)
    found = {record.key.decode(): record.partition for record in bus.records("predictions")}
    producer = KafkaProducer(bootstrap_servers=bus.bootstrap_servers)
    sent = {each: producer.send(bus.prefix + "ground-truth", key=each.encode(), value=b"{}") for each in names}
    expected = {each: future.get(30).partition for each, future in sent.items()}
    producer.close()
    assert {each: found[each] for each in names} == expected
    assert len(set(expected.values())) > 1, "one partition for all eight proves nothing"


def test_sigterm_answers_what_is_in_flight_and_publishes_what_was_answered(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    replica = new_replica()
    replica.start_ready()
    numbers = pd.DataFrame({"distance": np.arange(30_000.0)})
    slow = KNeighborsClassifier(algorithm="brute").fit(numbers, numbers["distance"] % 2)
    serve(replica, own_bus, uploads, "slow", slow, example=numbers.head(1))
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(replica.predict, *[{"distance": 7}] * 10_000)
        eventually(lambda: replica.metric("gauntlet_serving_requests_in_progress") == 1, interval=0.01)
        replica.stop()
        assert answer.result(30).status_code == 200
    rows = [item.data.row for item in own_bus.events("predictions")]
    assert rows == list(range(10_000))


def test_a_broker_that_is_down_slows_no_request_and_what_does_not_fit_is_counted(
    tmp_path: Path, uploads: Uploads, new_replica: StartReplica
) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as broker:
        replica = new_replica(
            bootstrap_servers=broker.bootstrap_servers,
            env={"SERVING_PREDICTION_BUFFER_ROWS": "1000", "SERVING_FLUSH_SECONDS": "0.5"},
        )
        replica.start_ready()
        bus = BusClient(broker.bootstrap_servers, replica.prefix)
        serve(replica, bus, uploads, "flights")
        bus.close()
    # No broker from here on.
    answers = [replica.predict(*[ROW] * 10) for _ in range(300)]
    assert {answer.status_code for answer in answers} == {200}
    eventually(lambda: replica.metric("gauntlet_serving_predictions_dropped_total") >= 3000 - 2 * 1000)
    assert replica.ready(), "what it serves does not need the broker"
    assert replica.predict(ROW).json()["predictions"][0]["score"] == score_of(3)
    replica.stop()
    assert replica.process is not None and replica.process.returncode != -signal.SIGKILL, "it did not end by itself"
