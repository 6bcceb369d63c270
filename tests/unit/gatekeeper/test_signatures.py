"""Frames whose signature MLflow itself refuses, or cannot infer: the verdict names the column and the cure."""

from __future__ import annotations

import warnings
from decimal import Decimal
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.xgboost
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import xgboost
from mlflow.models import infer_signature
from mlflow.types import Schema
from sklearn.dummy import DummyClassifier

from contracts import GateVerdict
from gatekeeper.sandbox.sandbox import Sandbox
from support.judging import Bench

N = 300
A = np.linspace(-1, 1, N)
LATE = (np.arange(N) % 2).astype(int)
GAP = [None, *range(1, N)]


def judged(folder: Path, sandbox: Sandbox, features: pd.DataFrame, golden: Any, **more: Any) -> dict[str, GateVerdict]:
    """A constant model, logged with the signature of `features` as a notebook would."""
    bench = Bench(folder, sandbox, gates={"performance": {"floor": {}}})
    model = DummyClassifier(strategy="prior").fit(np.zeros((N, 1)), LATE)
    bench.sklearn("model", model, features, **more)
    return bench.verdicts("model", bench.golden(golden))


TAKEN: dict[str, Any] = {
    "categories": pd.Categorical(["x", "y"] * (N // 2)),
    "categories of numbers": pd.Categorical([7, 8] * (N // 2)),
    "zoned times": pd.date_range("2020-01-01", periods=N, freq="h", tz="America/New_York"),
    "nullable integers": pd.array(range(N), dtype="Int64"),
    "nullable booleans": pd.array([True, False] * (N // 2), dtype="boolean"),
    "nullable numbers with a gap": pd.array(GAP, dtype="Float64"),
}


@pytest.mark.parametrize("name", TAKEN)
def test_the_frame_that_a_signature_was_inferred_from_is_taken(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    features = pd.DataFrame({"a": A, "c": TAKEN[name]})
    found = judged(tmp_path, sandbox, features, features.assign(late=LATE), input_example=features.head(3))
    assert found["functional"].outcome.value == "Passed", found["functional"].reason
    assert "has an input" not in found["performance"].reason and "fit" not in found["performance"].reason


REFUSED: dict[str, tuple[Any, str]] = {
    "integers": (
        pd.array(GAP, dtype="Int64"),
        "holds a missing value; expected a whole number from -9223372036854775808 to 9223372036854775807 (long); the"
        " model takes no missing ones here; infer the signature from features.astype({'c': 'float64'})",
    ),
    "booleans": (
        pd.array([None, *[True] * (N - 1)], dtype="boolean"),
        "holds a missing value; expected true or false; the model takes no missing ones here; infer the signature from"
        " features.astype({'c': 'float64'})",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_gap_in_a_nullable_column_is_named_with_its_cure(tmp_path: Path, sandbox: Sandbox, kind: str) -> None:
    values, says = REFUSED[kind]
    features = pd.DataFrame({"a": A, "c": values})
    found = judged(tmp_path, sandbox, features, features.assign(late=LATE))
    assert found["performance"].outcome.value == "Inconclusive"
    assert found["performance"].reason == f"the golden rows do not fit the model's signature: column 'c' {says}"


def test_a_gap_in_the_input_example_is_named_with_its_cure(tmp_path: Path, sandbox: Sandbox) -> None:
    values, says = REFUSED["integers"]
    features = pd.DataFrame({"a": A, "c": values})
    golden = features.assign(late=LATE).iloc[1:]
    found = judged(tmp_path, sandbox, features, golden, input_example=features.head(3))["functional"]
    assert found.outcome.value == "Failed"
    assert found.reason.startswith(
        f"the model has an input example that does not fit its signature: column 'c' {says} while"
    )


UNTYPED: dict[str, tuple[Any, str]] = {
    "uint64": (np.arange(N, dtype=np.uint64), "'c' (uint64: astype('int64'))"),
    "timedelta": (pd.to_timedelta(range(N), unit="s"), "'c' (timedelta: .dt.total_seconds())"),
    "Decimal": ([Decimal("1.5")] * N, "'c' (Decimal: .astype('float64'))"),
}


@pytest.mark.parametrize("name", UNTYPED)
def test_a_column_that_makes_the_whole_signature_any_is_named(tmp_path: Path, sandbox: Sandbox, name: str) -> None:
    values, says = UNTYPED[name]
    features = pd.DataFrame({"a": A, "c": values})
    inferred: Schema = infer_signature(features, LATE).inputs
    assert [str(each.type) for each in inferred.inputs] == ["Any"] and not inferred.has_input_names()
    table = pa.Table.from_pandas(features.assign(late=LATE))
    found = judged(tmp_path, sandbox, features, table)["functional"]
    assert found.outcome.value == "Failed"
    assert found.reason == (
        "its signature is one column of type any without a name, by which no request can be read: MLflow has no type"
        f" for a column that it was inferred from, in the golden rows {says}; convert it first, and infer the signature"
        " again"
    )


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_a_model_of_pandas_categories_is_told_what_mlflow_makes_of_them(
    tmp_path: Path, sandbox: Sandbox, library: str
) -> None:
    bench = Bench(tmp_path, sandbox)
    features = pd.DataFrame({"a": A, "c": pd.Categorical(["x", "y", "z"] * (N // 3))})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model: Any
        if library == "lightgbm":
            model, flavour = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1), mlflow.lightgbm
        else:
            model, flavour = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True), mlflow.xgboost
        model.fit(features, LATE)
        signature = infer_signature(features, model.predict(features))
        flavour.save_model(model, bench.folder("model"), signature=signature, pip_requirements=[library])
    bench.policy = bench.policy.model_copy(update={"label": "late"})
    found = bench.verdicts("model", bench.golden(features.assign(late=LATE)))["functional"]
    assert found.outcome.value == "Failed"
    assert "it was trained on pandas categories, of which MLflow's signature makes texts (columns 'c')" in found.reason
