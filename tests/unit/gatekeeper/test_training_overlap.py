"""Golden rows that a model was trained on, found by its training rows, in whatever file they are."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from chassis.mlmodel import MLmodel
from chassis.row_keys import TrainedOn
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.evaluation import golden_rows, training_overlap
from gatekeeper.evaluation.golden_rows import GoldenSource
from gatekeeper.policy.gates.leakage import ENTITY, EXACT, Overlap

MODEL = MLmodel(True, inputs=("a", "b"), classes=(0, 1), roles={"label": "late"})
DIGEST = "sha256:" + "a" * 64


def rows(first: int) -> pd.DataFrame:
    number = np.arange(first, first + 10)
    return pd.DataFrame({"a": number * 1.0, "b": -number * 1.0, "who": number % 7, "late": number % 2})


def overlap(tmp_path: Path, training: pd.DataFrame) -> Overlap:
    golden, trained = tmp_path / "golden.parquet", tmp_path / "training.parquet"
    rows(5).to_parquet(golden, index=False)
    training.to_parquet(trained)
    policy = ModelPolicy.model_validate({"model": "m", "entity": "who"})
    found = golden_rows.read(golden, MODEL, policy, GoldenSource("a test"))
    event = ModelRegistered(model_name="m", model_version=1, training=Dataset(uri="there", digest=DIGEST))
    return training_overlap.find(event, MODEL, found, lambda uri, digest: (trained, DIGEST))


def test_an_entity_or_a_feature_in_the_index_of_the_training_rows_is_found(tmp_path: Path) -> None:
    plain = overlap(tmp_path, rows(0))
    assert plain.masks[EXACT].sum() == 5 and plain.masks[ENTITY].all()
    for index in ("who", "a", ["who", "b"]):
        indexed = overlap(tmp_path, rows(0).set_index(index))
        assert {way: mask.tolist() for way, mask in indexed.masks.items()} == {
            way: mask.tolist() for way, mask in plain.masks.items()
        }


@pytest.mark.parametrize("keys", [True, False])
def test_rows_that_spark_wrote_are_those_that_a_notebook_trained_on(tmp_path: Path, keys: bool) -> None:
    """Unfound, a model would be judged on its own training rows, and the gate would say that none was."""
    table = pa.table(
        {
            "a": pa.array([Decimal(number) for number in range(5, 15)], pa.decimal128(10, 2)),
            "b": pa.array([-float(number) for number in range(5, 15)]).dictionary_encode(),
            "who": pa.array(range(10)),
            "late": pa.array([number % 2 for number in range(10)]),
        }
    )
    golden, trained = tmp_path / "golden.parquet", tmp_path / "trained.parquet"
    pq.write_table(table, golden)
    rows(0).to_parquet(trained)
    if keys:
        TrainedOn.of(rows(0), ["a", "b"]).write(trained)
    model = MLmodel(True, ("a", "b"), (0, 1), {"label": "late"}, kinds=("double", "double"))
    found = golden_rows.read(golden, model, ModelPolicy.model_validate({"model": "m"}), GoldenSource("a test"))
    dataset = Dataset(uri="there", digest=DIGEST)
    event = ModelRegistered(model_name="m", model_version=1, **{"training_keys" if keys else "training": dataset})
    known = training_overlap.find(event, model, found, lambda uri, digest: (trained, DIGEST))
    assert known.masks[EXACT].tolist() == [True] * 5 + [False] * 5


def test_training_rows_that_are_no_parquet_are_not_known(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    event = ModelRegistered(model_name="m", model_version=1, training=Dataset(uri="there", digest=DIGEST))
    rows(5).to_parquet(tmp_path / "golden.parquet")
    policy = ModelPolicy.model_validate({"model": "m"})
    found = golden_rows.read(tmp_path / "golden.parquet", MODEL, policy, GoldenSource("a test"))
    known = training_overlap.find(event, MODEL, found, lambda uri, digest: (tmp_path / "rows.csv", DIGEST))
    assert known.unknown is not None and "no readable Parquet file" in known.unknown
