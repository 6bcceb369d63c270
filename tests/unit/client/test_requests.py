"""Where requests go, when they are repeated, how refusals are raised, and that results are what services send."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gatekeeper import read_models
from gatekeeper.rollout import views
from gauntlet.endpoints import kafka, service
from gauntlet_client import (
    AccessDenied,
    Candidate,
    ClientError,
    Conflict,
    Fleet,
    FleetReplica,
    Invalid,
    Model,
    NotFound,
    Promotion,
    Registration,
    Replica,
    Rollout,
    ServiceError,
    Unavailable,
    Unreachable,
    Verdict,
    calls,
)
from gauntlet_client.addresses import find
from gauntlet_client.exchange import ATTEMPTS, ask
from gauntlet_client.steps import Call, Pause, Response, Send

READ: Call[Any] = calls.models()
DECIDE: Call[Any] = calls.promotion("m", "rollback", {})
PREDICT: Call[Any] = calls.predict("m", [{"a": 1}], False, None)
FEEDBACK: Call[Any] = calls.feedback("m", [{"request_id": "r", "label": 1}])
SENT, NOT_SENT = Unreachable("broke", sent=True), Unreachable("refused", sent=False)
BUSY = Response(503, {"retry-after": "0"}, b'{"title": "too much load"}')


def played(call: Call[Any], answers: Sequence[Response | Exception]) -> tuple[Any, int]:
    """What a request ends with, and how often it was sent; the last answer is repeated."""
    steps, number, result = ask(call), 0, None
    try:
        step = next(steps)
        while True:
            if isinstance(step, Pause):
                step = steps.send(None)
                continue
            assert isinstance(step, Send)
            result = answers[min(number, len(answers) - 1)]
            number += 1
            step = steps.throw(result) if isinstance(result, Exception) else steps.send(result)
    except StopIteration as end:
        return end.value, number
    except ClientError as error:
        return error, number


@pytest.mark.parametrize(
    ("call", "answer", "times"),
    [
        (READ, SENT, ATTEMPTS),
        (READ, NOT_SENT, ATTEMPTS),
        (READ, BUSY, ATTEMPTS),
        (FEEDBACK, SENT, ATTEMPTS),
        (DECIDE, SENT, 1),
        (DECIDE, NOT_SENT, ATTEMPTS),
        (DECIDE, BUSY, 1),
        (PREDICT, SENT, 1),
        (PREDICT, NOT_SENT, ATTEMPTS),
        (PREDICT, BUSY, ATTEMPTS),
    ],
)
def test_only_what_does_no_harm_is_repeated(call: Call[Any], answer: Any, times: int) -> None:
    error, number = played(call, [answer])
    assert isinstance(error, Unavailable if answer is BUSY else Unreachable)
    assert number == times


def test_a_connection_that_comes_back_is_not_noticed() -> None:
    assert played(READ, [SENT, NOT_SENT, BUSY, Response(200, {}, b"[]")]) == ([], 4)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, AccessDenied),
        (403, AccessDenied),
        (404, NotFound),
        (409, Conflict),
        (422, Invalid),
        (500, ServiceError),
        (503, Unavailable),
    ],
)
def test_a_refusal_carries_status_title_and_detail(status: int, kind: type[ServiceError]) -> None:
    body = {"type": "about:blank", "title": "not done", "status": status, "detail": "m is frozen", "more": 1}
    error, _ = played(DECIDE, [Response(status, {}, json.dumps(body).encode())])
    assert type(error) is kind
    assert (error.status, error.title, error.detail, error.problem["more"]) == (status, "not done", "m is frozen", 1)
    assert str(error).startswith("not done: m is frozen")


@pytest.mark.parametrize(("content", "words"), [(b"<html>", "not JSON"), (b'[{"a": 1}]', "cannot read")])
def test_what_is_no_answer_of_ours_is_said(content: bytes, words: str) -> None:
    error, _ = played(READ, [Response(200, {}, content)])
    assert words in str(error)


def test_addresses_are_those_that_the_commands_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [{"name": name, "url": f"http://127.0.0.1:{port}"} for name, port in (("gatekeeper", 1), ("serving", 2))]
    stack = {
        "data_dir": str(tmp_path),
        "supervisor": {"name": "supervisor", "url": ""},
        "kafka": {"bootstrap_servers": "127.0.0.1:3", "topic_prefix": "x."},
        "mlflow": {"tracking_uri": "http://127.0.0.1:4"},
        "parts": parts,
    }
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "TOPIC_PREFIX", "MLFLOW_TRACKING_URI", "GATEKEEPER_URL", "SERVING_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)

    def agree() -> None:
        found = find({}, data_dir=tmp_path)
        for name in ("gatekeeper", "serving", "staging", "drift", "trainer"):
            assert found.of(name) == service(name, tmp_path, None).at
        settings, _ = kafka(tmp_path, None)
        assert found.kafka.kafka_bootstrap_servers == settings.kafka_bootstrap_servers
        assert found.kafka.topic_prefix == settings.topic_prefix

    agree()
    (tmp_path / "stack.json").write_text(json.dumps(stack))
    agree()
    assert find({}, data_dir=tmp_path).of("mlflow") == "http://127.0.0.1:4"
    monkeypatch.setenv("GATEKEEPER_URL", "https://gatekeeper.example/")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9093")
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT")
    agree()
    found = find({"gatekeeper": "http://10.0.0.1:1"}, token="t", data_dir=tmp_path)
    assert found.of("gatekeeper") == "http://10.0.0.1:1"
    assert (found.headers("gatekeeper"), found.headers("mlflow")) == ({"Authorization": "Bearer t"}, {})
    assert "'t'" not in repr(found)


@pytest.mark.parametrize(
    ("given", "variables", "words"),
    [
        ({}, {"GAUNTLET_TOKEN": "two words"}, "is no token"),
        ({}, {"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL='TLS'"),
    ],
)
def test_a_wrong_setting_is_named(given: dict[str, Any], variables: dict[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=words):
        find(given, data_dir=tmp_path, variables=variables)


def test_an_address_that_is_not_http_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    found = find({}, data_dir=tmp_path, variables={"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"})
    assert found.of("gatekeeper") == "http://127.0.0.1:8010"
    with pytest.raises(ClientError, match="is no http:// or https:// address"):
        found.of("mlflow")


@pytest.mark.parametrize(
    ("result", "view"),
    [
        (Promotion, read_models.PromotionView),
        (Candidate, read_models.CandidateSummary),
        (Registration, read_models.RegistrationView),
        (Verdict, read_models.CandidateView),
        (Replica, read_models.ReplicaView),
        (Model, read_models.ModelView),
        (Rollout, views.RolloutView),
        (Fleet, views.FleetView),
        (FleetReplica, views.FleetReplica),
    ],
)
def test_each_field_of_a_result_is_one_of_the_gatekeepers(result: type[BaseModel], view: type[BaseModel]) -> None:
    ours, theirs = result.model_json_schema(mode="serialization"), view.model_json_schema(mode="serialization")
    assert ours["properties"].keys() <= theirs["properties"].keys()
    for name, each in ours["properties"].items():
        if "anyOf" in theirs["properties"][name]:
            assert "anyOf" in each, f"{name} may be null"


def test_importing_the_client_imports_no_client_of_kafka_and_no_http() -> None:
    code = "import sys, gauntlet_client; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    packages = {name.split(".")[0] for name in loaded}
    assert not packages & {"kafka", "aiokafka", "httpx", "numpy", "pandas", "chassis", "gauntlet", "typer", "yaml"}
