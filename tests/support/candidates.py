"""Real model versions for gatekeeper tests: good, better, worse and broken ones, in a real MLflow, with golden rows."""

from __future__ import annotations

import json
import logging
import tempfile
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

from chassis.digests import digest_file, digest_tree
from chassis.row_keys import TrainedOn
from contracts import Dataset, ModelRegistered

ROLES = {"problem": "binary", "classes": [0, 1], "entity": "who", "event_time": "at", "label": "late"}
FEATURES = ["a", "b"]
ROWS = 1500

MLMODEL = """\
flavors:
  python_function: {loader_module: candidate, code: code, data: data}
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "double", "name": "b", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
metadata: {gauntlet: {problem: binary, classes: [0, 1], entity: who, event_time: at, label: late}}
"""

ANYONES = "anyone's"
"""A kind that was logged without Gauntlet: no datasets, no lineage."""

CODE = {
    ANYONES: "return 1 / (1 + np.exp(-(1.5 * frame['a'] + frame['b'])))",
    "worse": "return 1 / (1 + np.exp(-frame['b'] * 0.3 - np.cos(40 * frame['a'])))",
    "backwards": "return 1 / (1 + np.exp(1.5 * frame['a'] + frame['b']))",
    "raising": "raise KeyError('carrier')",
    "hanging": "time.sleep(600)",
    "dying": "os._exit(1)",
    "random": "return np.random.default_rng().random(len(frame))",
    "nan": "return np.full(len(frame), np.nan)",
}


def rows(seed: int) -> pd.DataFrame:
    """Those of another seed are of another month."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(ROWS, 2)), columns=FEATURES)
    frame["late"] = (random.random(ROWS) < 1 / (1 + np.exp(-(1.5 * frame["a"] + frame["b"])))).astype(int)
    frame["who"] = [f"N{number % 300}" for number in range(ROWS)]
    frame["at"] = pd.date_range(f"2013-{seed:02}-01", periods=ROWS, freq="min", tz="UTC")
    return frame


@dataclass(frozen=True)
class Kind:
    """A model that was uploaded once; any number of versions may be made of it."""

    run_id: str
    uri: str
    lineage: dict[str, Any]


class Candidates:
    """Uploads each kind once to one MLflow server, and registers versions of it under any name."""

    def __init__(self, tracking_uri: str, folder: Path) -> None:
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        self.client = MlflowClient(tracking_uri)
        self._folder = folder
        self._kinds: dict[str, Kind] = {}
        self._models: set[str] = set()
        self._golden = folder / "evaluation.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        self._keys = folder / "training_keys.parquet"
        rows(seed=2).to_parquet(self._golden, index=False)
        TrainedOn.of(rows(seed=1), FEATURES, "who", "at").write(self._keys)

    def kind(self, name: str, code: str | None = None) -> Kind:
        """`fair` and `good` are scikit-learn models; the others are lines of Python, as is `code`."""
        if name not in self._kinds:
            self._kinds[name] = self._upload(name, code)
        return self._kinds[name]

    def version(self, model_name: str, kind: str, *, code: str | None = None, **changes: Any) -> ModelRegistered:
        """A new version in MLflow, and the event that tells of it. `changes` are to the event only."""
        made = self.kind(kind, code)
        if model_name not in self._models:
            self.client.create_registered_model(model_name)
            self._models.add(model_name)
        version = self.client.create_model_version(model_name, source=made.uri, run_id=made.run_id)
        said = {**made.lineage, "model_name": model_name, "model_version": int(version.version), **changes}
        return ModelRegistered.model_validate(said)

    def golden(self, frame: pd.DataFrame) -> dict[str, Any]:
        """A golden dataset of its own, for `version(evaluation=…)`."""
        path = Path(tempfile.mkdtemp(dir=self._folder)) / "evaluation.parquet"
        frame.to_parquet(path, index=False)
        return self._dataset(self.client.create_run("0").info.run_id, path)

    def aliases(self, model_name: str) -> dict[str, int]:
        found = self.client.get_registered_model(model_name).aliases
        return {alias: int(version) for alias, version in found.items()}

    def tags(self, model_name: str, model_version: int) -> dict[str, str]:
        return dict(self.client.get_model_version(model_name, str(model_version)).tags)

    def _upload(self, name: str, code: str | None) -> Kind:
        folder = Path(tempfile.mkdtemp(dir=self._folder)) / "model"
        if name in ("fair", "good"):
            _save_sklearn(folder, FEATURES[:1] if name == "fair" else FEATURES)
        else:
            _save_code(folder, code or CODE[name])
        run = self.client.create_run("0").info.run_id
        self.client.log_artifacts(run, str(folder), "model")
        self.client.set_terminated(run)  # as a run of the fluent API ends; artifacts and tags may still be added
        if name == ANYONES:
            return Kind(run, f"runs:/{run}/model", {})
        dataset, keys = (self._dataset(run, path) for path in (self._golden, self._keys))
        lineage = {
            "run_id": run,
            "artifact_uri": f"runs:/{run}/model",
            "artifact_digest": digest_tree(folder),
            "code_version": "abc123",
            "training": {**keys, "window": "training"},
            "training_keys": keys,
            "evaluation": dataset,
            "reference": {**dataset, "window": "reference"},
        }
        self.client.set_tag(run, "gauntlet.lineage", json.dumps({"model_name": name, **lineage}))
        return Kind(run, f"runs:/{run}/model", lineage)

    def _dataset(self, run: str, path: Path) -> dict[str, Any]:
        self.client.log_artifact(run, str(path), "datasets")
        uri = f"runs:/{run}/datasets/{path.name}"
        return Dataset(uri=uri, digest=digest_file(path), rows=ROWS, window=path.stem).model_dump()


def _save_sklearn(folder: Path, features: list[str]) -> None:
    training = rows(seed=1)
    estimator = LogisticRegression().fit(training[features], training["late"])
    example = training[features].head(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            estimator,
            folder,
            pyfunc_predict_fn="predict_proba",
            signature=infer_signature(example, estimator.predict_proba(example)),
            input_example=example,
            pip_requirements=["scikit-learn"],
            metadata={"gauntlet": ROLES},
            serialization_format="cloudpickle",
        )


def _save_code(folder: Path, predict: str) -> None:
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "data" / "nothing").touch()
    (folder / "MLmodel").write_text(MLMODEL)
    lines = ["import os, time", "import numpy as np", "class Model:", "    def predict(self, frame):"]
    lines += [textwrap.indent(textwrap.dedent(predict), " " * 8), "def _load_pyfunc(path):", "    return Model()"]
    (folder / "code" / "candidate.py").write_text("\n".join(lines))
