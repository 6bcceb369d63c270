"""Golden rows in the types of Spark, Arrow and pandas, and a real MLflow model whose signature has others."""

from __future__ import annotations

import threading
from decimal import Decimal
from operator import methodcaller

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from gatekeeper.sandbox.probe import Limits, Request
from gatekeeper.sandbox.sandbox import Sandbox
from support.judging import Bench

N = 600


def rows() -> pd.DataFrame:
    """In the types that a modeller trains on."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "hour": random.integers(0, 24, N).astype(np.int32),
            "distance": random.normal(size=N),
            "seats": np.where(random.random(N) < 0.1, np.nan, random.integers(50, 300, N)),
            "carrier": random.choice(["UA", "AA"], N),
            "at": pd.date_range("2020-01-01", periods=N, freq="h"),
        }
    )
    frame["late"] = (random.random(N) < 1 / (1 + np.exp(-3 * frame["distance"]))).astype(int)
    return frame


def of_spark(frame: pd.DataFrame) -> pa.Table:
    """The same rows as Spark and Arrow write them; no column of another type than there."""
    seats = [None if np.isnan(value) else int(value) for value in frame["seats"]]
    distance = [Decimal(repr(float(np.round(value, 9)))) for value in frame["distance"]]
    return pa.table(
        {
            "hour": pa.array(frame["hour"], pa.int64()),
            "distance": pa.array(distance, pa.decimal128(18, 9)),
            "seats": pa.array(seats, pa.int64()),
            "carrier": pa.array(frame["carrier"]).dictionary_encode(),
            "at": pa.array(frame["at"].dt.tz_localize("UTC"), pa.timestamp("us", "UTC")),
            "late": pa.array(frame["late"], pa.int64()),
        }
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, sandbox: Sandbox) -> Bench:
    made = Bench(
        tmp_path_factory.mktemp("bench"),
        sandbox,
        gates={"robustness": {"rows": 200, "margin_share": 0.9}, "integrity": False},
    )
    frame = rows()
    features = frame.drop(columns="late")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        (SimpleImputer(), ["hour", "distance", "seats"]),
        (make_pipeline(FunctionTransformer(methodcaller("astype", "int64")), StandardScaler()), ["at"]),
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(features, frame["late"])
    made.sklearn("model", model, features, input_example=features.head(3))
    return made


def test_rows_of_spark_are_judged_as_the_modellers_own(bench: Bench) -> None:
    plain = bench.verdicts("model", bench.golden(rows()))
    answers = bench.measurements.probe.golden
    assert {gate: verdict.outcome.value for gate, verdict in plain.items()} == dict.fromkeys(plain, "Passed"), plain
    spark = bench.verdicts("model", bench.golden(of_spark(rows())))
    assert {gate: verdict.outcome.value for gate, verdict in spark.items()} == dict.fromkeys(plain, "Passed"), spark
    np.testing.assert_allclose(bench.measurements.probe.golden, answers, atol=1e-8)


def test_a_value_that_does_not_fit_is_a_sentence_with_the_column_and_the_value(bench: Bench) -> None:
    table = of_spark(rows())
    large = table.set_column(0, "hour", pa.array([2**31, *[3] * (N - 1)], pa.int64()))
    verdict = bench.verdicts("model", bench.golden(large))["performance"]
    assert verdict.outcome.value == "Inconclusive"
    assert verdict.reason == (
        "the golden rows do not fit the model's signature: column 'hour' holds 2147483648; expected a whole number"
        " from -2147483648 to 2147483647 (integer); the model takes no missing ones here"
    )


def test_a_feature_that_golden_rows_lack_is_named(bench: Bench) -> None:
    verdict = bench.verdicts("model", bench.golden(rows().drop(columns="distance")))["performance"]
    assert verdict.outcome.value == "Inconclusive"
    assert "no column 'distance', which the model's signature requires (columns: hour, seats, carr" in verdict.reason


def test_mlflows_own_refusal_is_told_without_its_dump_of_the_rows(bench: Bench, sandbox: Sandbox) -> None:
    lacking = rows().drop(columns=["late", "distance"])
    request = Request(bench.folder("model"), "binary", [0, 1], lacking, Limits(60, 2048, 1))
    fault = sandbox.probe(request, threading.Event()).fault
    assert fault is not None and fault.what.startswith(
        "raised MlflowException: the input does not fit the signature: Model is missing inputs ['distance']"
    )
