"""AUTH=tokens on the hot path: two workers behind one port, two models, callers with different roles."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token, revoke_token
from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import ROW, Uploads
from support.waiting import eventually

THEIRS, OTHERS, UNKNOWN = "flights-theirs", "churn-others", "flights-unknown"
TENSORS = {
    "inputs": [
        {"name": "distance", "shape": [1], "datatype": "FP64", "data": [700.0]},
        {"name": "carrier", "shape": [1], "datatype": "BYTES", "data": ["UA"]},
    ]
}
TRUTH = {"entity_id": "N1", "label": 1}

Sent = Callable[[str], tuple[str, str, Any]]

PREDICTIONS: dict[str, Sent] = {
    "predict": lambda model: ("POST", f"/models/{model}/predict", {"rows": [ROW]}),
    "predict, named in the body": lambda model: ("POST", "/predict", {"rows": [ROW], "model": model}),
    "invocations": lambda model: ("POST", f"/models/{model}/invocations", {"dataframe_records": [ROW]}),
    "infer": lambda model: ("POST", f"/v2/models/{model}/infer", TENSORS),
    "infer, with the version": lambda model: ("POST", f"/v2/models/{model}/versions/1/infer", TENSORS),
    "metadata": lambda model: ("GET", f"/v2/models/{model}", None),
    "readiness": lambda model: ("GET", f"/v2/models/{model}/ready", None),
}
TRUTHS: dict[str, Sent] = {
    "feedback": lambda model: ("POST", f"/models/{model}/feedback", TRUTH),
    "feedback, named in the body": lambda model: ("POST", "/feedback", {**TRUTH, "model": model}),
}
REQUESTS = PREDICTIONS | TRUTHS
each_request = pytest.mark.parametrize("request_name", REQUESTS)


@dataclass
class Guarded:
    replica: Replica
    file: Path
    tokens: dict[str, str]

    def ask(self, sent: Sent, model: str, caller: str | None, **headers: str) -> httpx.Response:
        """By a caller of `tokens`, or one with that text as the header, or without any."""
        method, path, body = sent(model)
        if caller is not None:
            headers["Authorization"] = f"Bearer {self.tokens[caller]}" if caller in self.tokens else caller
        url = f"http://127.0.0.1:{self.replica.port}{path}"
        return httpx.request(method, url, json=body, headers=headers, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def guarded(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, uploads: Uploads, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder, prefix = tmp_path_factory.mktemp("guarded"), f"g{uuid4().hex[:8]}."
    file = folder / "tokens.yaml"  # DATA_DIR's own
    tokens = {
        "admin": create_token(file, "admin", [Role.ADMIN]),
        "viewer": create_token(file, "viewer", [Role.VIEWER]),
        "operator": create_token(file, "operator", [Role.OPERATOR]),
        "client": create_token(file, "client", [Role.CLIENT], models=["flights-*"]),
        "leaver": create_token(file, "leaver", [Role.CLIENT]),
    }
    ensure_topics(KafkaSettings(kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=prefix))
    bus = BusClient(kafka.bootstrap_servers, prefix)
    for model in (THEIRS, OTHERS):
        bus.publish(uploads.version(model, 1).promoted(1))
    bus.close()
    env = {"AUTH": "tokens", "SERVING_WORKERS": "2"}
    replica = Replica(kafka.bootstrap_servers, prefix, mlflow_server.uri, folder, env=env)
    replica.start_ready()
    replica.client.headers["Authorization"] = f"Bearer {tokens['admin']}"
    for model in (THEIRS, OTHERS):
        eventually(lambda model=model: replica.answers_with(model, 1, 1), timeout=60)
    yield Guarded(replica, file, tokens)
    replica.stop()


@each_request
def test_a_stranger_learns_nothing(guarded: Guarded, request_name: str) -> None:
    known, unknown = (guarded.ask(REQUESTS[request_name], model, None) for model in (THEIRS, UNKNOWN))
    assert known.status_code == unknown.status_code == 401
    assert known.headers["WWW-Authenticate"] == "Bearer"
    assert without_id(known) == without_id(unknown)


@pytest.mark.parametrize("caller", ["", "Bearer", "Basic YTpi", "Bearer gauntlet_0123456789abcdef_" + "x" * 43])
def test_whatever_is_wrong_with_a_token_the_answer_is_the_same(guarded: Guarded, caller: str) -> None:
    """Few of them: the workers limit how often an address may fail."""
    wrong, absent = (guarded.ask(REQUESTS["predict"], THEIRS, each) for each in (caller, None))
    assert wrong.status_code == 401
    assert without_id(wrong) == without_id(absent)


@each_request
def test_who_has_the_role_for_the_model_is_answered(guarded: Guarded, request_name: str) -> None:
    expected = 202 if request_name in TRUTHS else 200
    for caller, model in (("client", THEIRS), ("admin", THEIRS), ("admin", OTHERS)):
        answer = guarded.ask(REQUESTS[request_name], model, caller)
        assert answer.status_code == expected, (caller, model, answer.text)


@each_request
@pytest.mark.parametrize("caller", ["viewer", "operator"])
def test_who_has_another_role_is_refused(guarded: Guarded, request_name: str, caller: str) -> None:
    assert guarded.ask(REQUESTS[request_name], THEIRS, caller).status_code == 403


@each_request
def test_who_has_the_role_for_another_model_does_not_learn_which_models_there_are(
    guarded: Guarded, request_name: str
) -> None:
    there, nowhere = (guarded.ask(REQUESTS[request_name], model, "client") for model in (OTHERS, "churn-unknown"))
    assert there.status_code == nowhere.status_code == 403
    assert without_id(there).replace(OTHERS, "NAME") == without_id(nowhere).replace("churn-unknown", "NAME")


@each_request
def test_a_model_that_is_not_served_is_unknown_to_who_may_use_it(guarded: Guarded, request_name: str) -> None:
    answer = guarded.ask(REQUESTS[request_name], UNKNOWN, "client")
    assert answer.status_code == 404
    assert OTHERS not in answer.text


@pytest.mark.parametrize(
    ("path", "body"),
    [("/predict", {"rows": [ROW]}), ("/invocations", {"dataframe_records": [ROW]}), ("/feedback", TRUTH)],
)
def test_without_a_name_it_is_the_only_model_that_the_caller_may_use(guarded: Guarded, path: str, body: Any) -> None:
    sent: Sent = lambda _model: ("POST", path, body)  # noqa: E731
    assert guarded.ask(sent, "", "client").status_code in (200, 202)
    several = guarded.ask(sent, "", "admin")
    assert several.status_code in (400, 422)
    assert THEIRS in several.text
    refused = guarded.ask(sent, "", "viewer")
    assert refused.status_code in (403, 503)
    assert THEIRS not in refused.text and OTHERS not in refused.text


def test_the_models_that_are_shown_are_those_that_the_caller_may_read(guarded: Guarded) -> None:
    models: Sent = lambda _model: ("GET", "/models", None)  # noqa: E731
    shown = guarded.ask(models, "", "viewer").json()["models"]
    assert {about["model_name"] for about in shown} == {THEIRS, OTHERS}
    assert guarded.ask(models, "", "client").status_code == 403
    assert guarded.ask(models, "", None).status_code == 401


@each_request
def test_a_foreign_page_is_refused_with_a_token_too(guarded: Guarded, request_name: str) -> None:
    sent = REQUESTS[request_name]
    assert guarded.ask(sent, THEIRS, "client", Host="rebound.example.com").status_code == 421
    if sent(THEIRS)[0] == "POST":
        assert guarded.ask(sent, THEIRS, "client", Origin="https://rebound.example.com").status_code == 403


def test_the_body_of_a_stranger_is_not_read(guarded: Guarded) -> None:
    """Nothing of it is sent here: who waits for it does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", guarded.replica.port, timeout=10)
    connection.putrequest("POST", f"/models/{THEIRS}/predict")
    connection.putheader("Content-Length", "1000")
    connection.putheader("Content-Type", "application/json")
    connection.endheaders()
    assert connection.getresponse().status == 401
    connection.close()


