"""One job registers one version in MLflow, whatever an interrupted or a second process of it has left there."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput

from chassis.errors import Refused
from contracts import ModelRegistered, Trigger
from contracts.policy import ModelPolicy
from support.mlflow_server import MlflowServer
from trainer.spec import TrainingSpec, TrainingTask
from trainer.training.fit import fit
from trainer.training.registry import JOB_TAG, LINEAGE_TAG, Publisher, log_inputs


def silent(_share: float, _message: str) -> None:
    return None


@pytest.fixture
def spec(mlflow_server: MlflowServer, tmp_path: Path) -> TrainingSpec:
    model = f"tiny-{uuid4().hex[:8]}"
    return TrainingSpec(
        job_id=str(uuid4()),
        task=TrainingTask(model_name=model, trigger=Trigger(kind="request", event_id="e1")),
        policy=ModelPolicy(model=model, recipe="support.tiny_recipe:recipe"),
        tracking_uri=mlflow_server.uri,
        work_dir=tmp_path,
    )


@pytest.fixture
def client(mlflow_server: MlflowServer) -> MlflowClient:
    return MlflowClient(mlflow_server.uri)


def publish(spec: TrainingSpec) -> ModelRegistered:
    assert spec.policy
    made, estimator = fit(spec, spec.policy, silent)
    return Publisher(spec, silent).publish(made, estimator)


def versions(client: MlflowClient, spec: TrainingSpec) -> list[int]:
    return sorted(int(item.version) for item in client.search_model_versions(f"name='{spec.task.model_name}'"))


def test_publishing_twice_is_one_version_and_one_run(spec: TrainingSpec, client: MlflowClient) -> None:
    first = publish(spec)
    assert publish(spec) == first
    assert Publisher(spec, silent).registered_before() == first
    assert versions(client, spec) == [1]
    experiment = client.get_experiment_by_name(spec.task.model_name)
    assert experiment
    assert len(client.search_runs([experiment.experiment_id])) == 1


def test_a_version_whose_process_died_before_it_told_its_run_is_completed(
    spec: TrainingSpec, client: MlflowClient
) -> None:
    event = publish(spec)
    assert event.run_id
    draft = event.model_dump_json(exclude={"model_version"})
    client.set_tag(event.run_id, LINEAGE_TAG, draft)
    assert Publisher(spec, silent).registered_before() == event
    assert ModelRegistered.model_validate_json(client.get_run(event.run_id).data.tags[LINEAGE_TAG]) == event


def test_an_unfinished_run_is_marked_as_killed_and_a_whole_one_takes_its_place(
    spec: TrainingSpec, client: MlflowClient
) -> None:
    experiment = client.create_experiment(spec.task.model_name)
    torn = client.create_run(experiment, tags={JOB_TAG: spec.job_id})
    others = client.create_run(experiment, tags={JOB_TAG: "another job"})
    event = publish(spec)
    assert event.run_id != torn.info.run_id
    assert client.get_run(torn.info.run_id).info.status == "KILLED"
    assert client.get_run(others.info.run_id).info.status == "RUNNING"


def test_of_two_processes_that_register_at_once_the_lowest_version_stands(
    spec: TrainingSpec, client: MlflowClient
) -> None:
    first = publish(spec)
    second = client.create_model_version(
        first.model_name,
        source=first.artifact_uri or "",
        run_id=first.run_id,
        tags={JOB_TAG: spec.job_id},
        model_id=(first.artifact_uri or "").removeprefix("models:/"),
    )
    assert int(second.version) == 2
    assert publish(spec) == first
    assert versions(client, spec) == [1]


def test_neither_rows_nor_models_are_logged_or_registered_outside_the_registry(
    spec: TrainingSpec, client: MlflowClient, tmp_path: Path
) -> None:
    """Whoever may write to MLflow can make the experiment of a model first, in a folder of the trainer's machine."""
    place = tmp_path / "somewhere"
    theirs = client.create_experiment(spec.task.model_name, artifact_location=place.as_uri())
    with pytest.raises(Refused, match=f"MLflow has it at '{place.as_uri()}/.*ALLOWED_URI_PREFIXES"):
        publish(spec)
    assert not place.exists()
    run = client.create_run(theirs).info.run_id
    client.set_tag(run, "mlflow.log-model.history", json.dumps([{"artifact_path": "model"}]))
    with pytest.raises(Refused, match="ALLOWED_URI_PREFIXES"):
        Publisher(spec, silent).register_again(run)
    assert versions(client, spec) == []
    listing = spec.model_copy(update={"allowed_uris": place.as_uri(), "work_dir": tmp_path / "again"})
    listing.work_dir.mkdir()
    assert publish(listing).model_version == 1


def test_runs_that_log_the_same_dataset_at_once_all_have_it(spec: TrainingSpec, client: MlflowClient) -> None:
    experiment = client.create_experiment(spec.task.model_name)
    runs = [client.create_run(experiment).info.run_id for _ in range(6)]
    together = Barrier(len(runs))

    def log(run: str) -> None:
        for number in range(5):
            dataset = Dataset(f"w{number}", "an-equal-digest", "local", "somewhere")
            together.wait(30)
            log_inputs(client, run, [DatasetInput(dataset, [])])

    with ThreadPoolExecutor(len(runs)) as threads:
        list(threads.map(log, runs))
    assert {len(client.get_run(run).inputs.dataset_inputs) for run in runs} == {5}


def test_what_was_trained_is_taken_up_only_while_recipe_and_request_are_the_same(spec: TrainingSpec) -> None:
    assert spec.policy
    said: list[str] = []
    made, _ = fit(spec, spec.policy, lambda _share, message: said.append(message))
    again, _ = fit(spec, spec.policy, lambda _share, message: said.append(message))
    assert again == made
    assert said.count("trained before: taking that up") == 1
    changed = spec.model_copy(update={"task": spec.task.model_copy(update={"window": "w1"})})
    other, _ = fit(changed, spec.policy, lambda _share, message: said.append(message))
    assert other.datasets["training"].window == "w1"
    assert said.count("trained before: taking that up") == 1
