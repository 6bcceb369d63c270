"""The trainer's work with real Kafka and MLflow: events in, versions in MLflow, events out, jobs over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

from chassis.digests import digest_file, digest_tree
from chassis.registry import Registry
from contracts import (
    DriftDetected,
    DriftKind,
    DriftWindow,
    Envelope,
    ModelRegistered,
    TrainingFailed,
    TrainingRequested,
)
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.trainers import Trainers
from support.waiting import eventually

TRAINING_SECONDS = 90


@pytest.fixture(scope="module")
def trainers(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Trainers]:
    """One trainer for all tests here, with a model each."""
    folder = tmp_path_factory.mktemp("trainer")
    service = Trainers(
        kafka.bootstrap_servers, f"{folder.name}.", f"sqlite:///{folder / 'trainer.db'}", mlflow_server.uri, folder
    )
    for name in ("tiny", "drifting", "again", "foreign"):
        service.model(name, recipe="recipe")
    for name in ("raising", "dying", "recpie"):
        service.model(name, recipe=name)
    service.model("split", recipe="recipe", entity="user", golden={"window": "holdout", "share": 0.3})
    service.model("served-only")
    service.start()
    eventually(service.ready, timeout=60)
    yield service
    service.stop()


@pytest.fixture(scope="module")
def bus(kafka: EmbeddedKafka, trainers: Trainers) -> Iterator[BusClient]:
    client = BusClient(kafka.bootstrap_servers, trainers.prefix)
    yield client
    client.close()


@pytest.fixture(scope="module")
def registry(mlflow_server: MlflowServer) -> Registry:
    return Registry(mlflow_server.uri)


def registered(bus: BusClient, model: str) -> list[Envelope[ModelRegistered]]:
    return [event for event in bus.events(ModelRegistered.topic) if event.model_name == model]


def failures(bus: BusClient, model: str) -> list[Envelope[TrainingFailed]]:
    found = bus.events(TrainingFailed.topic)
    return [event for event in found if isinstance(event.data, TrainingFailed) and event.model_name == model]


def wait_for(bus: BusClient, model: str, count: int = 1) -> list[Envelope[ModelRegistered]]:
    found = eventually(lambda: len(now := registered(bus, model)) >= count and now, timeout=TRAINING_SECONDS)
    assert found
    return found


def test_a_request_becomes_a_version_with_all_that_a_gate_will_ask_for(
    trainers: Trainers, bus: BusClient, registry: Registry, tmp_path: Path
) -> None:
    model = f"tiny-{trainers.suffix}"
    asked = bus.publish(TrainingRequested(model_name=model, window="w1..w2", reason="a look"))
    (envelope,) = wait_for(bus, model)
    event = envelope.data
    assert (envelope.causation_id, envelope.correlation_id) == (asked.id, asked.correlation_id)
    assert (event.model_version, event.trigger and event.trigger.event_id) == (1, asked.id)
    assert event.trigger is not None
    assert (event.trigger.kind, event.trigger.reason) == ("request", "a look")
    assert 0.7 < event.metrics["roc_auc"] < 1
    assert set(event.metrics) == {"roc_auc", "log_loss", "brier", "accuracy", "pr_auc", "f1"}
    assert event.code_version is not None
    assert "sha256:" in event.code_version

    version = registry.version(model, 1)
    assert (version.run_id, version.source) == (event.run_id, event.artifact_uri)
    for dataset, window, rows in (
        (event.training, "w1..w2", 1200),
        (event.evaluation, "w3", 600),
        (event.reference, "w1..w2", 1200),
    ):
        assert dataset is not None
        assert (dataset.window, dataset.rows) == (window, rows)
        file = registry.download(dataset.uri, tmp_path)
        assert digest_file(file) == dataset.digest
        frame = pd.read_parquet(file)
        assert list(frame.columns) == ["x", "y", "colour", "label", "user", "at"]
        assert len(frame) == rows

    folder = registry.download(version.source, tmp_path)
    assert digest_tree(folder) == event.artifact_digest
    loaded = mlflow.pyfunc.load_model(str(folder))
    answers = loaded.predict(loaded.input_example)
    assert answers.shape == (5, 2)
    assert loaded.metadata.signature.inputs.input_names() == ["x", "y", "colour"]
    assert loaded.metadata.metadata["gauntlet"] == {
        "problem": "binary",
        "classes": [0, 1],
        "entity": "user",
        "event_time": "at",
        "label": "label",
        "features": ["x", "y", "colour"],
    }

    assert event.run_id is not None
    run = registry.run(event.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == event.metrics
    assert run.data.params["training_windows"] == "w1..w2"
    assert ModelRegistered.model_validate_json(run.data.tags["gauntlet.lineage"]) == event
    assert {item.tags[0].value for item in run.inputs.dataset_inputs} == {"training", "evaluation", "reference"}

    (job,) = trainers.jobs(model)
    assert (job["state"], job["trigger"], job["window"], job["error"]) == ("done", "request", "w1..w2", None)
    status, detail = trainers.get(f"/jobs/{job['id']}")
    assert status == 200
    assert detail["result"]["model_version"] == 1
    assert "1200 rows" in detail["log_tail"], "what the recipe prints is in the log"


def test_an_event_that_comes_again_and_again_is_one_version(
    trainers: Trainers, bus: BusClient, registry: Registry
) -> None:
    model = f"drifting-{trainers.suffix}"
    moment = datetime(2024, 1, 3, 12, tzinfo=UTC)
    window = DriftWindow(id="w", rows=2000, start=moment, end=moment)
    drift = DriftDetected(model_name=model, model_version=7, kind=DriftKind.DATA, window=window, reason="it moved")
    seen = bus.publish(drift, times=3)
    (envelope,) = wait_for(bus, model)
    assert envelope.data.trigger is not None
    assert (envelope.data.trigger.kind, envelope.data.trigger.event_id) == ("drift", seen.id)
    assert envelope.data.evaluation is not None
    assert envelope.data.evaluation.window == "w3", "the day on which the drift was seen"
    assert envelope.data.training is not None
    assert envelope.data.training.window == "w1..w2"
    bus.send(seen)
    bus.publish(TrainingRequested(model_name=model, window="w2"))  # comes after it on another topic, same key
    assert [item.data.model_version for item in wait_for(bus, model, 2)] == [1, 2]
    assert len(registry.versions(model)) == 2
    assert len(trainers.jobs(model)) == 2


def test_held_out_entities_are_on_one_side_only(
    trainers: Trainers, bus: BusClient, registry: Registry, tmp_path: Path
) -> None:
    model = f"split-{trainers.suffix}"
    bus.publish(TrainingRequested(model_name=model))
    event = wait_for(bus, model)[0].data
    assert event.training is not None
    assert event.evaluation is not None
    assert event.training.window == "w5..w6"
    assert event.evaluation.window == "holdout 0.3 of w5..w6"
    training = pd.read_parquet(registry.download(event.training.uri, tmp_path))
    golden = pd.read_parquet(registry.download(event.evaluation.uri, tmp_path))
    assert not set(training["user"]) & set(golden["user"])
    assert len(training) + len(golden) == 1200
    assert 0.2 < len(golden) / 1200 < 0.4


@pytest.mark.parametrize(
    ("name", "request_", "said"),
    [
        ("raising", {}, "ArithmeticError: the moon is in the wrong house"),
        ("dying", {}, "ended by signal 9"),
        ("recpie", {}, "has no attribute 'recpie'; nearest: 'recipe'"),
        ("tiny", {"window": "w9"}, "unknown window 'w9'; nearest: w"),
        ("tiny", {"from_run": "no such run"}, "run 'no such run' is not in MLflow"),
        ("served-only", {}, "the policy of model 'served-only"),
        ("unheard-of", {}, "model 'unheard-of"),
    ],
)
def test_what_cannot_be_trained_is_told_to_the_world_and_at_jobs(
    trainers: Trainers, bus: BusClient, name: str, request_: dict[str, Any], said: str
) -> None:
    model = f"{name}-{trainers.suffix}"
    before = len(registered(bus, model))
    asked = bus.publish(TrainingRequested(model_name=model, **request_))
    failed = eventually(
        lambda: [event for event in failures(bus, model) if event.causation_id == asked.id], timeout=TRAINING_SECONDS
    )
    assert len(failed) == 1
    assert said in failed[0].data.reason
    assert failed[0].data.window == request_.get("window")
    _, detail = trainers.get(f"/jobs/{failed[0].data.job_id}")
    assert detail["state"] == "failed"
    assert said in detail["error"]
    assert len(registered(bus, model)) == before
    if name == "raising":
        assert "in_training()" in detail["log_tail"], "the traceback is there for whoever has to mend the recipe"


def test_a_drift_of_a_model_without_a_recipe_changes_nothing(trainers: Trainers, bus: BusClient) -> None:
    model = f"served-only-{trainers.suffix}"
    moment = datetime(2024, 1, 3, tzinfo=UTC)
    window = DriftWindow(id="w", rows=2000, start=moment, end=moment)
    before = len(trainers.jobs(model))
    bus.publish(DriftDetected(model_name=model, model_version=1, kind=DriftKind.DATA, window=window, reason="moved"))
    eventually(lambda: "no policy names a recipe for the model" in (trainers.folder / "trainer.log").read_text())
    assert len(trainers.jobs(model)) == before


def test_an_earlier_run_is_registered_again_with_its_metrics_and_datasets(
    trainers: Trainers, bus: BusClient, registry: Registry
) -> None:
    model = f"again-{trainers.suffix}"
    bus.publish(TrainingRequested(model_name=model, window="w1..w2"))
    first = wait_for(bus, model)[0].data
    trainings = len(trainers.trained_by())
    bus.publish(TrainingRequested(model_name=model, from_run=first.run_id, reason="the old one was better"))
    second = wait_for(bus, model, 2)[1].data
    assert second.model_version == 2
    assert second.trigger is not None
    assert (second.trigger.kind, second.trigger.reason) == ("re-registration", "the old one was better")
    same = {"model_version", "trigger"}
    assert second.model_dump(exclude=same) == first.model_dump(exclude=same)
    assert len(trainers.trained_by()) == trainings, "nothing is trained"
    assert registry.version(model, 2).run_id == first.run_id

    other = f"tiny-{trainers.suffix}"
    asked = bus.publish(TrainingRequested(model_name=other, from_run=first.run_id))
    failed = eventually(lambda: [event for event in failures(bus, other) if event.causation_id == asked.id], timeout=60)
    assert f"holds a version of '{model}', not of '{other}'" in failed[0].data.reason


def test_a_run_of_somebody_else_is_registered_with_what_mlflow_knows(
    trainers: Trainers, bus: BusClient, mlflow_server: MlflowServer
) -> None:
    model = f"foreign-{trainers.suffix}"
    mlflow.set_tracking_uri(mlflow_server.uri)
    mlflow.set_experiment(f"notebook-{trainers.suffix}")
    with mlflow.start_run() as run:
        mlflow.log_metrics({"roc_auc": 0.75, "odd": float("nan")})
        estimator = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
        mlflow.sklearn.log_model(estimator, name="model", pip_requirements=["scikit-learn"])
    bus.publish(TrainingRequested(model_name=model, from_run=run.info.run_id))
    event = wait_for(bus, model)[0].data
    assert (event.run_id, event.metrics, event.training) == (run.info.run_id, {"roc_auc": 0.75}, None)

    empty = MlflowClient(mlflow_server.uri).create_run("0")
    asked = bus.publish(TrainingRequested(model_name=model, from_run=empty.info.run_id))
    failed = eventually(lambda: [event for event in failures(bus, model) if event.causation_id == asked.id], timeout=60)
    assert f"run '{empty.info.run_id}' has no logged model" in failed[0].data.reason

    MlflowClient(mlflow_server.uri).delete_run(run.info.run_id)
    asked = bus.publish(TrainingRequested(model_name=model, from_run=run.info.run_id, reason="again"))
    failed = eventually(lambda: [event for event in failures(bus, model) if event.causation_id == asked.id], timeout=60)
    assert f"run '{run.info.run_id}' is deleted" in failed[0].data.reason


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/jobs/nonsense", 404, "'nonsense'"),
        ("/jobs/..%2Fetc", 404, ""),
        ("/jobs?state=lost", 422, "state"),
        ("/jobs?limit=0", 422, "limit"),
        ("/jobs?limit=many", 422, "'many'"),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(trainers: Trainers, path: str, status: int, said: str) -> None:
    seen, problem = trainers.get(path)
    assert seen == status
    assert problem["status"] == status
    assert said in problem["detail"]


def test_the_list_of_jobs_can_be_narrowed(trainers: Trainers) -> None:
    _, everything = trainers.get("/jobs?limit=1000")
    _, failed = trainers.get("/jobs?state=failed")
    assert failed == [job for job in everything if job["state"] == "failed"]
    assert len(trainers.get("/jobs?limit=1")[1]) == min(1, len(everything))