def test_a_token_ends_for_every_worker(guarded: Guarded) -> None:
    predict = REQUESTS["predict"]
    assert guarded.ask(predict, THEIRS, "leaver").status_code == 200
    revoke_token(guarded.file, "leaver")
    # Each request is a connection of its own: one of the workers takes it. Both may refuse so many for a minute.
    eventually(
        lambda: {guarded.ask(predict, THEIRS, "leaver").status_code for _ in range(20)} <= {401, 429}, timeout=30
    )
    assert guarded.ask(predict, THEIRS, "client").status_code == 200, "one that was verified before is no failure"


def test_no_token_is_in_the_log(guarded: Guarded) -> None:
    wrong = guarded.tokens["client"][:-1] + "_"
    guarded.ask(REQUESTS["predict"], THEIRS, f"Bearer {wrong}")
    log = eventually(lambda: text if "not authenticated" in (text := guarded.replica.log.read_text()) else None)
    assert wrong.split("_", 2)[2] not in log
    assert [name for name, token in guarded.tokens.items() if token.split("_", 2)[2] in log] == []


@pytest.mark.parametrize("path", ["/predict", "/feedback", "/invocations", "/v2/models/any/infer"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "rebound.example.com"}, 421),
        ({"Origin": "https://rebound.example.com"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_a_foreign_page_is_refused_while_authentication_is_off(
    production: Replica, path: str, headers: dict[str, str], status: int
) -> None:
    answer = production.client.post(path, content=b"{}", headers={"Content-Type": "application/json"} | headers)
    assert answer.status_code == status


def without_id(answer: httpx.Response) -> str:
    """The body, in any protocol's form, without the request's own id."""
    request_id = answer.headers.get("X-Request-ID")
    return answer.text.replace(request_id, "ID") if request_id else answer.text
