"""The Open Inference Protocol as MLServer knows it: its own types, codecs and batch client."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from support.bus_client import BusClient
from support.mlserver import MLServer
from support.replica import Replica
from support.versions import FEATURES, LATE, ROW, Uploads, pipeline, score_of, telling_its_version
from support.waiting import eventually

# The first to ask for the environment waits until it is installed, over whatever network there is.
pytestmark = pytest.mark.timeout(600)

NAME, KINDS, NUMBERS, TEXTS = "as-mlserver", "as-mlserver-kinds", "as-mlserver-numbers", "as-mlserver-texts"
COLUMNS: dict[str, list[Any]] = {"distance": [ROW["distance"], 1500.0, 900.0], "carrier": [ROW["carrier"], "AA", "Ü"]}
TIME, JSON = "2026-01-01T06:30:00", "application/json"


@pytest.fixture(scope="session")
def mlserver() -> Iterator[MLServer]:
    with MLServer.installed() as side:
        yield side


@pytest.fixture(scope="module")
def served(production: Replica, bus: BusClient, uploads: Uploads) -> Replica:
    kinds = pd.DataFrame({"flights": [1, 2], "cancelled": [True, False], "carrier": ["UA", "AA"]})
    kinds["departed"] = pd.to_datetime([TIME, TIME])
    numbers = pd.DataFrame({"distance": FEATURES["distance"], "delay": [1.0, 2.0, 3.0, 4.0]})
    texts = telling_its_version(1).fit(FEATURES, ["a", "b", "c", "a"])
    made = [
        uploads.version(NAME, 3, pipeline()),
        uploads.version(KINDS, 7, telling_its_version(7), example=kinds),
        uploads.version(NUMBERS, 8, pipeline_of_numbers(), example=numbers),
        uploads.version(TEXTS, 1, texts, roles={"problem": "multiclass", "classes": ["a", "b", "c"]}),
    ]
    for version in made:
        bus.publish(version.promoted(1))
    eventually(lambda: all(production.answers_with(each.model_name, each.model_version, 1) for each in made))
    return production


def pipeline_of_numbers() -> Any:
    """It answers otherwise when its columns are swapped."""
    numbers = FEATURES[["distance"]].assign(delay=[1.0, 2.0, 3.0, 4.0])
    return pipeline()[-1].fit(numbers, LATE)


def alike(answer: Any, scores: Any) -> bool:
    return np.allclose(answer, scores, rtol=1e-9, atol=0)  # relative: one carrier is worth little beside the distance


def expected() -> Any:
    return pipeline().fit(FEATURES, LATE).predict_proba(pd.DataFrame(COLUMNS))


def infer(served: Replica, request: str, model: str = NAME) -> Any:
    return served.client.post(f"/v2/models/{model}/infer", content=request, headers={"content-type": JSON})


def answered(served: Replica, request: str, model: str = NAME) -> str:
    answer = infer(served, request, model)
    assert answer.status_code == 200, answer.text
    return str(answer.text)


def tensor(name: str, data: list[Any], datatype: str = "FP64", **others: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data} | others


def content(**others: Any) -> dict[str, Any]:
    return {
        "inputs": [tensor("distance", COLUMNS["distance"]), tensor("carrier", COLUMNS["carrier"], "BYTES")],
        **others,
    }


def test_a_request_of_mlserver_s_types_is_answered_in_mlserver_s_types(served: Replica, mlserver: MLServer) -> None:
    text = answered(served, mlserver.request(content(id="own-id", parameters={"content_type": "pd"})))
    response = mlserver.parsed("InferenceResponse", text)
    assert response == json.loads(text), "a field is there that MLServer's types do not know"
    assert (response["model_name"], response["model_version"], response["id"]) == (NAME, "3", "own-id")
    labels, scores = response["outputs"]
    assert labels == tensor("predict", (expected()[:, 1] >= 0.5).astype(int).tolist(), "INT64")
    assert (scores["name"], scores["shape"], scores["datatype"]) == ("predict_proba", [3, 2], "FP64")
    assert alike(scores["data"], expected().reshape(-1))


def test_only_the_outputs_that_mlserver_s_types_ask_for_are_answered(served: Replica, mlserver: MLServer) -> None:
    asked = [{"name": "predict_proba", "parameters": {"content_type": "np"}}]
    answer = mlserver.decoded(answered(served, mlserver.request(content(outputs=asked))))
    assert list(answer) == ["predict_proba"] and alike(answer["predict_proba"], expected())


@pytest.mark.parametrize("carrier", ["str", "np", "base64"])
def test_a_column_that_a_codec_of_mlserver_encoded_is_read(served: Replica, mlserver: MLServer, carrier: str) -> None:
    inputs = [("np", "distance", COLUMNS["distance"]), (carrier, "carrier", COLUMNS["carrier"])]
    answer = mlserver.decoded(answered(served, mlserver.request_of_inputs(*inputs)))
    assert alike(answer["predict_proba"], expected())


@pytest.mark.parametrize("dtype", [None, "object"], ids=["of its own types", "of objects"])
def test_a_dataframe_that_mlserver_encoded_is_read(served: Replica, mlserver: MLServer, dtype: str | None) -> None:
    answer = mlserver.decoded(answered(served, mlserver.request_of_frame(COLUMNS, dtype)))
    assert alike(answer["predict_proba"], expected())


def test_every_kind_of_column_is_read_as_mlserver_encodes_it(served: Replica, mlserver: MLServer) -> None:
    frame: dict[str, list[Any]] = {"flights": [3, 4], "cancelled": [False, True], "carrier": ["DL", "AA"]}
    inputs = [("str" if name == "carrier" else "np", name, values) for name, values in frame.items()]
    of_codecs = mlserver.request_of_inputs(*inputs, ("datetime", "departed", [TIME, TIME]))
    of_frame = mlserver.request_of_frame({**frame, "departed": [TIME, TIME]})
    for request in (of_codecs, of_frame):
        answer = mlserver.decoded(answered(served, request, KINDS))
        assert alike(np.array(answer["predict_proba"])[:, 1], score_of(7))


def test_a_matrix_that_mlserver_encoded_is_read_row_by_row(served: Replica, mlserver: MLServer) -> None:
    rows = [[700.0, 4.0], [1500.0, 1.0], [3.0, 900.0]]
    answer = mlserver.decoded(answered(served, mlserver.request_of_matrix(rows), NUMBERS))
    named = pd.DataFrame(rows, columns=["distance", "delay"])
    assert alike(answer["predict_proba"], pipeline_of_numbers().predict_proba(named))


def test_classes_that_are_texts_are_decoded_as_texts(served: Replica, mlserver: MLServer) -> None:
    answer = mlserver.decoded(answered(served, mlserver.request_of_frame(COLUMNS), TEXTS))
    assert answer == {"predict": ["a"] * 3, "predict_proba": [[0.5, 0.25, 0.25]] * 3}


@pytest.mark.parametrize("binary", [[], ["--binary-data"]], ids=["json", "binary"])
def test_its_batch_client_is_answered(served: Replica, mlserver: MLServer, tmp_path: Path, binary: list[str]) -> None:
    rows = [{name: [values[row]] for name, values in COLUMNS.items()} for row in range(3)]
    (tmp_path / "in").write_text("".join(mlserver.request_of_frame(row) + "\n" for row in rows))
    where = ["--url", f"127.0.0.1:{served.port}", "--model-name", NAME, "--workers", "1", "--batch-size", "2"]
    files = ["--input-data-path", tmp_path / "in", "--output-data-path", tmp_path / "out"]
    command = [mlserver.bin / "python", "-I", mlserver.bin / "mlserver", "infer", *where, *files, *binary]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    answers = [mlserver.decoded(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert alike([answer["predict_proba"][0] for answer in answers], expected())


def test_server_and_model_metadata_are_of_mlserver_s_types(served: Replica, mlserver: MLServer) -> None:
    for path, of_type in (("/v2", "MetadataServerResponse"), (f"/v2/models/{KINDS}", "MetadataModelResponse")):
        text = served.client.get(path).text
        assert mlserver.parsed(of_type, text) == json.loads(text)
    about = mlserver.parsed("MetadataModelResponse", served.client.get(f"/v2/models/{KINDS}").text)
    values: dict[str, Any] = {"flights": 3, "cancelled": False, "carrier": "DL", "departed": TIME}
    inputs = [{**each, "shape": [1], "data": [values[each["name"]]]} for each in about["inputs"]]
    # Whoever knows nothing of a model but its metadata can ask it, and is answered with what was announced.
    outputs = json.loads(answered(served, mlserver.request({"inputs": inputs}), KINDS))["outputs"]
    announced = [(each["name"], each["datatype"]) for each in about["outputs"]]
    assert [(each["name"], each["datatype"]) for each in outputs] == announced


CARRIER = tensor("carrier", ["UA"], "BYTES")
WRONG: dict[str, tuple[str, int, list[dict[str, Any]], str]] = {
    "an unknown model": ("as-mlservant", 404, [tensor("distance", [1.0]), CARRIER], f"did you mean '{NAME}'?"),
    "a wrong datatype": (NAME, 400, [tensor("distance", ["far"], "BYTES"), CARRIER], '"far"'),
    "a wrong shape": (NAME, 400, [tensor("distance", [1.0], shape=[2]), CARRIER], "1 values"),
    "too many dimensions": (NAME, 400, [tensor("distance", [1.0], shape=[1, 1, 1]), CARRIER], "3 dimensions"),
    "a missing column": (NAME, 400, [CARRIER], "rows[0].distance is missing"),
    "a missing value": (NAME, 400, [tensor("distance", [None]), CARRIER], "rows[0].distance is null"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_an_error_of_mlserver_s_types(served: Replica, mlserver: MLServer, case: str) -> None:
    model, status, inputs, said = WRONG[case]
    answer = infer(served, mlserver.request({"inputs": inputs}), model)
    assert answer.status_code == status, answer.text
    error = mlserver.parsed("InferenceErrorResponse", answer.text)
    assert error == answer.json() and said in error["error"]


def test_metadata_of_an_unknown_model_is_an_error_of_mlserver_s_types(served: Replica, mlserver: MLServer) -> None:
    answer = served.client.get("/v2/models/as-mlservant")
    assert answer.status_code == 404
    assert "as-mlservant" in mlserver.parsed("MetadataModelErrorResponse", answer.text)["error"]


@pytest.mark.parametrize("content_type", ["pd_json", "base64"])
def test_a_text_that_is_not_what_its_content_type_says_is_refused(served: Replica, content_type: str) -> None:
    for value in ("{", None, 5):
        inputs = [
            tensor("distance", [1.0]),
            {**tensor("carrier", [value], "BYTES"), "parameters": {"content_type": content_type}},
        ]
        answer = infer(served, json.dumps({"inputs": inputs}))
        assert answer.status_code == 400 and content_type in answer.json()["error"], answer.text
