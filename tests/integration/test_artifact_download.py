"""Artifacts come from a real MLflow whole, and equal under each of the names that MLflow has for them."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc import PythonModel, log_model
from mlflow.tracking import MlflowClient

from chassis.digests import digest_tree
from chassis.errors import NotFound, Transient
from chassis.registry import Registry
from support.mlflow_server import MlflowServer


class Echo(PythonModel):  # type: ignore[misc]
    def predict(self, context: object, model_input: pd.DataFrame, params: object = None) -> pd.DataFrame:
        return model_input


def test_a_model_has_one_digest_by_id_by_run_and_by_version(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    registry = Registry(mlflow_server.uri)
    mlflow.set_tracking_uri(mlflow_server.uri)
    frame = pd.DataFrame({"a": [1.0]})
    with mlflow.start_run() as run:
        log_model(
            name="model",
            python_model=Echo(),
            signature=infer_signature(frame, frame),
            registered_model_name="digests",
            pip_requirements=["mlflow"],
        )
    version = max(item.version for item in registry.versions("digests"))
    source = MlflowClient(mlflow_server.uri).get_model_version("digests", str(version)).source
    uris = [source, f"runs:/{run.info.run_id}/model", f"models:/digests/{version}"]
    folders = [registry.download(uri, tmp_path / str(number)) for number, uri in enumerate(uris)]
    assert all((folder / "MLmodel").is_file() for folder in folders)
    assert len({digest_tree(folder) for folder in folders}) == 1
    assert registry.download(source, tmp_path / "0") == folders[0], "fetching again replaces what was there"


def test_a_model_is_asked_for_at_the_server_of_the_registry_whatever_the_process_has_as_default(
    mlflow_server: MlflowServer, tmp_path: Path
) -> None:
    registry = Registry(mlflow_server.uri)
    mlflow.set_tracking_uri(mlflow_server.uri)
    with mlflow.start_run():
        made = log_model(name="model", python_model=Echo(), registered_model_name="elsewhere", pip_requirements=[])
    version = registry.versions("elsewhere")[-1].version
    mlflow.set_tracking_uri((tmp_path / "none").as_uri())
    for number, uri in enumerate((f"models:/{made.model_id}", f"models:/elsewhere/{version}")):
        folder = registry.download(uri, tmp_path / f"default{number}")
        assert folder.name == "model" and (folder / "MLmodel").is_file()


def test_an_artifact_that_is_not_there_is_not_found(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    registry = Registry(mlflow_server.uri)
    for uri in ("models:/nosuchmodel/1", "models:/m-00000000000000000000000000000000", "runs:/nosuchrun/model"):
        with pytest.raises(NotFound):
            registry.download(uri, tmp_path / "missing")
    assert not list((tmp_path / "missing").iterdir()), "nothing half fetched is left"


def test_what_was_never_there_is_said_in_a_sentence(mlflow_server: MlflowServer, tmp_path: Path) -> None:
    """Not in MLflow's, which suspects the path; and it is not waited for as if MLflow were away."""
    stores = f"{tmp_path}/given, {mlflow_server.uri}"
    registry, client = Registry(mlflow_server.uri, allowed_uris=stores), MlflowClient(mlflow_server.uri)
    run = client.create_run("0").info.run_id
    for uri, says in {
        f"runs:/{run}/datasets/evaluation.parquet": f"run {run} has no artifact 'datasets/evaluation.parquet'",
        f"runs:/{run}/model": f"run {run} has no artifact 'model'",
        f"mlflow-artifacts:/0/{run}/artifacts/model": f"there is nothing at mlflow-artifacts:/0/{run}/artifacts/model",
        f"mlflow-artifacts:/0/{run}/artifacts/a/b.parquet": "there is nothing at mlflow-artifacts:/0/",
        f"{tmp_path}/given/nowhere.parquet": f"there is nothing at {tmp_path}/given/nowhere.parquet",
        f"{mlflow_server.uri}/rows.parquet": "is no address that MLflow can download from",
    }.items():
        with pytest.raises(NotFound) as caught:
            registry.download(uri, tmp_path / "missing")
        assert str(caught.value).startswith(says) or says in str(caught.value), uri
        assert "ensure" not in str(caught.value)


def test_an_mlflow_that_is_away_is_not_taken_for_a_missing_file(tmp_path: Path) -> None:
    for uri in ("runs:/" + "0" * 32 + "/model", "mlflow-artifacts:/0/x/artifacts/model"):
        with pytest.raises(Transient):
            Registry("http://127.0.0.1:9").download(uri, tmp_path / "missing")
