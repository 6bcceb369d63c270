"""Drift as it runs: a real process, broker, MLflow and database; one DriftDetected for one drift, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts import Dataset, DriftDetected, GroundTruthReceived, PredictionMade, Promoted
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.drifting import MODEL, DriftService, customers, log_reference, predictions, promotion, truths
from support.mlflow_server import MlflowServer
from support.waiting import eventually

WINDOW = 400
POLICY = f"{{window: {{rows: {WINDOW}}}, drift_share: 0.5, cooldown: 1h}}"


@pytest.fixture(scope="module")
def reference(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return log_reference(mlflow_server.uri, customers(5000, 1), tmp_path_factory.mktemp("reference"))


@pytest.fixture
def drift(
    kafka: EmbeddedKafka, topic_prefix: str, database_url: str, mlflow_server: MlflowServer, tmp_path: Path
) -> Iterator[DriftService]:
    service = DriftService(kafka.bootstrap_servers, topic_prefix, database_url, mlflow_server.uri, tmp_path)
    service.policy(POLICY)
    yield service
    service.stop()


@pytest.fixture
def bus(kafka: EmbeddedKafka, topic_prefix: str) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, topic_prefix)
    yield client
    client.close()


def ready(drift: DriftService, **how: Any) -> None:
    drift.start(**how)
    eventually(drift.ready, timeout=60)


def idle(drift: DriftService) -> bool:
    """Everything read, every closed window judged."""
    return not any(drift.behind(event) for event in (Promoted, PredictionMade, GroundTruthReceived)) and all(
        window["data"]["outcome"] for window in drift.windows() if window["state"] != "filling"
    )


def detected(bus: BusClient) -> list[DriftDetected]:
    return [envelope.data for envelope in bus.events(DriftDetected.topic)]


def test_a_window_that_drifts_is_announced_once_although_all_is_doubled_and_replayed(drift, bus, reference):
    ready(drift)
    made = predictions(customers(WINDOW, 2, shift=1.0))
    drift.publish([promotion(reference=reference)] * 2)
    drift.publish([envelope for envelope in made for _ in range(2)])
    [event] = eventually(lambda: detected(bus), timeout=60)

    assert (event.model_name, event.model_version, event.kind) == (MODEL, 1, "data")
    assert event.drift_share == 1.0
    assert {score.feature for score in event.scores if score.drifted} == {"age", "spend", "plan"}
    assert "3 of 3 features drifted (100%; limit 50%)" in event.reason
    assert (event.window.id, event.window.rows) == ("shop-v1-w1", WINDOW)
    assert (event.window.start, event.window.end) == (made[0].data.event_time, made[-1].data.event_time)
    status, page = drift.ask("/reports/shop-v1-w1")
    assert status == 200
    assert event.report_uri == f"http://127.0.0.1:{drift.port}/reports/shop-v1-w1"
    assert "Drift is detected for" in page, "Evidently's page is not there"
    assert "Features: drift" in page

    drift.stop()
    drift.rewind(Promoted, PredictionMade, GroundTruthReceived)
    assert drift.behind(PredictionMade) == 2 * WINDOW
    ready(drift)
    eventually(lambda: idle(drift), timeout=60)
    assert [(window["id"], window["rows"]) for window in drift.windows()] == [("shop-v1-w1", WINDOW)]
    assert len(detected(bus)) == 1


def test_a_window_like_the_reference_is_judged_and_nobody_is_told(drift, bus, reference):
    ready(drift)
    drift.publish([promotion(reference=reference)])
    drift.publish(predictions(customers(WINDOW + 50, 2)))
    window = eventually(lambda: next((w for w in drift.windows() if w["state"] == "scored"), None), timeout=60)
    assert (window["data"]["outcome"], window["data"]["event_id"]) == ("Passed", None)
    assert {score["feature"] for score in window["data"]["scores"]} == {"age", "spend", "plan"}
    assert drift.windows()[1]["progress"] == f"50/{WINDOW}"
    assert detected(bus) == []


@pytest.mark.parametrize("when", ["before", "late"])
def test_wrong_answers_are_a_performance_drift_whether_labels_come_before_or_late(drift, bus, reference, when):
    ready(drift)
    made = predictions(customers(WINDOW, 2))
    labels = truths(made[: WINDOW - 50], right=False)
    drift.publish([promotion(reference=reference)])
    if when == "before":
        drift.publish(labels)
        eventually(lambda: drift.behind(GroundTruthReceived) == 0)
        drift.publish(made)
    else:
        drift.publish(made)
        eventually(lambda: drift.windows() and drift.windows()[0]["state"] == "scored", timeout=60)
        assert drift.windows()[0]["performance"]["outcome"] is None
        drift.publish(labels + labels)
    [event] = eventually(lambda: detected(bus), timeout=60)
    assert (event.kind, event.metric, event.observed) == ("performance", "roc_auc", 0.0)
    assert event.bound == pytest.approx(0.85)
    assert "below its bound 0.8500" in event.reason
    assert 0.8 * WINDOW <= event.window.labelled <= WINDOW - 50, "judged once enough labels were there, not before"
    assert f"on {event.window.labelled} labelled rows" in event.reason
    drift.publish(labels)
    eventually(lambda: idle(drift), timeout=60)
    assert len(detected(bus)) == 1
    status, page = drift.ask("/reports/shop-v1-w1")
    assert (status, "Performance: drift" in page) == (200, True)


def test_right_answers_are_no_performance_drift(drift, bus, reference):
    ready(drift)
    made = predictions(customers(WINDOW, 2))
    drift.publish([promotion(reference=reference), *made, *truths(made)])
    window = eventually(lambda: next((w for w in drift.windows() if w["performance"]["outcome"]), None), timeout=60)
    assert window["performance"]["outcome"] == "Passed"
    assert window["performance"]["observed"] == 1.0
    assert detected(bus) == []


def test_during_the_cooldown_drift_is_seen_and_not_announced_and_a_promotion_ends_it(drift, bus, reference):
    ready(drift)
    drift.publish([promotion(reference=reference), *predictions(customers(3 * WINDOW, 2, shift=1.0))])
    eventually(lambda: [w["state"] for w in drift.windows()] == ["scored"] * 3, timeout=90)
    first, *others = drift.windows()
    assert first["data"]["event_id"] == "shop-v1-w1:data"
    for window in others:
        assert (window["data"]["outcome"], window["data"]["event_id"]) == ("Failed", None)
        assert "cooling down until" in window["data"]["held"]
    _, model = drift.ask(f"/models/{MODEL}")
    assert model["champion"]["cooling_until"] > model["champion"]["last_detected_at"]

    drift.publish([promotion(version=2, epoch=2, reference=reference)])
    eventually(lambda: drift.ask(f"/models/{MODEL}")[1]["champion"]["model_version"] == 2)
    drift.publish(predictions(customers(WINDOW, 3, shift=1.0), version=2))
    eventually(lambda: len(detected(bus)) == 2, timeout=60)
    assert [event.window.id for event in detected(bus)] == ["shop-v1-w1", "shop-v2-w1"]


@pytest.mark.parametrize("point", ["before_transaction", "before_commit", "before_result", "before_mark"])
def test_a_service_killed_in_the_middle_announces_the_drift_once(drift, bus, reference, point):
    drift.start(dying_at=point)
    drift.publish([promotion(reference=reference)])
    drift.publish(predictions(customers(WINDOW + 30, 2, shift=1.0)))
    eventually(drift.died, timeout=90)
    ready(drift)
    eventually(lambda: detected(bus), timeout=90)
    eventually(lambda: idle(drift), timeout=60)
    assert len({envelope.id for envelope in bus.events(DriftDetected.topic)}) == 1
    assert [(w["id"], w["rows"], w["state"]) for w in drift.windows()] == [
        ("shop-v1-w1", WINDOW, "scored"),
        ("shop-v1-w2", 30, "filling"),
    ]


def test_score_judges_the_rows_there_are_and_refuses_fewer_than_200(drift, bus, reference):
    ready(drift)
    drift.publish([promotion(reference=reference)])
    eventually(lambda: drift.ask("/models")[1])
    made = predictions(customers(250, 2, shift=1.0))
    status, problem = drift.ask(f"/models/{MODEL}/score", "POST")
    assert (status, problem["rows"], problem["minimum"]) == (409, 0, 200)
    drift.publish(made[:199])
    eventually(lambda: drift.windows() and drift.windows()[0]["rows"] == 199)
    status, problem = drift.ask(f"/models/{MODEL}/score", "POST")
    assert (status, problem["title"], problem["rows"]) == (409, "not enough rows", 199)
    assert "199 of at least 200" in problem["detail"]
    drift.publish(made[199:])
    eventually(lambda: drift.windows()[0]["rows"] == 250)
    status, accepted = drift.ask(f"/models/{MODEL}/score", "POST")
    assert (status, accepted["window"], accepted["rows"]) == (202, "shop-v1-w1", 250)
    [event] = eventually(lambda: detected(bus), timeout=60)
    assert event.window.rows == 250
    assert drift.ask(f"/models/{MODEL}/score", "POST")[0] == 409


def test_the_promotion_and_the_reference_may_come_long_after_the_rows(drift, bus, reference):
    ready(drift)
    drift.publish(predictions(customers(WINDOW, 2, shift=1.0)))
    eventually(lambda: drift.windows() and drift.windows()[0]["state"] == "complete")
    assert drift.ask(f"/models/{MODEL}")[1]["champion"] is None
    assert drift.ask(f"/models/{MODEL}/score", "POST")[1]["title"] == "no champion"
    drift.publish([promotion(reference=reference)])
    assert eventually(lambda: detected(bus), timeout=60)


def test_a_window_waits_while_mlflow_is_away(kafka, topic_prefix, database_url, tmp_path, bus):
    mlflow = MlflowServer(tmp_path / "mlflow")
    mlflow.start()
    reference = log_reference(mlflow.uri, customers(5000, 1), tmp_path)
    drift = DriftService(kafka.bootstrap_servers, topic_prefix, database_url, mlflow.uri, tmp_path)
    drift.policy(POLICY)
    try:
        mlflow.stop()
        ready(drift)
        drift.publish([promotion(reference=reference), *predictions(customers(WINDOW, 2, shift=1.0))])
        log = tmp_path / "drift.log"
        eventually(lambda: "job goes back to the queue" in log.read_text(), timeout=60)
        assert drift.windows()[0]["state"] == "complete"
        mlflow.start()
        assert eventually(lambda: detected(bus), timeout=90)
    finally:
        drift.stop()
        mlflow.stop()


def test_a_reference_that_was_changed_is_refused_and_said(drift, bus, reference):
    ready(drift)
    changed = reference.model_copy(update={"digest": "sha256:" + "e" * 64})
    drift.publish([promotion(reference=changed), *predictions(customers(WINDOW, 2, shift=1.0))])
    window = eventually(lambda: next((w for w in drift.windows() if w["state"] == "failed"), None), timeout=60)
    assert window["data"]["outcome"] == "Inconclusive"
    assert "somebody changed it" in window["data"]["reason"]
    assert detected(bus) == []


def test_a_promotion_without_a_reference_leaves_windows_inconclusive(drift, bus):
    ready(drift)
    drift.publish([promotion(), *predictions(customers(WINDOW, 2))])
    window = eventually(lambda: next((w for w in drift.windows() if w["state"] == "refused"), None), timeout=60)
    assert "names no reference rows" in window["data"]["reason"]


def test_bad_messages_become_dead_letters_and_the_rows_around_them_are_kept(drift, bus, reference):
    ready(drift)
    drift.publish([promotion(reference=reference)])
    made = predictions(customers(3, 2))
    drift.publish(made[:1])
    bus.raw(PredictionMade.topic, MODEL.encode(), b"not json")
    bus.raw(GroundTruthReceived.topic, MODEL.encode(), b'{"model_name": "shop", "label": 1}')
    drift.publish(made[1:])
    letters = eventually(lambda: len(bus.dead_letters()) == 2 and bus.dead_letters(), timeout=60)
    assert any("neither request_id nor entity_id" in letter.error for letter in letters.values())
    eventually(lambda: drift.windows() and drift.windows()[0]["rows"] == 3)


@pytest.mark.parametrize(
    ("path", "method", "status", "words"),
    [
        ("/models/nobody/windows", "GET", 404, "nobody"),
        ("/models/nobody", "GET", 404, "nobody"),
        ("/models/nobody/score", "POST", 404, "nobody"),
        ("/models/a%00b/windows", "GET", 404, "no model"),
        ("/models/" + "x" * 5000, "GET", 404, "no model"),
        ("/windows/shop-v1-w99", "GET", 404, "shop-v1-w99"),
        ("/windows/%00", "GET", 404, "no window"),
        ("/reports/shop-v1-w99", "GET", 404, "shop-v1-w99"),
        ("/reports/shop-v1-w1", "GET", 404, "3 of 400 rows"),
        ("/models/shop/windows?limit=0", "GET", 422, "limit"),
        ("/models/shop/windows?limit=many", "GET", 422, "many"),
        ("/models/shop/windows?version=99999999999999999999", "GET", 422, "version"),
        ("/models/shop/score", "GET", 405, "GET"),
        ("/nothing", "GET", 404, "/nothing"),
    ],
)
def test_bad_requests_are_answered_with_what_is_wrong(asked, path, method, status, words):
    answered, problem = asked.ask(path, method)
    assert answered == status
    assert problem["status"] == status
    assert words in problem["detail"]


@pytest.fixture(scope="module")
def asked(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DriftService]:
    """One service for all bad requests, with a model that has three rows; MLflow is not needed for that."""
    folder = tmp_path_factory.mktemp("asked")
    service = DriftService(
        kafka.bootstrap_servers, f"{folder.name}.", f"sqlite:///{folder / 'drift.db'}", "http://127.0.0.1:9", folder
    )
    service.policy(POLICY)
    ready(service)
    service.publish([promotion(), *predictions(customers(3, 2))])
    eventually(lambda: service.windows() and service.windows()[0]["rows"] == 3)
    yield service
    service.stop()


def test_the_report_of_a_window_runs_without_access_to_this_service(asked):
    import urllib.request

    asked.publish(predictions(customers(WINDOW, 3)))
    eventually(lambda: asked.windows()[0]["data"]["outcome"], timeout=60)
    with urllib.request.urlopen(f"http://127.0.0.1:{asked.port}/reports/shop-v1-w1") as answer:
        assert answer.headers["Content-Security-Policy"].startswith("sandbox")
        assert answer.headers["Content-Type"].startswith("text/html")
    metrics = asked.ask("/metrics")[1]
    assert 'drift_predictions_total{fate="kept",model="shop"} 403.0' in metrics
    assert 'drift_verdicts_total{kind="data",model="shop",outcome="Inconclusive"} 1.0' in metrics
