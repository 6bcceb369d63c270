"""What a version that passed hands on: golden rows with the answers that were judged, where they can be repeated."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.digests import digest_tree
from chassis.errors import Transient
from chassis.mlmodel import MLmodel
from contracts import ModelRegistered
from contracts.metrics import Problem
from forms.artifact import read
from gatekeeper.evaluation.golden_rows import GoldenRows
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import serving_artifact
from gatekeeper.sandbox.probe import Probe

N = 1000


class Kept:
    """Stands in for MLflow: what was given to it, on disk."""

    def __init__(self, folder: Path, *, away: bool = False) -> None:
        self.folder, self.away = folder, away

    def add_folder(self, model_name: str, path: Path, folder: str) -> str:
        if self.away:
            raise Transient("MLflow is away")
        target = self.folder / folder
        target.mkdir(parents=True)
        for file in path.iterdir():
            (target / file.name).write_bytes(file.read_bytes())
        return str(target)


def judged(**changes: Any) -> Measurements:
    chance = np.random.default_rng(0)
    rows = pd.DataFrame({"a": chance.normal(size=N), "word": chance.choice(["x", None], N), "late": 0})
    rows.loc[::2, "a"] = np.inf  # no JSON has it
    scores = chance.random(N)
    example = np.array([0.25, 0.75])
    measurements = Measurements(
        ModelRegistered(model_name="flights", model_version=3),
        "binary",
        description=MLmodel(True, ("word", "a"), (0, 1), kinds=("string", "double")),
        golden=GoldenRows(rows, np.zeros(N), (0, 1), "late", N, 0, frozenset({"late"})),
        probe=Probe(first=example, second=example.copy(), golden=scores),
    )
    return dataclasses.replace(measurements, **changes)


def test_the_rows_are_as_they_would_be_sent_and_the_answers_those_that_were_judged() -> None:
    measurements = judged()
    found = serving_artifact.recorded(measurements)
    assert found is not None and measurements.golden is not None and measurements.probe is not None
    assert len(found.rows) == len(found.answers) == serving_artifact.ROWS
    by_value = dict(zip(measurements.golden.rows["a"], measurements.probe.golden, strict=True))  # type: ignore[arg-type]
    for row, answer in zip(found.rows, found.answers, strict=True):
        assert list(row) == ["word", "a"] and np.isfinite(row["a"]) and row["word"] in ("x", None)
        assert by_value[row["a"]] == answer
    again = serving_artifact.recorded(judged())
    assert again == found, "the same rows each time"


@pytest.mark.parametrize(
    "changes",
    [
        {"golden": None},
        {"probe": None},
        {"probe": Probe(first=np.array([0.1]), second=np.array([0.2]), golden=np.zeros(N))},
        {"probe": Probe(first=np.array([0.1]), second=np.array([0.1]))},
        {"description": MLmodel(True, ("word", "a"), (0, 1), kinds=("string", "binary"))},
        {"description": MLmodel(True, ("word", "a"), (0, 1))},
        {"description": MLmodel(True)},
    ],
    ids=["no rows", "no probe", "by chance", "no answers", "unknown type", "no types", "no columns"],
)
def test_nothing_is_recorded_where_serving_could_not_repeat_it(changes: dict[str, Any]) -> None:
    assert serving_artifact.recorded(judged(**changes)) is None


@pytest.mark.parametrize("problem", ["binary", "multiclass", "regression"])
def test_answers_of_every_problem_are_recorded_whether_or_not_the_model_names_its_classes(problem: Problem) -> None:
    model = MLmodel(True, ("word", "a"), None, kinds=("string", "double"))
    found = serving_artifact.recorded(judged(description=model, problem=problem))
    assert found is not None and len(found.answers) == serving_artifact.ROWS


def test_it_is_kept_by_its_digest_beside_the_evidence(tmp_path: Path) -> None:
    kept = serving_artifact.keep(judged(form=b"what a sandbox wrote"), Kept(tmp_path))  # type: ignore[arg-type]
    assert kept is not None and kept.digest == digest_tree(Path(kept.uri))
    assert Path(kept.uri).name == f"v3-{kept.digest.removeprefix('sha256:')[:12]}"
    found = read(Path(kept.uri))
    assert found.form == b"what a sandbox wrote" and found.recorded == serving_artifact.recorded(judged())


def test_a_version_is_promoted_without_when_it_cannot_be_kept(tmp_path: Path) -> None:
    assert serving_artifact.keep(judged(), Kept(tmp_path, away=True)) is None  # type: ignore[arg-type]
    assert serving_artifact.keep(judged(golden=None), Kept(tmp_path)) is None  # type: ignore[arg-type]
