"""`/invocations` beside a real `mlflow models serve` of the same model: the same answers, the same error codes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from chassis.digests import digest_tree
from support.bus_client import BusClient
from support.pairwise import grid
from support.replica import Replica
from support.scoring_servers import Both, both_serving
from support.versions import Uploads, save
from support.waiting import eventually

NAME = "as-mlflow"
KINDS = {"distance": DataType.double, "stops": DataType.long, "carrier": DataType.string}
ROW = {"distance": 700.5, "stops": 1, "carrier": "UA"}


def trees(folder: Path) -> str:
    """A pipeline of gradient boosting, which takes missing numbers and unknown carriers."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"distance": random.normal(800, 300, 400), "stops": random.integers(0, 3, 400)})
    frame["carrier"] = random.choice(["UA", "AA", "DL"], 400)
    late = (frame["distance"] > 800) ^ (frame["carrier"] == "UA")
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough", sparse_threshold=0
    )
    estimator = make_pipeline(columns, HistGradientBoostingClassifier(max_iter=20)).fit(frame, late)
    signature = ModelSignature(
        inputs=Schema([ColSpec(kind, name) for name, kind in KINDS.items()]),
        outputs=Schema([ColSpec(DataType.double)]),
    )
    return save(estimator, folder, example=frame.head(3), roles={"problem": "binary"}, signature=signature)


def own_code(folder: Path) -> str:
    """A plain pyfunc with a column of every type, one of them optional; fails where the distance is -1."""

    class Own(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # local, so that it travels with the model
        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            if (model_input["distance"] == -1).any():
                raise ValueError("no distance is negative")
            days = (model_input["day"] - np.datetime64("2013-01-01")).dt.total_seconds() / 86400
            note = model_input["note"].fillna("").str.len() if "note" in model_input else 0
            return (model_input["distance"].fillna(0) * 2 + days.fillna(-5) + model_input["night"] + note).to_numpy()

    kinds = [("distance", DataType.double), ("night", DataType.boolean), ("day", DataType.datetime)]
    columns = [ColSpec(kind, name) for name, kind in kinds] + [ColSpec(DataType.string, "note", required=False)]
    signature = ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(DataType.double)]))
    mlflow.pyfunc.save_model(
        folder, python_model=Own(), signature=signature, pip_requirements=["mlflow"],
        metadata={"gauntlet": {"problem": "regression"}},
    )  # fmt: skip
    return digest_tree(folder)


MODELS = {make.__name__: make for make in (trees, own_code)}


@pytest.fixture(scope="module")
def servers(
    production: Replica, bus: BusClient, uploads: Uploads, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Both]]:
    """The servers of a model, started when it is first needed: a grid takes the models in any order."""
    started: dict[str, Both] = {}
    with ExitStack() as stack:

        def of(model: str) -> Both:
            if model not in started:
                folder = tmp_path_factory.mktemp("served")
                digest = MODELS[model](folder / "model")
                context = both_serving(production, bus, uploads, f"{NAME}-{model}", folder, digest)
                started[model] = stack.enter_context(context)
            return started[model]

        yield of


@pytest.fixture(params=MODELS)
def both(request: pytest.FixtureRequest, servers: Callable[[str], Both]) -> Both:
    return servers(request.param)


FULL = ROW | {"night": True, "day": "2013-06-01T12:00:00"}


def forms(*rows: dict[str, Any]) -> dict[str, Any]:
    names = list(rows[0])
    split = {"columns": names, "data": [list(row.values()) for row in rows]}
    return {
        "records": {"dataframe_records": list(rows)},
        "split": {"dataframe_split": split},
        "split with an index": {"dataframe_split": {"index": list(range(7, 7 + len(rows))), **split}},
        "instances": {"instances": list(rows)},
        "inputs": {"inputs": {name: [row.get(name) for row in rows] for name in names}},
    }


def rows() -> dict[str, list[dict[str, Any]]]:
    return {
        "one row": [FULL],
        "several": [FULL, FULL | {"distance": 100.25, "carrier": "AA"}, FULL | {"stops": 2}],
        "a whole number for a double": [FULL | {"distance": 700}],
        "a double for a whole number": [FULL | {"stops": 1.0}],
        "a fraction for a whole number": [FULL | {"stops": 1.5}],
        "a missing number": [FULL, FULL | {"distance": None}],
        "a missing text": [FULL, FULL | {"carrier": None}],
        "a missing whole number": [FULL, FULL | {"stops": None}],
        "a missing boolean": [FULL, FULL | {"night": None}],
        "a missing time": [FULL, FULL | {"day": None}],
        "an unseen carrier": [FULL | {"carrier": "ZZ"}],
        "a number for a text": [FULL | {"carrier": 7}],
        "a text for a number": [FULL | {"distance": "far"}],
        "a number in a text": [FULL | {"distance": "700.5"}],
        "a boolean for a number": [FULL | {"distance": True}],
        "a number for a boolean": [FULL | {"night": 1}],
        "a text for a boolean": [FULL | {"night": "true"}],
        "a day": [FULL | {"day": "2013-06-01"}],
        "a time with a zone": [FULL | {"day": "2013-06-01T12:00:00-05:00"}],
        "a time that is none": [FULL | {"day": "noon"}],
        "a number for a time": [FULL | {"day": 1370088000}],
        "an extra column": [FULL | {"surplus": 1}],
        "an optional column": [FULL | {"note": "abc"}],
        "an optional column that is null": [FULL | {"note": None}],
        "a missing column": [{name: value for name, value in FULL.items() if name != "distance"}],
        "two missing columns": [{"carrier": "UA"}],
        "another order": [dict(reversed(FULL.items()))],
        "huge numbers": [FULL | {"distance": 1e300}],
        "a number too large for a long": [FULL | {"stops": 2**70}],
        "the model raises": [FULL | {"distance": -1.0}],
    }


