"""MLflow: a training as a run, its model as a version; each job registers one version, however often it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.sklearn
from mlflow import MlflowClient
from mlflow.entities import Dataset as MlflowDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, LoggedModelStatus, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from numpy import dtype

from chassis.digests import digest_tree
from chassis.errors import NotFound, Permanent
from chassis.registry import RegisteredVersion, Registry, logged_metrics, mlflow_errors
from contracts import Dataset, ModelRegistered
from trainer.spec import TrainingSpec
from trainer.training.fit import KEYS, File, Say, TrainedModel, example_rows, roles

JOB_TAG = "gauntlet.job_id"
LINEAGE_TAG = "gauntlet.lineage"
"""On a run: ModelRegistered as JSON; without model_version between the end of the run and its registration."""

MLFLOW_DIGEST = 36
"""Most characters of MLflow's dataset digests."""

UPLOAD_SECONDS = 60
"""MLflow responds to an upload once the file is stored, which is slow for a large model on an object store."""

LOGGED_MODEL = "models:/"

Lineage = Mapping[str, Any]


class Publisher:
    """Registers the model of one job, or of an earlier run."""

    def __init__(self, spec: TrainingSpec, say: Say) -> None:
        self._spec = spec
        self._task = spec.task
        self._say = say
        self._registry = Registry(spec.tracking_uri, timeout_seconds=UPLOAD_SECONDS, allowed_uris=spec.allowed_uris)
        self._client = self._registry.client

    def registered_before(self) -> ModelRegistered | None:
        """Return the version that an earlier, interrupted run of this job registered."""
        with mlflow_errors(self._spec.tracking_uri):
            versions = self._of_this_job()
            return self._told(versions[0]) if versions else None

    def publish(self, made: TrainedModel, estimator: Any) -> ModelRegistered:
        """Log a complete run, then register its model."""
        with mlflow_errors(self._spec.tracking_uri):
            run = self._finished_run()
            if run is None:
                run = self._log(made, estimator)
            return self._register(run)

    def register_again(self, run_id: str) -> ModelRegistered:
        """Register an earlier run's model as a new version, with that run's metrics, datasets and lineage."""
        with mlflow_errors(self._spec.tracking_uri):
            run = self._run(run_id)
            if run.info.lifecycle_stage == "deleted":
                raise Permanent(f"run {run_id!r} is deleted; restore it in MLflow first (`mlflow runs restore`)")
            return self._register(run)

    def _log(self, made: TrainedModel, estimator: Any) -> Run:
        experiment = self._experiment()
        tags = {
            JOB_TAG: self._spec.job_id,
            "gauntlet.model_name": self._task.model_name,
            "gauntlet.code_version": made.code_version,
            "gauntlet.trigger": self._task.trigger.model_dump_json(),
        }
        self._say(0.7, "logging to MLflow")
        run = self._client.create_run(experiment, tags=tags, run_name=f"{self._task.model_name} {_windows(made)}")
        run_id = run.info.run_id
        self._registry.check_uri(f"runs:/{run_id}/datasets")  # somebody else may have made the experiment
        for file in made.datasets.values():
            self._client.log_artifact(run_id, str(file.path), "datasets")
        log_inputs(self._client, run_id, [_input(name, made) for name in made.datasets if name != KEYS])
        self._say(0.8, "logging the model")
        model_id, digest = self._log_model(made, estimator, experiment, run_id)
        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, 0, model_id=model_id) for name, value in made.metrics.items()]
        lineage = {
            "model_name": self._task.model_name,
            "run_id": run_id,
            "artifact_uri": f"models:/{model_id}",
            "artifact_digest": digest,
            "code_version": made.code_version,
            "metrics": made.metrics,
            "trigger": self._task.trigger.model_dump(mode="json"),
            **{name: _dataset(name, file, run_id).model_dump(mode="json") for name, file in made.datasets.items()},
        }
        self._client.log_batch(
            run_id,
            metrics=metrics,
            params=[Param(name, value) for name, value in list(made.params.items())[:100]],
            tags=[RunTag(LINEAGE_TAG, json.dumps(lineage))],
        )
        self._client.set_terminated(run_id, "FINISHED")
        return self._client.get_run(run_id)

    def _log_model(self, made: TrainedModel, estimator: Any, experiment: str, run_id: str) -> tuple[str, str]:
        """Log like `mlflow.sklearn.log_model`, without its trial run; return the model's id and its files' digest."""
        logged = self._client.create_logged_model(experiment, name=self._task.model_name, source_run_id=run_id)
        description = Model(
            artifact_path=logged.artifact_location, run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id
        )
        folder = self._spec.work_dir / logged.model_id
        mlflow.sklearn.save_model(
            estimator,
            str(folder),
            mlflow_model=description,
            serialization_format=mlflow.sklearn.SERIALIZATION_FORMAT_CLOUDPICKLE,
            signature=_signature(made),
            input_example=example_rows(made),
            pip_requirements=made.requirements,
            pyfunc_predict_fn="predict" if made.problem == "regression" else "predict_proba",
            metadata={"gauntlet": roles(made)},
        )
        self._client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        self._client.log_model_artifacts(logged.model_id, str(folder))
        self._client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
        return logged.model_id, digest_tree(folder)

    def _register(self, run: Run) -> ModelRegistered:
        lineage = self._lineage(run)
        owner = lineage.get("model_name", self._task.model_name)
        if owner != self._task.model_name:
            raise Permanent(f"run {run.info.run_id} holds a version of {owner!r}, not of {self._task.model_name!r}")
        self._say(0.9, "registering the version")
        name = self._task.model_name
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if not self._of_this_job():
            source: str = lineage["artifact_uri"]
            self._registry.check_uri(source)
            self._client.create_model_version(
                name,
                source=source,
                run_id=run.info.run_id,
                tags={JOB_TAG: self._spec.job_id},
                await_creation_for=0,
                model_id=source.removeprefix(LOGGED_MODEL) if source.startswith(LOGGED_MODEL) else None,
            )
        # If two processes got here at once, both keep the same version: the lowest.
        version, *surplus = self._of_this_job()
        for other in surplus:
            try:
                self._client.delete_model_version(name, str(other.version))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
        return self._told(version)

    def _of_this_job(self) -> list[RegisteredVersion]:
        versions = self._registry.versions(self._task.model_name)
        return [version for version in versions if version.tags.get(JOB_TAG) == self._spec.job_id]

    def _told(self, version: RegisteredVersion) -> ModelRegistered:
        """Return the event for the version. Its run may be another process's: the first version registered stands."""
        run = self._run(version.run_id or "")
        lineage = self._lineage(run)
        own = {
            "model_name": version.name,
            "model_version": version.version,
            "artifact_uri": version.source,
            "trigger": self._task.trigger.model_dump(mode="json"),
        }
        event = ModelRegistered.model_validate({**lineage, **own})
        if LINEAGE_TAG in run.data.tags and "model_version" not in lineage:
            self._client.set_tag(run.info.run_id, LINEAGE_TAG, event.model_dump_json())
        return event

    def _run(self, run_id: str) -> Run:
        try:
            return self._registry.run(run_id)
        except NotFound as error:
            raise Permanent(f"run {run_id!r} is not in MLflow at {self._spec.tracking_uri}: {error}") from error

    def _lineage(self, run: Run) -> Lineage:
        """Return the lineage logged on the run; for a run that is not ours, from MLflow's own records."""
        if LINEAGE_TAG in run.data.tags:
            lineage: Lineage = json.loads(run.data.tags[LINEAGE_TAG])
            return lineage
        return {
            "run_id": run.info.run_id,
            "artifact_uri": _model_uri(run),
            "code_version": run.data.tags.get("mlflow.source.git.commit"),
            "metrics": logged_metrics(run),
        }

    def _experiment(self) -> str:
        name = self._task.model_name
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return self._client.create_experiment(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise Permanent(f"MLflow's experiment {name!r} is deleted; restore it (`mlflow experiments restore`)")
        return str(found.experiment_id)

    def _finished_run(self) -> Run | None:
        """Return the complete run of an interrupted earlier attempt; mark incomplete attempts as killed."""
        query = f"tags.`{JOB_TAG}` = '{self._spec.job_id}'"
        runs = self._client.search_runs([self._experiment()], query)
        for run in runs:
            if run.info.status == "RUNNING":
                self._client.set_terminated(run.info.run_id, "KILLED")
        return next((run for run in runs if run.info.status == "FINISHED"), None)


def log_inputs(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    """Log inputs like MLflow, whose check-then-insert of a dataset rejects one of two concurrent calls."""
    try:
        client.log_inputs(run_id, datasets=inputs)
    except MlflowException as error:
        if error.error_code != "BAD_REQUEST":
            raise
        client.log_inputs(run_id, datasets=inputs)


def _signature(made: TrainedModel) -> ModelSignature:
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec("string" if name in made.categorical else "double", name) for name in made.features
    ]
    shape = (-1,) if made.problem == "regression" else (-1, len(made.classes))
    return ModelSignature(Schema(inputs), Schema([TensorSpec(dtype("float64"), shape)]))


def _dataset(name: str, file: File, run_id: str) -> Dataset:
    uri = f"runs:/{run_id}/datasets/{name}.parquet"
    return Dataset(uri=uri, digest=file.digest, rows=file.rows, window=file.window)


def _input(name: str, made: TrainedModel) -> DatasetInput:
    file = made.datasets[name]
    profile = json.dumps({"num_rows": file.rows, "window": file.window, "digest": file.digest})
    digest = file.digest.removeprefix("sha256:")[:MLFLOW_DIGEST]
    source = json.dumps({"uri": f"datasets/{Path(file.path).name}"})
    dataset = MlflowDataset(f"{name} {file.window}"[:500], digest, "local", source, profile=profile)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", name)])


def _windows(made: TrainedModel) -> str:
    return made.datasets["training"].window


def _model_uri(run: Run) -> str:
    outputs = run.outputs.model_outputs if run.outputs else []
    if outputs:
        return f"models:/{outputs[-1].model_id}"
    history = json.loads(run.data.tags.get("mlflow.log-model.history", "[]"))
    if history:
        return f"{run.info.artifact_uri}/{history[-1]['artifact_path']}"
    raise Permanent(f"run {run.info.run_id!r} has no logged model to register")
