"""A candidate as the gatekeeper would have measured it, with MLflow's files in a folder: for evidence and reports."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chassis.digests import digest_file
from chassis.errors import NotFound
from chassis.mlmodel import MLmodel
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.gates import integrity
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.replay import Replayer
from gatekeeper.sandbox.probe import Probe

ROLES = {"label": "late", "entity": "who", "event_time": "at"}
MODEL = MLmodel(True, ("a", "origin"), (0, 1), ROLES, '["double"]')
POLICY = ModelPolicy.model_validate(
    {
        "model": "m",
        "entity": "who",
        "gates": {
            "slices": {"columns": ["origin"]},
            "fairness": {"columns": ["origin"], "limit": 0.9},
            "robustness": {"rows": 500},
            "dependents": {"consumers": [{"name": "c", "threshold": 0.5, "chain_metric": "f1"}]},
        },
    }
)

SOURCE = golden_rows.GoldenSource("the evaluation dataset")


class Kept:
    """MLflow's artifacts and runs, as files in a folder: what is uploaded can be downloaded."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uploads: list[str] = []

    def own_run(self, experiment: str, key: str) -> str:
        return f"{experiment}-{key}"

    def upload(self, run_id: str, path: Path, folder: str) -> str:
        uri = f"runs:/{run_id}/{folder}/{path.name}"
        target = self.root / uri.replace(":", "")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
        self.uploads.append(path.name)
        return uri

    def download(self, uri: str, into: Path) -> Path:
        source = self.root / uri.replace(":", "")
        if not source.exists():
            raise NotFound(f"{uri} is not there")
        target = into / source.name
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.write_bytes(source.read_bytes())
        return target


class World:
    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.registry = Kept(folder / "mlflow")
        self.store = EvidenceStore(folder / "evidence", self.registry)  # type: ignore[arg-type]
        self.artifacts = Artifacts(folder / "cache", self.registry, 100)  # type: ignore[arg-type]
        self.replayer = Replayer(self.artifacts, self.store)
        random = np.random.default_rng(seed)
        n = 1500
        frame = pd.DataFrame({"a": random.normal(size=n), "origin": random.choice(["JFK", "LGA"], n)})
        frame["late"] = (random.random(n) < 1 / (1 + np.exp(-frame["a"]))).astype(int)
        frame["who"] = [f"N{number % 400}" for number in range(n)]
        frame["at"] = pd.date_range("2013-03-01", periods=n, freq="min", tz="UTC")
        path = folder / "golden.parquet"
        frame.to_parquet(path, index=False)
        uri = self.registry.upload("r", path, "datasets")
        self.dataset = Dataset(uri=uri, digest=digest_file(path), rows=n)
        self.rows = golden_rows.read(path, MODEL, POLICY, SOURCE)
        self.random = random

    def scores(self) -> np.ndarray:
        noise = self.random.normal(0, 0.1, len(self.rows.truth))
        return np.clip(0.35 + 0.3 * self.rows.truth + 0.1 * self.rows.rows["a"].to_numpy() + noise, 0.001, 0.999)

    def measurements(self, **changes: Any) -> Measurements:
        mine, champions = self.scores(), self.scores()
        n = len(mine)
        chosen = golden_rows.chosen_rows(n, 500)
        known = {
            "version_found": True,
            "run_found": True,
            "training_digest": "sha256:aa",
            "champion": Champion(1, 1, "runs:/r/old", "sha256:bb"),
            "k": 3,
            "artifact_digest": "sha256:cc",
            "description": MODEL,
            "champion_description": MODEL,
            "golden": self.rows,
            "golden_source": SOURCE,
            "golden_digest": self.dataset.digest,
            "golden_uri": self.dataset.uri,
            "evaluation_digest": self.dataset.digest,
            "integrity": integrity.Facts(files=(integrity.File("model.pkl", "pickle", True, ("a.b",)),)),
            "overlap": Overlap(rows=10, masks={"exact": np.zeros(n, bool)}, shared={"exact": 0.0}, later=True),
            "champion_overlap": Overlap(
                rows=10, masks={"exact": np.arange(n) < 300, "rounded": np.arange(n) < 310}, later=False
            ),
            "dirty_rows": chosen,
            "probe": Probe(
                load_seconds=0.123456789,
                example_rows=3,
                first=mine[:3],
                second=mine[:3],
                golden=mine,
                dirty={"noise": np.clip(mine[chosen] * 0.97, 0, 1)},
                dirty_faults={"missing": "ValueError: no NaN"},
                seconds=tuple(self.random.random(50) / 1000),
                batch_seconds=tuple(self.random.random(40) / 100),
                batch_rows=100,
            ),
            "champion_answers": Predictions((champions >= 0.5).astype(np.int64), champions),
        }
        event = ModelRegistered(model_name="m", model_version=2, run_id="r", code_version="c", evaluation=self.dataset)
        return Measurements(event, "binary", **{**known, **changes})

    def written(self, measurements: Measurements, policy: ModelPolicy = POLICY) -> dict[str, Any]:
        with self.store.writing("m") as keep:
            document = evidence.write(measurements, policy, keep)
        return json.loads(json.dumps(document, allow_nan=False))

    def blind(self) -> Probe:
        """What a candidate says that knows nothing."""
        guesses = self.random.random(len(self.rows.truth))
        return Probe(load_seconds=0.1, example_rows=3, first=guesses[:3], second=guesses[:3], golden=guesses)
