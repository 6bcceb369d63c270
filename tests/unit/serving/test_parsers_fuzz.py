"""Whatever arrives, on every path: a 2xx, 4xx or 503 in the protocol's own shape; the next one is answered as ever."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyClassifier

from support.bombs import BOMBS, nested
from support.hostile import (
    EVERY_KIND,
    FITTING,
    GOOD,
    MODELS,
    NAMES,
    NUMBERS,
    TEXTS,
    VALUES,
    WIDE_ROW,
    rows,
    tensors,
    written,
)
from support.in_process import Answer, InProcess
from support.versions import ROW, pipeline

PATHS = {
    "predict": "/models/{}/predict",
    "invocations": "/models/{}/invocations",
    "infer": "/v2/models/{}/infer",
    "feedback": "/models/{}/feedback",
}
LENGTH = b"inference-header-content-length"

bounded = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    wide = DummyClassifier(strategy="prior").fit(EVERY_KIND, [0, 1])
    models = {"flights": (pipeline(), {}), "wide": (wide, {"example": EVERY_KIND})}
    with InProcess(tmp_path_factory.mktemp("fuzz"), models, max_rows=50) as replica:
        yield replica


def good(model: str) -> tuple[Any, ...]:
    return "POST", PATHS["predict"].format(model), (), [orjson.dumps({"rows": [GOOD[model]]})]


def predictions(answer: Answer) -> Any:
    assert answer.status == 200, answer.body[:1000]
    return answer.json()["predictions"]


def in_shape(protocol: str, answer: Answer) -> None:
    """Of an answer that is no success."""
    body = answer.json() if b"json" in answer.headers[b"content-type"] else answer.body.decode()
    if protocol == "infer":
        assert isinstance(body["error"], str)
    elif protocol == "invocations":
        assert isinstance(body, str) or isinstance(body["error_code"], str)
    else:
        assert body["status"] == answer.status and body["detail"] and body["title"]
        assert answer.headers[b"content-type"] == b"application/problem+json"


def hold(replica: InProcess, protocol: str, model: str, body: bytes, *headers: tuple[bytes, bytes]) -> Answer:
    """The hostile request between good ones, at the same time and after it."""
    before, answer, meanwhile = replica.send(
        good(model), ("POST", PATHS[protocol].format(model), headers, [body]), good(model)
    )
    assert answer.status < 500 or answer.status == 503, (answer.status, answer.body[:1000])
    if answer.status == 503:
        assert b"failed on valid rows" in answer.body, answer.body[:1000]
    if answer.status >= 400:
        in_shape(protocol, answer)
    elif protocol != "infer":
        answer.json()
    assert answer.headers[b"content-length"] == b"%d" % len(answer.body)
    assert len(answer.body) < 20_000 + 20 * len(body)
    (after,) = replica.send(good(model))
    assert predictions(before) == predictions(meanwhile) == predictions(after)
    return answer


@bounded
@given(protocol=st.sampled_from(list(PATHS)), model=MODELS, body=st.one_of(st.binary(max_size=60), VALUES.map(written)))
def test_any_bytes_and_any_json(replica: InProcess, protocol: str, model: str, body: bytes) -> None:
    hold(replica, protocol, model, body, (b"content-type", b"application/json"))


@bounded
@given(data=st.data(), model=MODELS)
def test_rows(replica: InProcess, data: st.DataObject, model: str) -> None:
    body: Any = {"rows": data.draw(rows(model))}
    if data.draw(st.booleans()):
        body[data.draw(NAMES)] = data.draw(VALUES)
    hold(replica, "predict", model, written(body))


@bounded
@given(
    data=st.data(), model=MODELS, form=st.sampled_from(["dataframe_records", "instances", "inputs", "dataframe_split"])
)
def test_what_mlflow_takes(replica: InProcess, data: st.DataObject, model: str, form: str) -> None:
    found = data.draw(rows(model))
    tables = [row for row in found if isinstance(row, dict)]
    if form == "inputs":
        columns = {name: [row.get(name) for row in tables] for name in (tables[0] if tables else {})}
        body: Any = {form: data.draw(st.one_of(st.just(columns), VALUES))}
    elif form == "dataframe_split":
        split = {"columns": list(GOOD[model]), "data": [list(row.values()) for row in tables]}
        if data.draw(st.booleans()):
            split[data.draw(st.sampled_from(["columns", "data", "index", "more"]))] = data.draw(VALUES)
        body = {form: split}
    else:
        body = {form: found}
    if data.draw(st.integers(0, 4)) == 0:
        body[data.draw(st.one_of(st.just("params"), NAMES))] = data.draw(VALUES)
    hold(replica, "invocations", model, written(body), (b"content-type", b"application/json"))


@bounded
@given(
    model=MODELS,
    body=st.one_of(
        st.binary(max_size=80),
        st.lists(st.lists(TEXTS, max_size=4).map(",".join), max_size=4).map(lambda lines: "\n".join(lines).encode()),
        st.just(b"PAR1PAR1"),
    ),
    kind=st.one_of(
        st.sampled_from(
            [b"text/csv", b"application/x-parquet", b"text/csv; charset=utf-8", b"application/octet-stream"]
        ),
        st.binary(max_size=30),
    ),
)
def test_other_content_types(replica: InProcess, model: str, body: bytes, kind: bytes) -> None:
    hold(replica, "invocations", model, body, (b"content-type", kind))


@bounded
@given(data=st.data(), model=MODELS)
def test_tensors(replica: InProcess, data: st.DataObject, model: str) -> None:
    body, binary = data.draw(tensors(model))
    for name in data.draw(st.lists(st.sampled_from(["id", "parameters", "outputs", "inputs"]), max_size=1)):
        body[name] = data.draw(VALUES)
    header = written(body)
    length = data.draw(st.one_of(st.just(b"%d" % len(header)), st.binary(max_size=6), NUMBERS.map(str).map(str.encode)))
    headers = [(LENGTH, length)] if binary or data.draw(st.booleans()) else []
    hold(replica, "infer", model, header + binary, *headers)


@bounded
@given(data=st.data())
def test_ground_truth(replica: InProcess, data: st.DataObject) -> None:
    item: Any = {"request_id": "r", "label": 1}
    fields = ["request_id", "row", "entity_id", "label", "event_time"]
    for name in data.draw(st.lists(st.one_of(st.sampled_from(fields), NAMES), max_size=3)):
        item[name] = data.draw(VALUES)
    body = data.draw(st.sampled_from([item, {"items": [item]}, {"items": [{"entity_id": 1, "label": "a"}, item]}]))
    hold(replica, "feedback", "flights", written(body))


@bounded
@given(data=st.data(), protocol=st.sampled_from(list(PATHS)))
def test_headers(replica: InProcess, data: st.DataObject, protocol: str) -> None:
    known = [b"x-request-id", b"content-type", b"content-encoding", b"content-length", b"accept", LENGTH]
    value = st.one_of(
        st.binary(max_size=20), st.sampled_from([b"0" * 5000, b"9" * 5000, b"-1", b"identity", b"[", b"*/*"])
    )
    headers = data.draw(st.lists(st.tuples(st.sampled_from(known), value), max_size=3))
    hold(replica, protocol, "flights", orjson.dumps({"rows": [ROW]}), *headers)


@bounded
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "HEAD", "OPTIONS", "TRACE", "X"]),
    path=st.lists(
        st.one_of(
            TEXTS, st.sampled_from(["models", "v2", "predict", "infer", "flights", "versions", "1", "ready", ".."])
        ),
        max_size=6,
    ).map("/".join),
    host=st.one_of(
        st.just(b"localhost"), st.binary(max_size=10), st.sampled_from([b"[", b"[::1", b"a:b:c", b"\xff", b"]["])
    ),
)
def test_paths(replica: InProcess, method: str, path: str, host: bytes) -> None:
    (answer,) = replica.send((method, "/" + path, [(b"host", host)], [b"{}"]))
    assert answer.status < 500 or answer.status == 503, (answer.status, answer.body[:1000])


@pytest.mark.parametrize("case", BOMBS)
@pytest.mark.timeout(30)
def test_small_bodies_that_would_take_hours_or_all_memory(replica: InProcess, case: str) -> None:
    protocol, kind, body = BOMBS[case]
    answer = hold(replica, protocol, "flights", body(), (b"content-type", kind))
    assert 400 <= answer.status < 500
    assert len(answer.body) < 5_000


@pytest.mark.parametrize("length", [b"0" * 5000, b"9" * 5000, b"-1", b"1e3", b"\xb2", b" 2"])
def test_a_length_that_is_none(replica: InProcess, length: bytes) -> None:
    assert hold(replica, "infer", "flights", b"{}", (LENGTH, length)).status == 400


@pytest.mark.parametrize("place", ["id", "shape", "datatype", "binary_data_size", "output", "data"])
@pytest.mark.parametrize("deep", [nested(1000), b'{"a":' * 1000 + b"1" + b"}" * 1000])
def test_what_is_too_deep_to_be_written_is_refused_in_words(replica: InProcess, place: str, deep: bytes) -> None:
    texts = {"id": b"1", "shape": b"[1]", "datatype": b'"FP64"', "binary_data_size": b"null", "data": b"[1]"}
    texts["output"] = b'"predict"'
    texts[place] = deep
    body = (
        b'{"id":%(id)s,"inputs":[{"name":"distance","shape":%(shape)s,"datatype":%(datatype)s,"data":%(data)s,'
        b'"parameters":{"binary_data_size":%(binary_data_size)s}},'
        b'{"name":"carrier","shape":[1],"datatype":"BYTES","data":["UA"]}],"outputs":[{"name":%(output)s}]}'
    ) % {name.encode(): text for name, text in texts.items()}
    answer = hold(replica, "infer", "flights", body)
    assert answer.status == (200 if place == "id" else 400), answer.body


@pytest.mark.parametrize("outputs", [[{"name": "predict"}] * 3, [{"name": "predict"}] * 500_000])
def test_an_output_is_given_once(replica: InProcess, outputs: list[Any]) -> None:
    inputs = [
        {"name": "distance", "shape": [1], "datatype": "FP64", "data": [1.0]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["UA"]},
    ]
    answer = hold(replica, "infer", "flights", written({"inputs": inputs, "outputs": outputs}))
    assert answer.status == 400 and "outputs are asked for" in answer.json()["error"]


def test_the_corpus_has_good_requests_too(replica: InProcess) -> None:
    """Otherwise all of the above might be refused at the door."""
    assert math.isfinite(predictions(replica.send(good("wide"))[0])[0]["score"])
    requests = {
        "invocations": {"dataframe_records": [WIDE_ROW]},
        "infer": {
            "inputs": [
                {"name": name, "shape": [1], "datatype": FITTING.get(name, "BYTES"), "data": [value]}
                for name, value in WIDE_ROW.items()
            ]
        },
        "feedback": {"items": [{"request_id": "r", "label": 1}]},
    }
    for protocol, body in requests.items():
        answer = hold(replica, protocol, "wide", orjson.dumps(body), (b"content-type", b"application/json"))
        assert answer.status in (200, 202), answer.body
