"""Whatever is sent, on every path: an answer below 500 that names the field and the value, and never a traceback."""

from __future__ import annotations

import gzip
import json
import socket
from typing import Any

import httpx
import pytest

from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads, pipeline
from support.waiting import eventually

NAME = "bad-input"


@pytest.fixture(scope="module")
def served(production: Replica, bus: BusClient, uploads: Uploads) -> Replica:
    bus.publish(uploads.version(NAME, 1, pipeline()).promoted(1))
    eventually(lambda: production.answers_with(NAME, 1, 1))
    return production


def rows(*rows: Any) -> bytes:
    return json.dumps({"rows": list(rows)}).encode()


BAD: dict[str, tuple[bytes, str, str]] = {
    # body, field named, value named
    "missing field": (rows({"carrier": "UA"}), "rows[0].distance", "missing"),
    "unknown field": (rows(ROW | {"distanse": 1}), "rows[0].distanse", "did you mean 'distance'?"),
    "wrong type": (rows(ROW, ROW | {"distance": "far"}), "rows[1].distance", '"far"'),
    "boolean for a number": (rows(ROW | {"distance": True}), "rows[0].distance", "true"),
    "number for a text": (rows(ROW | {"carrier": 7}), "rows[0].carrier", "7"),
    "nested": (rows(ROW | {"carrier": ["UA"]}), "rows[0].carrier", "an array of 1"),
    "bad entity": (rows(ROW | {"tailnum": {}}), "rows[0].tailnum", "an object of 0"),
    "bad event time": (rows(ROW | {"departed": "soon"}), "rows[0].departed", '"soon"'),
    "the label": (rows(ROW | {"late": 1}), "rows[0].late", "ground truth"),
    "a null that the model does not take": (rows(ROW | {"distance": None}), "rows[0].distance", "null"),
    "no rows": (rows(), "rows", "empty"),
    "too many rows": (rows(*[{}] * 10_001), "rows", "10,001"),
    "a row that is none": (rows(ROW, None), "rows[1]", "null"),
    "rows that are none": (b'{"rows": 5}', "rows", "5"),
    "no field rows": (b"{}", "rows", "missing"),
    "an unknown field beside rows": (b'{"rows": [{}], "instances": []}', "instances", "rows"),
    "an array": (b"[1, 2]", "the body", "an array of 2"),
    "a text": (b'"x"', "the body", '"x"'),
    "null": (b"null", "the body", "null"),
    "no JSON": (b'{"rows": [}', "line 1", "column 11"),
    "a number that is infinite": (b'{"rows": [{"distance": 1e999, "carrier": "UA"}]}', "column", "infinity"),
    "NaN": (b'{"rows": [{"distance": NaN, "carrier": "UA"}]}', "line 1", "column 24"),
    "empty": (b"", "line 1", "empty document"),
    "no UTF-8": (b'{"rows": "\xff"}', "line 1", "UTF-8"),
    "half a surrogate": (b'{"rows": "\\ud800"}', "line 1", "surrogate"),
    "too deep": (b'{"rows": ' + b"[" * 5000 + b"]" * 5000 + b"}", "line 1", "depth"),
    "a model that is no name": (b'{"rows": [{}], "model": 5}', "model", "5"),
}


@pytest.mark.parametrize("path", ["/predict", f"/models/{NAME}/predict"])
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(served: Replica, case: str, path: str) -> None:
    body, field, value = BAD[case]
    if path == "/predict" and body == b"{}":
        body = b'{"model": "%s"}' % NAME.encode()
    elif path == "/predict" and body.startswith(b'{"rows"') and b'"model"' not in body:
        body = b'{"model": "%s", %s' % (NAME.encode(), body[1:])
        value = value.replace("column 11", f"column {11 + len(NAME) + 13}").replace(
            "column 24", f"column {24 + len(NAME) + 13}"
        )
    answer = served.client.post(path, content=body)
    problem = answer.json()
    assert answer.status_code == 422, problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert field in problem["detail"] and value in problem["detail"], problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-ID"]


def test_the_errors_are_there_for_programs_too(served: Replica) -> None:
    problem = served.predict(ROW, {"distance": [], "carrier": 1}, model=NAME).json()
    assert [(item["row"], item["field"], item["type"]) for item in problem["errors"]] == [
        (1, "carrier", "number"),
        (1, "distance", "array"),
    ]
    assert (problem["model_name"], problem["model_version"]) == (NAME, 1)


