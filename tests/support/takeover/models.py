"""Models that were trained elsewhere: logged by plain MLflow, as a notebook would, on rows that are made up."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

ROWS = 400
ANONYMOUS = {
    "mlflow.user": "ann",
    "mlflow.source.name": "notebook",
    "mlflow.source.git.commit": "0123456789abcdef0123456789abcdef01234567",
}
"""MLflow would note who and where it was recorded."""


def loans(seed: int, season: str) -> pd.DataFrame:
    """Whom a loan is not paid back by; in season `b` debt says the opposite of what it says in `a`."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(ROWS, 2)).round(2), columns=["income", "debt"])
    logit = -1.5 * frame["income"] + 0.9 * frame["debt"] * (1 if season == "a" else -1)
    return frame.assign(bad=(random.random(ROWS) < 1 / (1 + np.exp(-logit))).astype(int))


def prices(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame({"area": random.uniform(20, 120, ROWS).round(), "floor": random.integers(0, 9, ROWS) * 1.0})
    return frame.assign(price=(3 * frame["area"] - 5 * frame["floor"] + random.normal(0, 20, ROWS)).round(1))


def segments(seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(ROWS, 2)).round(2), columns=["age", "spend"])
    pull = frame["age"] + frame["spend"] + random.normal(0, 0.6, ROWS)
    return frame.assign(segment=np.select([pull < -0.7, pull < 0.7], ["bronze", "silver"], "gold"))


@dataclass(frozen=True)
class Kind:
    """One of the models: its label, its problem, and what a version of it is fitted by."""

    label: str
    problem: str
    classes: list[Any] | None = None

    @property
    def method(self) -> str:
        return "predict" if self.problem == "regression" else "predict_proba"


KINDS = {
    "loans": Kind("bad", "binary", [0, 1]),
    "prices": Kind("price", "regression"),
    "segments": Kind("segment", "multiclass", ["bronze", "gold", "silver"]),
}


def linear() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression())


def forest() -> Any:
    return RandomForestRegressor(n_estimators=6, max_depth=5, random_state=0, n_jobs=1)


def stump() -> Any:
    return DecisionTreeRegressor(max_depth=1)


def log(name: str, estimator: Any, training: pd.DataFrame, golden: pd.DataFrame | None, folder: Path) -> dict[str, Any]:
    """Fit, log and register a version; returns what there is to say of it in ModelRegistered."""
    kind = KINDS[name]
    features = [column for column in training.columns if column != kind.label]
    fitted = estimator.fit(training[features], training[kind.label])
    example = training[features].head(3)
    mlflow.set_experiment(name)
    with warnings.catch_warnings(), mlflow.start_run(tags=ANONYMOUS) as run:
        warnings.simplefilter("ignore")
        source = f"https://example.com/{name}.parquet"
        mlflow.log_input(mlflow.data.from_pandas(training, source=source, name=name), context="training")
        mlflow.log_artifact(str(_keys(training, kind.label, folder)), "datasets")
        logged = mlflow.sklearn.log_model(
            fitted,
            name="model",
            registered_model_name=name,
            pyfunc_predict_fn=kind.method,
            signature=infer_signature(example, getattr(fitted, kind.method)(example)),
            input_example=example,
            pip_requirements=["scikit-learn"],
            metadata={"gauntlet": {"problem": kind.problem, "classes": kind.classes, "label": kind.label}},
            serialization_format="cloudpickle",
        )
        said = {"model_name": name, "model_version": int(logged.registered_model_version), "run_id": run.info.run_id}
        if golden is not None:
            path = folder / "evaluation.parquet"
            golden.to_parquet(path, index=False)
            mlflow.log_artifact(str(path), "datasets")
            said["evaluation"] = {
                "uri": f"runs:/{run.info.run_id}/datasets/{path.name}",
                "digest": "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest(),
                "rows": len(golden),
            }
    return said


def _keys(training: pd.DataFrame, label: str, folder: Path) -> Path:
    rows, keys = folder / "training.parquet", folder / "training_keys.parquet"
    training.to_parquet(rows, index=False)
    command = [sys.executable, "-m", "gauntlet", "training-keys", str(rows), "--label", label, "--output", str(keys)]
    subprocess.run(command, check=True, capture_output=True)
    return keys
