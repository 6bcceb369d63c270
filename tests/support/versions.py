"""Real model versions for serving tests: saved by MLflow, uploaded to a real MLflow server, each telling its number."""

from __future__ import annotations

import dataclasses
import logging
import tempfile
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import contracts
from chassis.digests import digest_tree
from contracts import Cause, GatePassed, Mode, Outcome, Promoted, RolloutChanged, Stage, TriedVersion
from forms import Column, RecordedPredictions, ServingArtifact, choose, dumps
from serving.inference.mlflow_model import load
from serving.policy.versions import Artifact

FEATURES = pd.DataFrame({"distance": [500.0, 1500.0, 900.0, 2000.0], "carrier": ["UA", "AA", "UA", "DL"]})
LATE = [0, 1, 0, 1]
ROW = {"distance": 700.0, "carrier": "UA"}
ROLES = {"problem": "binary", "classes": [0, 1], "entity": "tailnum", "event_time": "departed", "label": "late"}


@dataclass(frozen=True)
class Version:
    """A version's artifact; as the events name it."""

    model_name: str
    model_version: int
    uri: str
    digest: str
    beside: contracts.ServingArtifact | None = None
    output: contracts.OutputFormat | None = None

    def promoted(self, epoch: int) -> Promoted:
        return Promoted(
            model_name=self.model_name,
            model_version=self.model_version,
            epoch=epoch,
            artifact_uri=self.uri,
            artifact_digest=self.digest,
            cause=Cause.GATE,
            actor="test",
            serving_artifact=self.beside,
            output=self.output,
        )

    def gate_passed(self) -> GatePassed:
        return GatePassed(
            model_name=self.model_name,
            model_version=self.model_version,
            candidate_id=f"{self.model_name}-{self.model_version}",
            outcome=Outcome.PASSED,
            reason="test",
            artifact_uri=self.uri,
            artifact_digest=self.digest,
            policy_digest="none",
            serving_artifact=self.beside,
            output=self.output,
        )

    def rollout(
        self,
        revision: int,
        *,
        champion_epoch: int,
        mode: Mode = Mode.SHADOW,
        rollout_id: str | None = None,
        **more: Any,
    ) -> RolloutChanged:
        """This version is tried beside the champion of `champion_epoch`; `more` are fields of RolloutChanged."""
        stage = {Mode.SHADOW: Stage.SHADOW, Mode.SPLIT: Stage.CANARY, Mode.OFF: Stage.APPROVAL}[mode]
        told = {
            "model_name": self.model_name,
            "rollout_id": rollout_id or f"{self.model_name}-{self.model_version}",
            "revision": revision,
            "stage": stage,
            "step": revision,
            "mode": mode,
            "salt": "salt",
            "champion_version": 1,
            "champion_epoch": champion_epoch,
            "tried": TriedVersion(
                model_version=self.model_version,
                artifact_uri=self.uri,
                artifact_digest=self.digest,
                serving_artifact=self.beside,
                output=self.output,
            ),
            "began_at": datetime.now(UTC),
            "actor": "test",
            "reason": "test",
        }
        return RolloutChanged.model_validate(told | more)


def score_of(model_version: int) -> float:
    """What `telling_its_version` answers to every row."""
    return model_version / 1000


def telling_its_version(model_version: int) -> DummyClassifier:
    score = score_of(model_version)
    return DummyClassifier(strategy="prior").fit(FEATURES.iloc[:2], [0, 1], sample_weight=[1 - score, score])


def large(model_version: int, megabytes: int) -> DummyClassifier:
    """It tells its version, and takes so much memory and disk."""
    estimator = telling_its_version(model_version)
    estimator.ballast_ = np.full(megabytes * 2**17, float(model_version))
    return estimator


def pipeline(unknown: str = "ignore") -> Any:
    """A model that raises on missing numbers; and on unknown carriers, with `unknown` "error"."""
    columns = make_column_transformer((OneHotEncoder(handle_unknown=unknown), ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(FEATURES, LATE)


def save(estimator: Any, folder: Path, *, example: pd.DataFrame = FEATURES, roles: Any = ROLES, **options: Any) -> str:
    """Save `estimator` as the trainer does; returns the digest."""
    if "signature" not in options:
        options["signature"] = infer_signature(example, estimator.predict_proba(example))
    options = {
        "pyfunc_predict_fn": "predict_proba",
        "input_example": example,
        "pip_requirements": ["scikit-learn"],
        "metadata": {"gauntlet": roles} if roles else None,
        "serialization_format": "cloudpickle",
        **options,
    }
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(estimator, folder, **options)
    return digest_tree(folder)


def serving_artifact(folder: Path, rows: pd.DataFrame) -> ServingArtifact:
    """What the gate makes of the saved model: its form, and `rows` with the answers to them."""
    model = load(Artifact("made", 1, ""), folder)
    records: list[dict[str, Any]] = rows.to_dict("records")
    table = model.reader.read(records, len(records))
    outcome = model.predict(table)
    columns = [Column(column.name, column.kind) for column in model.signature.columns]
    choice = choose(
        model.pyfunc, columns, lambda some: model.prediction(model.signature.columns, some).raw, list(table.values)
    )
    return ServingArtifact(dumps(choice), RecordedPredictions(records, outcome.answers))


class Uploads:
    """Puts versions into one run of a real MLflow server."""

    def __init__(self, tracking_uri: str) -> None:
        self._client = MlflowClient(tracking_uri)
        self._run = self._client.create_run("0").info.run_id

    def version(
        self,
        model_name: str,
        model_version: int,
        estimator: Any = None,
        *,
        golden: pd.DataFrame | None = None,
        **options: Any,
    ) -> Version:
        """With `golden` rows it has a serving artifact, as the gate would make it."""
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            digest = save(estimator or telling_its_version(model_version), model, **options)
            version = self.folder(model_name, model_version, model, digest)
            return version if golden is None else self.compiled(version, model, golden)

    def compiled(self, version: Version, model: Path, golden: pd.DataFrame) -> Version:
        """Return the version with a serving artifact, as the gate would make it of its files."""
        with tempfile.TemporaryDirectory() as folder:
            serving_artifact(model, golden).write(Path(folder))
            path = f"{version.model_name}-{version.model_version}-serving"
            self._client.log_artifacts(self._run, folder, path)
            made = contracts.ServingArtifact(uri=f"runs:/{self._run}/{path}", digest=digest_tree(Path(folder)))
            return dataclasses.replace(version, beside=made)

    def folder(self, model_name: str, model_version: int, folder: Path, digest: str) -> Version:
        path = f"{model_name}-{model_version}"
        self._client.log_artifacts(self._run, str(folder), path)
        return Version(model_name, model_version, f"runs:/{self._run}/{path}", digest)
