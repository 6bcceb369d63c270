"""`gauntlet try`: the verdict that a version would get, and what is missing; nothing else needs to run but MLflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import mlflow
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from support.cli import gauntlet
from support.mlflow_server import MlflowServer

POLICY = """
model: {name}
gates: {{leakage: {{unknown: pass}}, latency: {{p95_ms: 2000}}, performance: {{floor: {{roc_auc: 0.9}}}}}}
"""


@dataclass(frozen=True)
class World:
    name: str
    golden: Path
    folder: Path


def split() -> tuple[pd.DataFrame, pd.DataFrame]:
    train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)
    return train, golden


@pytest.fixture(scope="module")
def logged(mlflow_server: MlflowServer) -> str:
    """A classifier that was logged as most are: with an input example, and without anything else."""
    name = f"tumours-{uuid4().hex[:8]}"
    train, _ = split()
    features = train.drop(columns="target")
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, train["target"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
        with mlflow.start_run():
            mlflow.sklearn.log_model(model, name="model", input_example=features.head(), registered_model_name=name)
    return name


@pytest.fixture
def world(logged: str, mlflow_server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    monkeypatch.setenv("POLICIES_DIR", str(tmp_path / "policies"))
    monkeypatch.setenv("GATEKEEPER_TIMING_SECONDS", "1")
    (tmp_path / "policies").mkdir()
    _, golden = split()
    golden.to_parquet(tmp_path / "golden.parquet", index=False)
    yield World(logged, tmp_path / "golden.parquet", tmp_path)
    assert not (tmp_path / ".gauntlet").exists(), "nothing was recorded"


def test_what_is_missing_is_named_with_the_line_that_supplies_it(world: World) -> None:
    ended = gauntlet("try", world.name, "1")
    assert ended.code == 1
    said = " ".join(ended.out.split())
    assert f"gauntlet golden create {world.name} golden.parquet --label" in said
    assert f"There is no policy for {world.name!r}." in said
    assert f"model: {world.name}" in said and str(world.folder / "policies" / f"{world.name}.yaml") in said
    assert "Nothing was recorded." in said


def test_with_golden_rows_and_a_policy_it_passes(world: World) -> None:
    mine = world.folder / "mine.yaml"
    mine.write_text(POLICY.format(name=world.name))
    given = ("--policy", str(mine), "--golden", str(world.golden), "--label", "target")
    ended = gauntlet("try", world.name, "1", *given, "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["state"]) == (0, "passed"), ended
    assert found["missing"] == []
    policy = found["evidence"]["policy"]
    assert (policy["problem"], policy["metric"]) == ("binary", "roc_auc")
    performance = next(verdict for verdict in found["verdicts"] if verdict["gate"] == "performance")
    assert performance["observed"] > 0.95, "scores, not labels"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("2",), "has no version 2"),
        (("1", "--label", "target"), "'target' names a column of golden rows, but there is no --golden FILE"),
        (("1", "--golden", "{golden}", "--label", "y"), "has no column 'y' (--label)"),
        (("1", "--golden", "nowhere.parquet"), "nowhere.parquet"),
        (("1", "--policy", "{other}"), "is the policy of 'other', not of"),
    ],
)
def test_a_wrong_argument_is_named(world: World, arguments: tuple[str, ...], says: str) -> None:
    other = world.folder / "other.yaml"
    other.write_text("model: other\n")
    ended = gauntlet("try", world.name, *(each.format(golden=world.golden, other=other) for each in arguments))
    assert ended.code == 1
    assert says in " ".join((ended.out + ended.err).split())


def test_rows_of_a_csv_do_as_well(world: World) -> None:
    rows = world.folder / "golden.csv"
    pd.read_parquet(world.golden).to_csv(rows, index=False)
    (world.folder / "policies" / "tumours.yaml").write_text(POLICY.format(name=world.name))
    ended = gauntlet("try", world.name, "1", "--golden", str(rows), "--label", "target", "--json")
    assert json.loads(ended.out)["state"] == "passed", ended