def test_an_unknown_model_is_not_found_and_the_nearest_is_named(served: Replica) -> None:
    for answer in (
        served.predict(ROW, model="bad-imput"),
        served.client.post("/predict", json={"model": "bad-imput", "rows": [ROW]}),
    ):
        assert answer.status_code == 404
        assert '"bad-imput"' in answer.json()["detail"] and f"did you mean '{NAME}'?" in answer.json()["detail"]


def test_path_and_body_must_not_name_different_models(served: Replica) -> None:
    answer = served.client.post(f"/models/{NAME}/predict", json={"model": "other", "rows": [ROW]})
    assert answer.status_code == 422 and '"other"' in answer.json()["detail"]
    assert served.client.post(f"/models/{NAME}/predict", json={"model": NAME, "rows": [ROW]}).status_code == 200


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_refused(served: Replica, chunked: bool) -> None:
    body = b" " * (17 * 1024 * 1024)
    try:
        answer = served.client.post("/predict", content=iter([body]) if chunked else body)
    except httpx.WriteError:
        pytest.skip("the connection was closed before the answer could be read")
    assert answer.status_code == 413
    assert "16,777,216 bytes" in answer.json()["detail"]
    assert served.predict(ROW, model=NAME).status_code == 200


def test_a_client_that_goes_away_in_the_middle_harms_nobody(served: Replica) -> None:
    before = served.metric("gauntlet_serving_requests_total")
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
    eventually(lambda: served.metric("gauntlet_serving_requests_total") > before)
    assert served.predict(ROW, model=NAME).status_code == 200


def test_a_compressed_body_is_refused_in_words(served: Replica) -> None:
    headers = {"Content-Encoding": "gzip"}
    answer = served.client.post("/predict", content=gzip.compress(rows(ROW)), headers=headers)
    assert answer.status_code == 415 and "gzip" in answer.json()["detail"]


@pytest.mark.parametrize("given", ["x" * 201, "two words", "tab\there", "", "é"])
def test_a_request_id_that_could_not_be_kept_is_refused(served: Replica, given: str) -> None:
    headers = {"X-Request-ID": given.encode()}
    answer = served.client.post(f"/models/{NAME}/predict", content=rows(ROW), headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 422 and "X-Request-ID" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405),
        ("PUT", f"/models/{NAME}/predict", 405),
        ("POST", "/models", 405),
        ("POST", "/health", 405),
        ("GET", "/nothing", 404),
        ("POST", "/models//predict", 404),
        ("POST", "/models/%00%ff/predict", 404),
        ("POST", f"/models/{'x' * 5000}/predict", 404),
        ("POST", "/models/..%2f..%2fetc/predict", 404),
    ],
)
def test_other_methods_and_paths_are_problems_too(served: Replica, method: str, path: str, status: int) -> None:
    answer = served.client.request(method, path, content=rows(ROW) if method == "POST" else None)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(answer.content) < 1000


def test_a_model_that_fails_on_valid_rows_is_unavailable_not_a_server_error(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    bus.publish(uploads.version(name, 1, pipeline(unknown="error")).promoted(1))
    eventually(lambda: production.answers_with(name, 1, 1))
    before = production.metric("gauntlet_serving_model_failed_total")
    answer = production.predict({"distance": 1.0, "carrier": "ZZ"}, model=name)
    assert answer.status_code == 503
    problem = answer.json()
    assert problem["title"] == "model-failed" and "unknown categories ['ZZ']" in problem["detail"]
    assert production.metric("gauntlet_serving_model_failed_total") == before + 1
    assert production.predict(ROW, model=name).status_code == 200, "the next request is not harmed"


def test_nothing_of_all_this_left_a_traceback(served: Replica) -> None:
    assert "Traceback" not in served.log.read_text()


def test_refused_rows_are_counted_by_reason(served: Replica) -> None:
    """Drift never sees them: a column that vanished, or is new, shows here alone."""

    def counted(reason: str) -> float:
        line = f'gauntlet_serving_invalid_requests_total{{model_name="{NAME}",reason="{reason}"}}'
        found = [each for each in served.client.get("/metrics").text.splitlines() if each.startswith(line)]
        return sum(float(each.rpartition(" ")[2]) for each in found)

    for reason, row in (("missing column", {"carrier": "UA"}), ("unknown column", ROW | {"wing": 1})):
        before = counted(reason)
        assert served.client.post(f"/models/{NAME}/predict", json={"rows": [row]}).status_code == 422
        assert counted(reason) == before + 1
