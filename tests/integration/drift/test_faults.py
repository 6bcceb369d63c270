"""Drift that is doubled, replayed, killed and cut off from MLflow: one DriftDetected for one drift all the same."""

from __future__ import annotations

from contracts import Dataset, DriftDetected, GroundTruthReceived, PredictionMade, Promoted
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.databases import on_postgres, taking_turns
from support.drifting import (
    MODEL,
    POLICY,
    WINDOW,
    DriftService,
    customers,
    detected,
    log_reference,
    predictions,
    promotion,
    truths,
)
from support.mlflow_server import MlflowServer
from support.waiting import eventually


def test_a_window_that_drifts_is_announced_once_although_all_is_doubled_and_replayed(
    own_drift: DriftService, own_bus: BusClient, reference: Dataset
) -> None:
    drift = own_drift
    drift.start_ready()
    made = predictions(customers(WINDOW, 2, shift=1.0))
    drift.publish([promotion(reference=reference)] * 2)
    drift.publish([envelope for envelope in made for _ in range(2)])
    [event] = eventually(lambda: detected(own_bus), timeout=60)

    assert (event.model_name, event.model_version, event.kind) == (MODEL, 1, "data")
    assert event.drift_share == 1.0
    assert {score.feature for score in event.scores if score.drifted} == {"age", "spend", "plan"}
    assert "3 of 3 features drifted (100%; limit 50%)" in event.reason
    assert (event.window.id, event.window.rows) == ("shop-v1-w1", WINDOW)
    assert (event.window.start, event.window.end) == (made[0].data.event_time, made[-1].data.event_time)
    assert event.report_uri == f"http://127.0.0.1:{drift.port}/reports/shop-v1-w1"
    assert "The data has drifted" in drift.drawn("shop-v1-w1")

    drift.stop()
    drift.rewind(Promoted, PredictionMade, GroundTruthReceived)
    assert drift.behind(PredictionMade) == 2 * WINDOW
    drift.start_ready()
    eventually(drift.idle, timeout=60)
    assert [(window["id"], window["rows"]) for window in drift.windows()] == [("shop-v1-w1", WINDOW)]
    assert len(detected(own_bus)) == 1


@taking_turns(
    "point",
    "before_transaction",
    "before_commit",
    "before_mark",
    "before_result",
    "within_append",
    "before_batch_commit",
    "within_labels",
)
def test_a_service_killed_in_the_middle_announces_the_drift_once(
    own_drift: DriftService, own_bus: BusClient, reference: Dataset, point: str
) -> None:
    drift = own_drift
    drift.start(dying_at=point)
    made = predictions(customers(WINDOW + 30, 2, shift=1.0))
    drift.publish([promotion(reference=reference)])
    drift.publish(made)
    drift.publish(truths(made[: WINDOW + 20]))
    eventually(drift.died, timeout=90)
    drift.start_ready()
    eventually(lambda: detected(own_bus), timeout=90)
    eventually(drift.idle, timeout=60)
    assert len({envelope.id for envelope in own_bus.events(DriftDetected.topic)}) == 1
    assert [(w["id"], w["rows"], w["labelled"], w["state"]) for w in drift.windows()] == [
        ("shop-v1-w1", WINDOW, WINDOW, "scored"),
        ("shop-v1-w2", 30, 20, "filling"),
    ]


@on_postgres
def test_a_window_waits_while_mlflow_is_away(
    kafka: EmbeddedKafka, topic_prefix: str, database_url: str, own_bus: BusClient, tmp_path
) -> None:
    mlflow = MlflowServer(tmp_path / "mlflow")
    mlflow.start()
    reference = log_reference(mlflow.uri, customers(5000, 1), tmp_path)
    drift = DriftService(kafka.bootstrap_servers, topic_prefix, database_url, mlflow.uri, tmp_path)
    drift.policy(POLICY)
    try:
        mlflow.stop()
        drift.start_ready()
        drift.publish([promotion(reference=reference), *predictions(customers(WINDOW, 2, shift=1.0))])
        log = tmp_path / "drift.log"
        eventually(lambda: "job goes back to the queue" in log.read_text(), timeout=60)
        assert drift.windows()[0]["state"] == "complete"
        mlflow.start()
        assert eventually(lambda: detected(own_bus), timeout=90)
    finally:
        drift.stop()
        mlflow.stop()