def bodies() -> dict[str, tuple[bytes, str]]:
    """What is no grid of rows and forms."""
    made: dict[str, Any] = {
        "no rows": {"dataframe_records": []},
        "no rows, split": {"dataframe_split": {"columns": list(FULL), "data": []}},
        "rows of different fields": {"dataframe_records": [FULL, {"carrier": "UA"}]},
        "split with a short row": {"dataframe_split": {"columns": list(FULL), "data": [[1.0]]}},
        "split with a column twice": {"dataframe_split": {"columns": ["distance", "distance"], "data": [[1.0, 2.0]]}},
        "split without columns": {"dataframe_split": {"data": [[1.0]]}},
        "inputs of different lengths": {"inputs": {"distance": [1.0, 2.0], "stops": [1], "carrier": ["UA"]}},
        "inputs as records": {"inputs": [FULL]},
        "inputs as a row": {"inputs": FULL},
        "instances as a list of lists": {"instances": [list(FULL.values())]},
        "two forms": {"dataframe_records": [FULL], "instances": [FULL]},
        "no form": {"rows": [FULL]},
        "params": {"dataframe_records": [FULL], "params": {"a": 1}},
        "an unknown key beside": {"dataframe_records": [FULL], "beside": 1},
        "records that are none": {"dataframe_records": 5},
        "null": None,
        "a list": [FULL],
        "a text": "x",
        "nothing": {},
    }
    return {name: (json.dumps(body).encode(), "application/json") for name, body in made.items()} | {
        "no JSON": (b'{"dataframe_records": [', "application/json"),
        "NaN": (
            b'{"dataframe_records": [%s]}' % json.dumps(FULL | {"distance": float("nan")}).encode(),
            "application/json",
        ),
        "not UTF-8": (b'{"dataframe_records": "\xff"}', "application/json"),
        "empty": (b"", "application/json"),
        "JSON in UTF-8": (json.dumps({"dataframe_records": [FULL]}).encode(), "application/json; charset=utf-8"),
        "JSON in another charset": (b"{}", "application/json; charset=latin-1"),
        "JSON with a format": (b"{}", "application/json; format=pandas-split"),
        "CSV": (pd.DataFrame([FULL, FULL]).to_csv(index=False).encode(), "text/csv"),
        "CSV with a missing column": (b"carrier\nUA\n", "text/csv"),
        "CSV that is none": (b'a,"b\n1', "text/csv"),
        "a form": (b"a=1", "application/x-www-form-urlencoded"),
    }


ROWS, BODIES = rows(), bodies()


@grid(("both", "case", "form"), list(MODELS), list(ROWS), list(forms(FULL)), indirect=["both"])
def test_the_same_answer_or_the_same_refusal_of_rows(both: Both, case: str, form: str) -> None:
    is_the_same(*both.ask(json.dumps(forms(*ROWS[case])[form]).encode(), "application/json"))


@pytest.mark.parametrize("case", BODIES)
def test_the_same_answer_or_the_same_refusal_of_bodies(both: Both, case: str) -> None:
    is_the_same(*both.ask(*BODIES[case]))


def is_the_same(ours: httpx.Response, theirs: httpx.Response) -> None:
    if theirs.status_code == 500:  # its parser broke: ours says that the request was bad
        assert ours.status_code in (400, 200), ours.text
        return
    assert ours.status_code == theirs.status_code, (ours.text[:300], theirs.text[:300])
    if theirs.status_code == 200:
        assert ours.headers["content-type"] == theirs.headers["content-type"]
        assert ours.headers["x-model-version"] == "1"
        mine, its = ours.json()["predictions"], theirs.json()["predictions"]
        assert np.allclose(
            np.array(mine, dtype=float), np.array(its, dtype=float), rtol=1e-6, atol=1e-9, equal_nan=True
        )
        assert np.shape(mine) == np.shape(its)
    elif theirs.headers["content-type"] == "application/json":
        assert ours.json()["error_code"] == theirs.json()["error_code"]
        assert "stack_trace" not in ours.json()


def test_the_same_model_answers_both_protocols_and_its_rows_are_published(
    production: Replica, bus: BusClient, both: Both
) -> None:
    before = production.metric("gauntlet_serving_predictions_published_total")
    ours, _ = both.ask(json.dumps({"dataframe_records": [FULL] * 3}).encode(), "application/json")
    assert ours.status_code == 200
    eventually(lambda: production.metric("gauntlet_serving_predictions_published_total") >= before + 3)


def test_what_else_mlflow_answers(both: Both) -> None:
    for path in ("/ping", "/version"):
        ours, theirs = both.ours.get(path), both.theirs.get(path)
        assert (ours.status_code, ours.text) == (theirs.status_code, theirs.text)
