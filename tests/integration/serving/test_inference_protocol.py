"""The Open Inference Protocol, spoken by Triton's own client: JSON and binary tensors, metadata, health, errors."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton
from sklearn.dummy import DummyClassifier
from tritonclient.utils import InferenceServerException

from support.bus_client import BusClient
from support.replica import Replica
from support.versions import FEATURES, LATE, Uploads, pipeline
from support.waiting import eventually

NAME, SEVERAL, GAPS = "as-triton", "as-triton-several", "as-triton-with-gaps"
DISTANCE = np.array([700.0, 1500.0, 900.0])
CARRIER = np.array(["UA", "AA", "ZZ"], dtype=object)


@pytest.fixture(scope="module")
def served(production: Replica, bus: BusClient, uploads: Uploads) -> Replica:
    several = DummyClassifier(strategy="prior").fit(FEATURES, ["a", "b", "c", "a"])
    roles = {"problem": "multiclass", "classes": ["a", "b", "c"]}
    bus.publish(uploads.version(NAME, 3, pipeline()).promoted(1))
    bus.publish(uploads.version(SEVERAL, 1, several, roles=roles).promoted(1))
    gaps = FEATURES.assign(carrier=["UA", None, "UA", "DL"])
    bus.publish(uploads.version(GAPS, 1, pipeline(), example=gaps).promoted(1))
    eventually(lambda: production.answers_with(NAME, 3, 1) and production.answers_with(SEVERAL, 1, 1))
    eventually(lambda: production.answers_with(GAPS, 1, 1))
    return production


@pytest.fixture
def client(served: Replica) -> Iterator[Any]:
    client = triton.InferenceServerClient(f"127.0.0.1:{served.port}")
    yield client
    client.close()


def column(name: str, values: Any, datatype: str, *, binary: bool) -> Any:
    tensor = triton.InferInput(name, [len(values)], datatype)
    tensor.set_data_from_numpy(np.asarray(values), binary_data=binary)
    return tensor


def inputs(*, binary: bool) -> list[Any]:
    return [column("distance", DISTANCE, "FP64", binary=binary), column("carrier", CARRIER, "BYTES", binary=binary)]


def expected() -> Any:
    return pipeline().fit(FEATURES, LATE).predict_proba(pd.DataFrame({"distance": DISTANCE, "carrier": CARRIER}))


@pytest.mark.parametrize("sent", [False, True], ids=["json in", "binary in"])
@pytest.mark.parametrize("asked", [None, False, True], ids=["any out", "json out", "binary out"])
def test_triton_s_client_is_answered(client: Any, sent: bool, asked: bool | None) -> None:
    outputs = None
    if asked is not None:
        names = ("predict_proba", "predict")
        outputs = [triton.InferRequestedOutput(name, binary_data=asked) for name in names]
    answer = client.infer(NAME, inputs(binary=sent), outputs=outputs, request_id="own-id")
    assert np.allclose(answer.as_numpy("predict_proba"), expected(), atol=1e-9)
    assert answer.as_numpy("predict").tolist() == (expected()[:, 1] >= 0.5).astype(int).tolist()
    response = answer.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == (NAME, "3", "own-id")


def test_classes_that_are_texts_come_as_bytes_and_their_probabilities_in_order(client: Any) -> None:
    answer = client.infer(SEVERAL, inputs(binary=True))
    assert [str(label.decode() if isinstance(label, bytes) else label) for label in answer.as_numpy("predict")] == [
        "a"
    ] * 3
    assert answer.as_numpy("predict_proba").tolist() == [[0.5, 0.25, 0.25]] * 3


def test_health_and_metadata(client: Any) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready(NAME) and client.is_model_ready(NAME, "3")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    about = client.get_model_metadata(NAME)
    assert about["versions"] == ["3"]
    assert about["inputs"] == [
        {"name": "distance", "datatype": "FP64", "shape": [-1]},
        {"name": "carrier", "datatype": "BYTES", "shape": [-1]},
    ]
    assert [output["name"] for output in about["outputs"]] == ["predict", "predict_proba"]


def test_a_version_in_the_path_must_be_the_one_that_answers(client: Any) -> None:
    assert client.infer(NAME, inputs(binary=True), model_version="3").get_response()["model_version"] == "3"
    with pytest.raises(InferenceServerException, match="version '2': version 3 answers"):
        client.infer(NAME, inputs(binary=True), model_version="2")
    assert not client.is_model_ready("as-tritan")


def post(served: Replica, body: Any, **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return served.client.post(f"/v2/models/{NAME}/infer", content=content, headers=headers)


def tensor(name: str, data: list[Any], datatype: str = "FP64", **others: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data} | others


MISSING_AS_TEXT = "gauntlet_serving_missing_as_text_total"
GOOD = [tensor("distance", [700.0]), tensor("carrier", ["UA"], "BYTES")]
BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "not JSON"),
    "a list": ([1], "inputs"),
    "no inputs": ({"inputs": []}, "inputs"),
    "a missing column": ({"inputs": GOOD[:1]}, "rows[0].carrier is missing"),
    "an unknown column": ({"inputs": [*GOOD, tensor("distanse", [1.0])]}, "did you mean 'distance'?"),
    "a text for a number": ({"inputs": [tensor("distance", ["far"], "BYTES"), GOOD[1]]}, '"far"'),
    "a column twice": ({"inputs": [*GOOD, GOOD[0]]}, "two inputs"),
    "columns of different lengths": ({"inputs": [GOOD[0], tensor("carrier", ["UA", "AA"], "BYTES")]}, "2 rows"),
    "a datatype that is none": ({"inputs": [tensor("distance", [1.0], "FLOAT"), GOOD[1]]}, "FP64"),
    "a shape that does not fit": ({"inputs": [tensor("distance", [1.0], shape=[2]), GOOD[1]]}, "1 values"),
    "a shape that is none": ({"inputs": [tensor("distance", [1.0], shape=[-1]), GOOD[1]]}, "whole numbers"),
    "no data": ({"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64"}, GOOD[1]]}, "no data"),
    "an unknown output": ({"inputs": GOOD, "outputs": [{"name": "score"}]}, "predict_proba"),
    "binary that is not there": (
        {"inputs": [tensor("distance", [1.0], parameters={"binary_data_size": 8}), GOOD[1]]},
        "0 bytes are there",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_named_in_the_protocol_s_own_way(served: Replica, case: str) -> None:
    body, said = BAD[case]
    answer = post(served, body)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"] and said in answer.json()["error"], answer.text


@pytest.mark.parametrize("length", ["5000", "-1", "x", "²"])
def test_a_header_length_that_does_not_fit_is_refused(served: Replica, length: str) -> None:
    headers = {"Inference-Header-Content-Length": length.encode("utf-8")}
    answer = post(served, {"inputs": GOOD}, **headers)  # type: ignore[arg-type]
    assert answer.status_code == 400 and "Inference-Header-Content-Length" in answer.json()["error"]


def test_a_missing_number_is_null_or_nan(served: Replica, client: Any) -> None:
    answer = post(served, {"inputs": [tensor("distance", [None]), GOOD[1]]})
    assert answer.status_code == 400 and "rows[0].distance is null" in answer.json()["error"]
    with pytest.raises(InferenceServerException, match=r"rows\[1\].distance is null"):
        distance = column("distance", [1.0, np.nan], "FP64", binary=True)
        client.infer(NAME, [distance, column("carrier", CARRIER[:2], "BYTES", binary=True)])


def test_a_missing_text_that_triton_s_client_sends_as_a_word_is_counted_and_told_once(
    served: Replica, client: Any
) -> None:
    """It has no other way to send one; the model takes the word for a category."""
    missing = np.array([None, float("nan"), "UA"], dtype=object)
    before = served.metric(MISSING_AS_TEXT)
    for binary in (True, False):
        carrier = column("carrier", missing, "BYTES", binary=binary)
        answer = client.infer(GAPS, [column("distance", DISTANCE, "FP64", binary=binary), carrier])
        words = served.predict(*[{"distance": 700.0, "carrier": word} for word in ("None", "nan")], model=GAPS)
        assert answer.as_numpy("predict_proba")[0, 1] == words.json()["predictions"][0]["score"]
    assert served.metric(MISSING_AS_TEXT) == before + 8, "in whichever protocol they come"
    warnings = [line for line in served.log.read_text().splitlines() if "may stand for a missing value" in line]
    assert len(warnings) == 1 and "carrier" in warnings[0] and GAPS in warnings[0]

    client.infer(NAME, [column("distance", DISTANCE, "FP64", binary=True), carrier])
    assert served.metric(MISSING_AS_TEXT) == before + 8, "a column without missing values has no word for them"


def test_an_unknown_model_is_not_found(served: Replica) -> None:
    answer = served.client.post("/v2/models/as-tritan/infer", json={"inputs": GOOD})
    assert answer.status_code == 404 and f"did you mean '{NAME}'?" in answer.json()["error"]
