"""A verdict is reached again from what was written down, to the last digit; what differs is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.digests import digest_file
from chassis.errors import NotFound
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper import evidence, golden
from gatekeeper.artifacts import ArtifactCache
from gatekeeper.evidence_store import EvidenceStore
from gatekeeper.judging import judge
from gatekeeper.measured import Champion, Measured
from gatekeeper.model_file import ModelFile
from gatekeeper.policy import integrity
from gatekeeper.policy.leakage import Overlap
from gatekeeper.policy.statistics import Answers
from gatekeeper.replaying import NoEvidence, Replayer
from gatekeeper.sandbox.probe import Fault, Probe
from gatekeeper.sandbox.protocol import Stage

ROLES = {"label": "late", "entity": "who", "event_time": "at"}
MODEL = ModelFile(True, ("a", "origin"), (0, 1), ROLES, '["double"]')
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
        target.write_bytes(source.read_bytes())
        return target


class World:
    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.registry = Kept(folder / "mlflow")
        self.store = EvidenceStore(folder / "evidence", self.registry)  # type: ignore[arg-type]
        self.artifacts = ArtifactCache(folder / "cache", self.registry, 100)  # type: ignore[arg-type]
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
        self.rows = golden.read(path, MODEL, POLICY)
        self.random = random

    def scores(self) -> np.ndarray:
        noise = self.random.normal(0, 0.1, len(self.rows.truth))
        return np.clip(0.35 + 0.3 * self.rows.truth + 0.1 * self.rows.rows["a"].to_numpy() + noise, 0.001, 0.999)

    def measured(self, **changes: Any) -> Measured:
        mine, champions = self.scores(), self.scores()
        n = len(mine)
        chosen = golden.chosen_rows(n, 500)
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
            ),
            "champion_answers": Answers((champions >= 0.5).astype(np.int64), champions),
        }
        event = ModelRegistered(model_name="m", model_version=2, run_id="r", code_version="c", evaluation=self.dataset)
        return Measured(event, "binary", **{**known, **changes})

    def written(self, measured: Measured, policy: ModelPolicy = POLICY) -> dict[str, Any]:
        with self.store.writing("m") as keep:
            document = evidence.write(measured, policy, keep)
        return json.loads(json.dumps(document, allow_nan=False))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


CASES: dict[str, dict[str, Any]] = {
    "all that there is": {},
    "no champion": {"champion": None, "champion_answers": None, "champion_overlap": None, "champion_description": None},
    "a broken candidate": {"probe": Probe(Fault(Stage.GOLDEN, "raised KeyError: 'x'"), load_seconds=1.0)},
    "no artifact": {"probe": None, "artifact_problem": "no MLmodel file"},
    "no golden rows": {"golden": None, "golden_digest": None, "golden_uri": None, "golden_problem": "gone"},
    "not in MLflow": {"version_found": False, "probe": None, "golden": None, "overlap": None, "dirty_rows": None},
    "training rows unknown": {"overlap": Overlap(unknown="no keys")},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_a_verdict_is_reached_again_to_the_last_digit(world: World, changes: dict[str, Any]) -> None:
    measured = world.measured(**changes)
    then = judge(measured, POLICY)
    assert len(then) >= 9
    replayed = world.replayer.replay(world.written(measured), then)
    assert replayed.agrees, replayed.differences[:3]
    assert replayed.versions == ()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_candidate(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    measured = world.measured()
    then = judge(measured, POLICY)
    assert world.replayer.replay(world.written(measured), then).agrees


def test_an_empty_disk_is_filled_from_mlflow(world: World, tmp_path: Path) -> None:
    measured = world.measured()
    then, document = judge(measured, POLICY), world.written(measured)
    elsewhere = EvidenceStore(tmp_path / "other", world.registry)  # type: ignore[arg-type]
    cache = ArtifactCache(tmp_path / "other cache", world.registry, 100)  # type: ignore[arg-type]
    assert Replayer(cache, elsewhere).replay(document, then).agrees


def test_what_was_tampered_with_is_named(world: World) -> None:
    measured = world.measured()
    then, document = judge(measured, POLICY), world.written(measured)
    document["measured"]["k"] = 1
    replayed = world.replayer.replay(document, then)
    assert not replayed.agrees
    assert "performance.details.k" in {each.where for each in replayed.differences}
    changed = [verdict.model_copy(update={"observed": 0.99}) if verdict.gate == "performance" else verdict
               for verdict in then]  # fmt: skip
    (only,) = world.replayer.replay(world.written(measured), tuple(changed)).differences
    assert (only.where, only.then) == ("performance.observed", 0.99)


def test_a_file_that_was_changed_on_disk_is_fetched_again_and_in_mlflow_refused(world: World) -> None:
    measured = world.measured()
    then, document = judge(measured, POLICY), world.written(measured)
    disk = next((world.store._folder / "objects").glob("*.parquet"))
    disk.write_bytes(b"PAR1 something else")
    assert world.replayer.replay(document, then).agrees
    for path in (world.registry.root / "runs/gauntlet-evidence-m/objects").glob("*.parquet"):
        path.write_bytes(b"PAR1 something else")
        (world.store._folder / "objects" / path.name).unlink()
    with pytest.raises(NoEvidence, match="its digest differs"):
        world.replayer.replay(document, then)


def test_a_golden_dataset_that_has_changed_is_said(world: World, tmp_path: Path) -> None:
    measured = world.measured()
    then, document = judge(measured, POLICY), world.written(measured)
    next((world.registry.root / "runs/r/datasets").glob("*")).write_bytes(b"PAR1 others")
    with pytest.raises(NoEvidence, match=r"the golden dataset sha256:\w+ has changed"):
        world.replayer.replay(document, then)


def test_without_evidence_nothing_is_made_up(world: World) -> None:
    with pytest.raises(NoEvidence, match="before evidence was kept"):
        world.replayer.replay({}, ())
    with pytest.raises(NoEvidence, match="its format is 99"):
        world.replayer.replay({**world.written(world.measured()), "format": 99}, ())


def test_another_policy_judges_the_same_rows_otherwise(world: World) -> None:
    measured = world.measured()
    then, document = judge(measured, POLICY), world.written(measured)
    strict = POLICY.model_copy(
        update={"gates": POLICY.gates.model_copy(update={"fairness": False, "robustness": False})}
    )
    found = world.replayer.what_if(document, then, strict)
    assert {verdict.gate for verdict in then} - {verdict.gate for verdict in found.verdicts} == {
        "fairness",
        "robustness",
    }
    by_loss = world.replayer.what_if(document, then, POLICY.model_copy(update={"metric": "log_loss"}))
    assert {verdict.metric for verdict in by_loss.verdicts if verdict.gate == "performance"} == {"log_loss"}


def test_the_answers_of_a_champion_are_kept_once(world: World) -> None:
    first = world.measured()
    world.written(first)
    before = len(world.registry.uploads)
    second = world.measured(champion_answers=first.champion_answers, probe=first.probe)
    world.written(second)
    assert len(world.registry.uploads) == before
