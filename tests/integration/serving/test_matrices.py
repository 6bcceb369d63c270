"""A model that takes a matrix, logged as a notebook logs it: in every protocol, beside a real `mlflow models serve`.

It is a classifier whose `predict` gives words: `/invocations` answers with them, as the scoring server does; the other
protocols with its scores.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import mlflow.sklearn
import numpy as np
import pytest
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from chassis.digests import digest_tree
from contracts import OutputFormat, PredictionMade
from support.bus_client import BusClient
from support.replica import Replica
from support.scoring_servers import Both, both_serving
from support.versions import Uploads
from support.waiting import eventually

NAME = "takes-a-matrix"
MATRIX = np.random.default_rng(0).normal(size=(60, 3))
LATE = np.where(MATRIX[:, 0] + MATRIX[:, 1] > 0, "late", "early")
ESTIMATOR = LogisticRegression().fit(MATRIX, LATE)
ROWS = MATRIX[:4].tolist()

BODIES: dict[str, Any] = {
    "inputs": {"inputs": ROWS},
    "instances": {"instances": ROWS},
    "one row": {"instances": ROWS[:1]},
    "whole numbers": {"inputs": [[1, 2, 3], [4, 5, 6]]},
    "split": {"dataframe_split": {"columns": [0, 1, 2], "data": ROWS}},
    "split, named": {"dataframe_split": {"columns": ["a", "b", "c"], "data": ROWS}},
    "records": {"dataframe_records": [{"0": 0.1, "1": 0.2, "2": 0.3}]},
    "records in another order": {"dataframe_records": [{"2": -9.0, "0": 0.5, "1": 0.2}]},
    "a missing value": {"inputs": [[0.1, None, 0.3]]},
    "too few columns": {"inputs": [[0.1, 0.2]]},
    "rows of different lengths": {"inputs": [[0.1, 0.2, 0.3], [0.1]]},
    "words": {"inputs": [["a", "b", "c"]]},
    "a vector": {"inputs": [0.1, 0.2, 0.3]},
    "a cube": {"inputs": [[[0.1, 0.2, 0.3]]]},
    "no rows": {"inputs": []},
    "a named tensor": {"inputs": {"x": ROWS}},
    "parameters": {"inputs": ROWS, "params": {"threshold": 0.5}},
}

ANSWERED = {"inputs", "instances", "one row", "whole numbers", "split", "split, named", "records"}
ANSWERED |= {"records in another order", "parameters"}


@pytest.fixture(scope="module")
def both(
    production: Replica, bus: BusClient, uploads: Uploads, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("matrix")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"signature": infer_signature(MATRIX, LATE), "input_example": MATRIX[:2], "pip_requirements": []}
        mlflow.sklearn.save_model(ESTIMATOR, folder / "model", serialization_format="cloudpickle", **options)
    digest = digest_tree(folder / "model")
    output = OutputFormat(problem="binary", classes=("early", "late"), label="delay")
    with both_serving(production, bus, uploads, NAME, folder, digest, output) as servers:
        yield servers


@pytest.mark.parametrize("name", BODIES)
def test_invocations_are_those_of_the_scoring_server(both: Both, name: str) -> None:
    ours, theirs = both.ask(json.dumps(BODIES[name]).encode(), "application/json")
    assert ours.status_code == (400 if theirs.status_code == 500 else theirs.status_code), (ours.text, theirs.text)
    assert (theirs.status_code == 200) is (name in ANSWERED), theirs.text
    if name in ANSWERED:
        assert ours.json() == theirs.json() and set(ours.json()["predictions"]) <= {"early", "late"}


def test_a_table_in_csv_is_taken_as_the_scoring_server_takes_it(both: Both) -> None:
    ours, theirs = both.ask(b"a,b,c\n0.1,0.2,0.3\n-5,0.2,0.3\n", "text/csv")
    assert theirs.status_code == ours.status_code == 400
    assert ours.json()["message"] == theirs.json()["message"]


def test_rows_are_arrays_or_named_by_position_and_get_scores_and_labels(both: Both, production: Replica) -> None:
    expected = ESTIMATOR.predict_proba(MATRIX[:4])[:, 1]
    named = [dict(zip("012", row, strict=True)) for row in ROWS]
    for rows in (ROWS, named):
        answer = production.predict(*rows, model=NAME)
        assert answer.status_code == 200, answer.text
        predictions = answer.json()["predictions"]
        assert np.allclose([each["score"] for each in predictions], expected)
        assert [each["label"] for each in predictions] == ESTIMATOR.predict(MATRIX[:4]).tolist()
    refused = production.predict([0.1, 0.2], model=NAME)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "rows[0] is an array of 2; expected an array of 3 values, like the other rows"


def test_the_inference_protocol_takes_the_matrix_and_says_so(both: Both, production: Replica) -> None:
    about = production.client.get(f"/v2/models/{NAME}").json()
    assert about["inputs"] == [{"name": "input-0", "datatype": "FP64", "shape": [-1, 3]}]
    assert [output["name"] for output in about["outputs"]] == ["predict", "predict_proba"]
    body = {"inputs": [{"name": "input-0", "datatype": "FP64", "shape": [4, 3], "data": MATRIX[:4].ravel().tolist()}]}
    answer = production.client.post(f"/v2/models/{NAME}/infer", json=body)
    assert answer.status_code == 200, answer.text
    labels, scores = answer.json()["outputs"]
    assert labels["data"] == ESTIMATOR.predict(MATRIX[:4]).tolist()
    assert np.allclose(np.reshape(scores["data"], scores["shape"]), ESTIMATOR.predict_proba(MATRIX[:4]))


def test_predictions_are_published_with_features_and_scores_whatever_protocol_asked(
    both: Both, bus: BusClient, production: Replica
) -> None:
    marked = [[7.25, -1.5, 0.5], [-7.25, 1.5, 0.5]]
    both.ours.post(f"/models/{NAME}/invocations", json={"inputs": [marked[0]]})
    production.predict(marked[1], model=NAME)

    def published() -> Any:
        found = [item.data for item in bus.events(PredictionMade.topic) if item.model_name == NAME]
        return {each.features["0"]: each for each in found if each.features["0"] in (7.25, -7.25)}

    found = eventually(lambda: events if len(events := published()) == 2 else None)
    for row in marked:
        event = found[row[0]]
        assert event.features == dict(zip("012", row, strict=True))
        assert event.champion.score == pytest.approx(ESTIMATOR.predict_proba([row])[0, 1])
        assert event.champion.label == ESTIMATOR.predict([row])[0]
