"""Judge models that real MLflow saved, in a real sandbox, on golden rows in any file: the verdict of each gate."""

from __future__ import annotations

import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow.sklearn
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from mlflow.models import infer_signature

from chassis.digests import digest_file, digest_tree
from chassis.registry import RegisteredVersion
from contracts import Dataset, GateVerdict, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.sandbox.sandbox import Sandbox
from support.evidence_world import Kept

GATES: dict[str, Any] = {
    "latency": {"p95_ms": 5000, "load_seconds": 100},
    "leakage": {"unknown": "pass"},
    "integrity": {"dependencies": "ignore"},
}


class Bench:
    """A folder that stands for MLflow's artifacts; `measurements` are those of the last verdict."""

    measurements: Measurements

    def __init__(self, root: Path, sandbox: Sandbox, *, proves_form: bool = False, **policy: Any) -> None:
        self.registry = Kept(root / "mlflow")
        gates = {**GATES, **policy.pop("gates", {})}
        self.policy = ModelPolicy.model_validate({"model": "m", "gates": gates, **policy})
        artifacts = Artifacts(root / "cache", self.registry, 1000)  # type: ignore[arg-type]
        predictions = PredictionCache(root / "predictions")
        self.evaluator = Evaluator(artifacts, predictions, sandbox, timing_seconds=1, proves_form=proves_form)

    def folder(self, name: str) -> Path:
        """Where the model of this name is saved."""
        found = self.registry.root / name
        found.parent.mkdir(parents=True, exist_ok=True)
        return found

    def sklearn(self, name: str, model: Any, features: pd.DataFrame, **more: Any) -> None:
        """Save a fitted classifier with scores, with the signature of `features`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mlflow.sklearn.save_model(
                model,
                self.folder(name),
                pyfunc_predict_fn="predict_proba",
                pip_requirements=["scikit-learn"],
                serialization_format="cloudpickle",
                **{
                    "signature": infer_signature(features, model.predict_proba(features)),
                    "metadata": {"gauntlet": {"label": "late", "classes": [0, 1]}},
                    **more,
                },
            )

    def golden(self, rows: pd.DataFrame | pa.Table, **options: Any) -> Dataset:
        """Golden rows as pandas or Arrow writes them."""
        path = self.folder("golden.parquet")
        if isinstance(rows, pa.Table):
            pq.write_table(rows, path)
        else:
            rows.to_parquet(path, **options)
        return Dataset(uri="golden.parquet", digest=digest_file(path))

    def champion(self, name: str) -> Champion:
        return Champion(1, 1, name, digest_tree(self.folder(name)))

    def verdicts(self, name: str, golden: Dataset, champion: str | None = None) -> dict[str, GateVerdict]:
        event = ModelRegistered(
            model_name="m", model_version=2, run_id="r", artifact_uri=name, code_version="c", evaluation=golden
        )
        version = RegisteredVersion("m", 2, "r", name, datetime.now(UTC), {})
        found = Provenance(event, version, run_found=True, training_digest="sha256:aa")
        task = EvaluationTask(found, self.policy, self.champion(champion) if champion else None)
        self.measurements = self.evaluator.measure(task, threading.Event(), lambda share, what: None)
        return {verdict.gate: verdict for verdict in run_gates(self.measurements, self.policy)}
