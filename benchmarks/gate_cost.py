"""The cost of a verdict: `python -m benchmarks.gate_cost`.

A forest of about 100 MB and 20,000 golden rows through the real measuring, gates and evidence, every gate on; MLflow's
files are in a folder, so that its server is not measured. Then a hundred small candidates, each replayed.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from chassis.digests import digest_file, digest_tree
from chassis.registry import RegisteredVersion
from chassis.row_keys import TrainedOn
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Champion
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence import golden_predictions
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.replay import Replayer
from gatekeeper.sandbox.sandbox import Sandbox
from support.evidence_world import Kept
from support.versions import save

ROWS, FEATURES, REPLAYED = 20_000, 20, 100
NAMES = [f"f{number}" for number in range(FEATURES)]
POLICY = ModelPolicy.model_validate(
    {
        "model": "m",
        "entity": "who",
        "gates": {
            "performance": {"rule": "superior"},
            "slices": {"columns": ["f0"]},
            "robustness": {},
            "latency": {"p95_ms": 5000, "load_seconds": 60},
            "dependents": {},
        },
        "sandbox": {"seconds": 300, "memory_mb": 8192},
    }
)
ROLES = {"problem": "binary", "classes": [0, 1], "label": "late", "entity": "who", "event_time": "at"}


def rows(seed: int, n: int, day: str) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(n, FEATURES)), columns=NAMES)
    odds = frame[NAMES[:5]].sum(axis=1) + random.normal(0, 2, n)
    frame["late"], frame["who"] = (odds > 0).astype(int), random.integers(0, n, n)
    frame["at"] = pd.date_range(day, periods=n, freq="s", tz="UTC")
    return frame


class Bench:
    def __init__(self, folder: Path) -> None:
        self.registry = Kept(folder / "mlflow")
        self.artifacts = Artifacts(folder / "cache", self.registry, 5000)  # type: ignore[arg-type]
        self.predictions = PredictionCache(folder / "predictions")
        self.kept = EvidenceStore(folder / "evidence", self.registry)  # type: ignore[arg-type]
        self.sandbox = Sandbox(folder / "sandbox")
        self.evaluator = Evaluator(self.artifacts, self.predictions, self.sandbox, timing_seconds=5)
        self.replayer = Replayer(self.artifacts, self.kept)
        self.training = rows(1, 20_000, "2026-01-01")
        golden, keys = folder / "evaluation.parquet", folder / "training_keys.parquet"
        rows(2, ROWS, "2026-02-01").to_parquet(golden, index=False)
        TrainedOn.of(self.training, NAMES, "who", "at").write(keys)
        self.golden, self.keys = (
            Dataset(uri=self.registry.upload("r", path, "datasets"), digest=digest_file(path))
            for path in (golden, keys)
        )

    def version(self, number: int, estimator: object) -> tuple[Provenance, int]:
        folder = self.registry.root / f"models/{number}"
        save(estimator, folder, example=self.training[NAMES].head(3), roles=ROLES)
        uri = f"models/{number}"
        event = ModelRegistered(
            model_name="m",
            model_version=number,
            run_id="r",
            artifact_uri=uri,
            artifact_digest=digest_tree(folder),
            code_version="c",
            evaluation=self.golden,
            training_keys=self.keys,
        )
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        known = RegisteredVersion("m", number, "r", uri, datetime.now(UTC), {})
        return Provenance(event, known, run_found=True, training_digest=self.keys.digest), size

    def judge(self, found: Provenance, champion: Provenance) -> tuple[dict[str, float], bool]:
        """Return seconds of each step, and whether a replay from the evidence agrees."""
        event = champion.event
        best = Champion(event.model_version, 1, event.artifact_uri or "", event.artifact_digest or "")
        began = time.perf_counter()
        measurements = self.evaluator.measure(
            EvaluationTask(found, POLICY, best, event), threading.Event(), lambda share, what: None
        )
        done = time.perf_counter()
        verdicts = run_gates(measurements, POLICY)
        deciding = time.perf_counter() - done
        self.evaluator.explain(measurements, POLICY, threading.Event(), lambda share, what: None)
        explained = time.perf_counter()
        golden_predictions.keep(measurements, POLICY, self.kept)
        golden = time.perf_counter() - explained
        assert measurements.probe is not None and measurements.probe.fault is None, measurements.probe
        decided = time.perf_counter()
        with self.kept.writing("m") as keep:
            document = evidence.write(measurements, POLICY, keep)
        written = time.perf_counter()
        agrees = self.replayer.replay(document, verdicts).agrees
        seconds = {
            **measurements.seconds,
            "deciding": deciding,
            "golden predictions": golden,
            "evidence": written - decided,
        }
        seconds |= {"all": written - began, "replay": time.perf_counter() - written}
        peak = measurements.probe.peak_memory_mb if measurements.probe else None
        return seconds | {"candidate's peak MiB": peak or 0.0}, agrees


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        bench = Bench(Path(name))
        try:
            return run(bench)
        finally:
            bench.sandbox.close()


def run(bench: Bench) -> int:
    x, y = bench.training[NAMES], bench.training["late"]
    forests = [
        RandomForestClassifier(235, min_samples_leaf=1, random_state=seed, n_jobs=2).fit(x, y) for seed in (1, 2)
    ]
    (champion, size), (candidate, _) = (bench.version(number, each) for number, each in enumerate(forests, start=1))
    print(
        f"a forest of {size / 1e6:.0f} MB, {ROWS:,} golden rows, {FEATURES} features, all gates but fairness; seconds\n"
    )
    first, _ = bench.judge(candidate, champion)
    again, _ = bench.judge(replace(candidate), champion)
    print("| | " + " | ".join(first) + " |\n|---|" + "--:|" * len(first))
    for label, found in (("first", first), ("champion known", again)):
        print(f"| {label} | " + " | ".join(f"{found.get(step, 0.0):.2f}" for step in first) + " |")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\npeak memory of the gatekeeper's side, the bench with its two forests included: {own:.0f} MiB")
    agreed, began = 0, time.perf_counter()
    random = np.random.default_rng(0)
    small = bench.version(3, DecisionTreeClassifier(max_depth=6).fit(x.head(500), y.head(500)))[0]
    for number in range(REPLAYED):
        chosen = random.choice(len(x), 300)
        found, _ = bench.version(10 + number, DecisionTreeClassifier(max_depth=6).fit(x.iloc[chosen], y.iloc[chosen]))
        agreed += bench.judge(found, small)[1]
    print(f"replay agrees to the last digit: {agreed} of {REPLAYED} candidates ({time.perf_counter() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
