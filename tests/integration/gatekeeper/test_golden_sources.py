"""Golden rows where people leave them in a run of a real MLflow: files, inputs, tables of an evaluation."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.models.evaluation.base import EvaluationResult
from sklearn.linear_model import LogisticRegression

from chassis.registry import Registry
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance, trace
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.evidence import reference
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.sandbox.sandbox import Sandbox
from support.mlflow_server import MlflowServer

N = 400
GATES = {"leakage": {"unknown": "pass"}, "integrity": False, "latency": False}


def rows() -> pd.DataFrame:
    random = np.random.default_rng(11)
    frame = pd.DataFrame(random.normal(size=(N, 2)), columns=["a", "b"])
    frame["late"] = (random.random(N) < 1 / (1 + np.exp(-3 * frame["a"]))).astype(int)
    frame["who"] = [f"N{number % 80}" for number in range(N)]
    return frame


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield shared
    shared.close()


class Notebook:
    """Logs a model in a run as a notebook does, and has it judged; `leave` puts golden rows somewhere in the run."""

    def __init__(self, uri: str, folder: Path, sandbox: Sandbox) -> None:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.uri, self.folder = uri, folder
        self.registry = Registry(uri, allowed_uris=str(folder))
        artifacts = Artifacts(folder / "cache", self.registry, 100)
        predictions = PredictionCache(folder / "predictions")
        self.evaluator = Evaluator(artifacts, predictions, sandbox, 1, proves_form=False)
        path = folder / "golden.parquet"
        rows().to_parquet(path)
        self.path = str(path)

    def logged(self, name: str, leave: Any) -> Provenance:
        mlflow.set_tracking_uri(self.uri)
        features, label = rows()[["a", "b"]], rows()["late"]
        model = LogisticRegression().fit(features, label)
        with warnings.catch_warnings(), mlflow.start_run():
            warnings.simplefilter("ignore")
            made = mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(features, model.predict_proba(features)),
                pyfunc_predict_fn="predict_proba",
                pip_requirements=["scikit-learn"],
                serialization_format="cloudpickle",
                registered_model_name=name,
            )
            leave(self, made.model_uri)
        return trace(self.registry, ModelRegistered(model_name=name, model_version=1))

    def judged(self, found: Provenance, **policy: Any) -> tuple[Measurements, dict[str, str]]:
        settings = {"model": found.event.model_name, "label": "late", "gates": GATES, **policy}
        task = EvaluationTask(found, ModelPolicy.model_validate(settings))
        measured = self.evaluator.measure(task, threading.Event(), lambda share, what: None)
        verdicts = run_gates(measured, task.policy)
        return measured, {verdict.gate: f"{verdict.outcome.value}: {verdict.reason}" for verdict in verdicts}


@pytest.fixture(scope="module")
def notebook(mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Notebook:
    return Notebook(mlflow_server.uri, tmp_path_factory.mktemp("notebook"), sandbox)


def file_of_the_run(notebook: Notebook, model_uri: str) -> None:
    evaluation = notebook.folder / "evaluation.parquet"
    rows().set_index("who").to_parquet(evaluation)
    mlflow.log_artifact(str(evaluation), "datasets")


def input_of(context: str, **more: Any) -> Any:
    def leave(notebook: Notebook, model_uri: str) -> None:
        training = mlflow.data.from_pandas(rows(), source=notebook.path, targets="late", name="train")
        golden = mlflow.data.from_pandas(rows(), source=notebook.path, targets="late", name="june")
        mlflow.log_input(training, context="training")
        mlflow.log_input(golden, context=context, **more)

    return leave


def evaluated(notebook: Notebook, model_uri: str) -> None:
    golden = mlflow.data.from_pandas(rows()[["a", "b", "late"]], source=notebook.path, targets="late", name="june")
    mlflow.models.evaluate(model_uri, golden, model_type="regressor", evaluator_config={"log_explainer": False})


def evaluated_with_scores(notebook: Notebook, model_uri: str) -> None:
    """Only metrics that have a score per row leave a table."""

    def off(predictions: Any, targets: Any) -> Any:
        found = [float(abs(one - other)) for one, other in zip(predictions, targets, strict=True)]
        return mlflow.metrics.MetricValue(scores=found, aggregate_results={"mean": float(np.mean(found))})

    metric = mlflow.metrics.make_metric(eval_fn=off, greater_is_better=False, name="off")
    frame = rows()[["a", "b", "late"]].assign(predicted=0.5)
    found: EvaluationResult = mlflow.models.evaluate(
        data=frame, targets="late", predictions="predicted", extra_metrics=[metric], evaluators="default"
    )
    assert "eval_results_table" in found.tables


PLACES = {
    "file": (file_of_the_run, "datasets/evaluation.parquet of its run"),
    "evaluation": (input_of("evaluation"), "dataset 'june' logged as evaluation ("),
    "test": (input_of("test"), "dataset 'june' logged as test ("),
    "evaluated": (evaluated, "dataset 'june' that mlflow.models.evaluate was run on ("),
    "scores": (evaluated_with_scores, "eval_results_table.json of its run (mlflow.models.evaluate)"),
}


@pytest.mark.parametrize("place", PLACES)
def test_golden_rows_of_the_run_are_found_and_the_verdict_names_them(notebook: Notebook, place: str) -> None:
    leave, where = PLACES[place]
    found = notebook.logged(f"golden-{place}", leave)
    assert found.event.evaluation is not None and found.event.evaluation.rows == N, found.golden_tried
    measured, said = notebook.judged(found)
    assert said["performance"].startswith("Passed: "), said
    assert measured.golden_source is not None and measured.golden_source.where.startswith(where)
    assert measured.golden is not None and measured.golden.label == "late"
    np.testing.assert_array_equal(measured.golden.truth, rows()["late"])


def test_the_columns_may_be_named_by_tags_of_the_input(notebook: Notebook) -> None:
    leave = input_of("evaluation", tags={"gauntlet.label": "late", "gauntlet.entity": "who"})
    measured, said = notebook.judged(notebook.logged("golden-tags", leave), label=None)
    assert said["performance"].startswith("Passed: "), said
    assert measured.golden is not None and measured.golden.entity == "who"


def test_where_nothing_is_found_it_says_where_it_looked_and_what_supplies_it(notebook: Notebook) -> None:
    def leave(notebook: Notebook, model_uri: str) -> None:
        """MLflow keeps one dataset of a name and a content per experiment, with the source that it had first."""
        mlflow.log_input(mlflow.data.from_pandas(rows(), name="nowhere"), context="evaluation")
        relative = mlflow.data.from_pandas(rows(), source="golden.parquet", name="relative")
        mlflow.log_input(relative, context="test")
        mlflow.log_input(mlflow.data.from_pandas(rows(), source=notebook.path, name="chosen"), context="validation")

    _, said = notebook.judged(notebook.logged("golden-none", leave))
    assert said["performance"] == (
        "Inconclusive: there are no golden rows: the version registered none; its run has no"
        " datasets/evaluation.parquet; the source of dataset 'nowhere' logged as evaluation is 'code', and no file:"
        ' mlflow.data.from_pandas(…, source="/path/of/rows.parquet") names one; the source of dataset'
        " 'relative' logged as test is 'golden.parquet', relative to a folder that MLflow does not record: name it in"
        " full; its run has no eval_results_table.json of mlflow.models.evaluate; and none were created: gauntlet"
        " golden create golden-none FILE --label COLUMN"
    )


def reference_of_the_run(notebook: Notebook, model_uri: str) -> None:
    features = notebook.folder / "reference.parquet"
    rows()[["a", "b"]].head(300).to_parquet(features)
    mlflow.log_artifact(str(features), "datasets")
    input_of("evaluation")(notebook, model_uri)


REFERENCES = {"training": (input_of("evaluation"), N), "file": (reference_of_the_run, 300)}


@pytest.mark.parametrize("place", REFERENCES)
def test_training_rows_that_mlflow_has_become_the_reference_of_a_version_without_one(
    notebook: Notebook, place: str
) -> None:
    leave, number = REFERENCES[place]
    found = notebook.logged(f"reference-{place}", leave)
    measured, _ = notebook.judged(found)
    kept = EvidenceStore(notebook.folder / "evidence", notebook.registry)
    dataset = reference.completed(found.event, measured, notebook.registry, kept)
    assert dataset is not None and dataset.rows == number
    frame = pd.read_parquet(notebook.registry.download(dataset.uri, notebook.folder / place))
    pd.testing.assert_frame_equal(frame, rows()[["a", "b"]].head(number))
    registered = found.event.model_copy(update={"reference": Dataset(uri="runs:/r/own", digest=dataset.digest)})
    assert reference.completed(registered, measured, notebook.registry, kept) == registered.reference


def test_training_rows_that_are_no_file_are_no_reference(notebook: Notebook) -> None:
    def leave(notebook: Notebook, model_uri: str) -> None:
        mlflow.log_input(mlflow.data.from_pandas(rows().head(9), targets="late", name="in memory"), context="training")

    found = notebook.logged("reference-none", leave)
    measured, _ = notebook.judged(found)
    kept = EvidenceStore(notebook.folder / "evidence", notebook.registry)
    assert reference.completed(found.event, measured, notebook.registry, kept) is None
