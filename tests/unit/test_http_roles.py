"""No HTTP decision without the right role: every route × method × role of the OpenAPI documents.

The routes, and what each one does, are read from the documents of the services: a new route is covered by itself.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from chassis.auth.identity import Method
from chassis.auth.roles import ACTIONS, Action, Role
from chassis.auth.routes import ACTION, SCOPE, Scope, allowed, guarded_router
from chassis.auth.tokens import create_token
from chassis.database import Database
from chassis.service import build_app
from chassis.settings import ServiceSettings

SERVICES = ("gatekeeper", "trainer", "drift", "serving")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
MINE, OTHER = "mine", "other"
ORIGIN = "http://127.0.0.1"
PREFIX = "/console/"
"""Below it are pages, which send forms."""
ALERT = re.compile(r'<div [^>]*role="alert">(.*?)</div>', re.DOTALL)
BODY: Mapping[str, Any] = {"model_version": 1, "reason": "because", "policy": {"model": MINE}}
"""Of every request that may have one: it holds what a decision needs, so that only the role decides."""


LEAST: Mapping[str, str] = {"rows": "false"}
"""Parameters of the least that a route does: with more it may need another role, which has a test of its own."""


@dataclass
class Service:
    """A service that is built and does not run: requests reach its real routes and an empty database."""

    name: str
    app: FastAPI
    tokens: Mapping[str, str]
    document: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.document = self.app.openapi()

    def send(self, method: str, path: str, token: str | None, **options: Any) -> httpx.Response:
        """`token`: of this name; None sends none."""
        return asyncio.run(self._send(method, path, token, options))

    async def _send(self, method: str, path: str, token: str | None, options: dict[str, Any]) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {self.tokens.get(token, token)}"}
        transport = httpx.ASGITransport(self.app.state.entry, raise_app_exceptions=False)
        options["params"] = {**LEAST, **options.get("params", {})}
        if "json" in options and method == "POST" and path.startswith(PREFIX):
            headers["origin"] = ORIGIN  # our own page; what a form can hold, as a form
            options["data"] = {key: value for key, value in options.pop("json").items() if not isinstance(value, dict)}
        async with httpx.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            return await client.request(method, path, headers=headers | options.pop("headers", {}), **options)

    def routes(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield path, method.upper(), operation


def built(name: str, folder: Path, **settings: Any) -> FastAPI:
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    for model in (MINE, OTHER):
        (policies / f"{model}.yaml").write_text(f"model: {model}\nmetric: roc_auc\n")
    made = import_module(f"{name}.settings").Settings(
        _env_file=None,
        data_dir=folder,
        policies_dir=policies,
        mlflow_tracking_uri="http://127.0.0.1:9",  # nothing listens there
        **settings,
    )
    database = Database(made.database(name))
    database.migrate(name)
    database.close()
    app: FastAPI = import_module(f"{name}.app").build(made)
    return app


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """With a token of each role for all models, and of each for one model."""
    folder = tmp_path_factory.mktemp(request.param)
    file, roles = folder / "tokens.yaml", folder / "roles.yaml"
    tokens = {role.value: create_token(file, role.value, [role]) for role in Role}
    tokens |= {f"{role.value} of one": create_token(file, f"{role.value}-of-one", []) for role in Role}
    tokens["without a role"] = create_token(file, "without-a-role", [])
    rules = [f'- {{role: {role.value}, subjects: ["role:{role.value}"]}}' for role in Role]
    rules += [f"- {{role: {role.value}, subjects: [{role.value}-of-one], models: [{MINE}]}}" for role in Role]
    roles.write_text("\n".join(["rules:", *rules]))
    app = built(request.param, folder, auth="tokens", auth_tokens_file=file, auth_roles_file=roles)
    return Service(request.param, app, tokens)


def filled(path: str, model: str = MINE) -> str:
    for name in ("model_name", "name"):
        path = path.replace(f"{{{name}}}", model)
    for name in ("model_version", "number"):
        path = path.replace(f"{{{name}}}", "1")
    return path.replace("{", "no-such-").replace("}", "")


def is_open(operation: Mapping[str, Any]) -> bool:
    return operation[ACTION] == Action.OPEN


def may(role: Role, operation: Mapping[str, Any]) -> bool:
    return operation[ACTION] == Action.IDENTIFY or Action(operation[ACTION]) in ACTIONS[role]


def said(answer: httpx.Response) -> str:
    """What a refusal says, in the form of any protocol of serving, or on a page; the request's own id is left out."""
    if answer.headers["content-type"].startswith("text/html"):
        return ALERT.findall(answer.text)[0]
    body = answer.json()
    return str(body.get("detail") or body.get("message") or body["error"])


def test_nobody_does_anything_without_a_token(service: Service) -> None:
    refusals = []
    for path, method, operation in service.routes():
        for token in (None, "", "gauntlet_", "gauntlet_" + "0" * 16 + "_" + "A" * 43):
            answer = service.send(method, filled(path), token, json=BODY)
            if is_open(operation):
                assert answer.status_code not in (401, 403), f"{method} {path}: {answer.text}"
            else:
                assert answer.status_code == 401, f"{method} {path}: {answer.status_code} {answer.text}"
                assert answer.headers["www-authenticate"] == "Bearer"
                refusals.append((answer.headers["content-type"], said(answer)))
        service.app.state.access.failures.forget()  # so many come from one address here
    assert len(refusals) > 10
    assert len(set(refusals)) == len({kind for kind, _ in refusals}), "a refusal says what is wrong with the token"


@pytest.mark.parametrize("role", Role)
def test_a_role_does_what_it_may_and_nothing_else(service: Service, role: Role) -> None:
    """What is allowed meets an empty database, or a state that forbids it: 404, 409, 503; it is not 401 or 403."""
    for path, method, operation in service.routes():
        answer = service.send(method, filled(path), role.value, json=BODY)
        admitted = answer.status_code not in (401, 403)
        assert admitted is (is_open(operation) or may(role, operation)), f"{method} {path}: {answer.text}"


@pytest.mark.parametrize("role", Role)
def test_a_role_for_one_model_is_none_for_another(service: Service, role: Role) -> None:
    for path, method, operation in service.routes():
        if operation.get(SCOPE) == Scope.MODEL:
            known, unknown = (
                service.send(method, filled(path, name), f"{role.value} of one", json=BODY) for name in (OTHER, "unkno")
            )
            assert known.status_code == unknown.status_code == 403, f"{method} {path}: {known.text}"
            assert said(known).replace(OTHER, "unkno") == said(unknown), "it shows whether there is such a model"
            mine = service.send(method, filled(path), f"{role.value} of one", json=BODY)
            assert (mine.status_code != 403) is may(role, operation), f"{method} {path}: {mine.text}"
        elif operation.get(SCOPE) == Scope.ALL:
            assert service.send(method, filled(path), f"{role.value} of one", json=BODY).status_code == 403
        elif operation.get(SCOPE) == Scope.EACH and method == "GET" and may(role, operation):
            for name in ("model", "model_name"):
                if any(each["name"] == name for each in operation.get("parameters", ())):
                    known, unknown = (
                        service.send("GET", filled(path), f"{role.value} of one", params={name: model})
                        for model in (OTHER, "unkno")
                    )
                    assert known.status_code == unknown.status_code == 403, f"{path}?{name}: {known.text}"
                    assert said(known).replace(OTHER, "unkno") == said(unknown)


def test_who_has_no_role_learns_only_whose_token_it_is(service: Service) -> None:
    for path, method, operation in service.routes():
        answer = service.send(method, filled(path), "without a role", json=BODY)
        if operation[ACTION] == Action.IDENTIFY:
            assert answer.json() == {"subject": "without-a-role", "method": Method.TOKEN, "roles": [], "models": ["*"]}
        elif not is_open(operation):
            assert answer.status_code == 403, f"{method} {path}: {answer.text}"


def test_evidence_with_its_rows_is_for_who_operates(service: Service) -> None:
    path = "/models/{model_name}/candidates/{model_version}/evidence.zip"
    assert (path in service.document["paths"]) is (service.name == "gatekeeper")
    if service.name == "gatekeeper":
        for role in (Role.VIEWER, Role.APPROVER):
            assert service.send("GET", filled(path), role.value, params={"rows": "true"}).status_code == 403
        assert service.send("GET", filled(path), "operator", params={"rows": "true"}).status_code not in (401, 403)


def test_a_method_that_is_not_in_the_document_does_nothing(service: Service) -> None:
    for path, methods in service.document["paths"].items():
        for method in METHODS:
            if method.lower() not in methods:
                answer = service.send(method, filled(path), "admin")
                assert answer.status_code == 405, f"{method} {path}"


def test_what_is_ready_and_why_not_is_for_who_may_read_all(service: Service) -> None:
    seen = service.send("GET", "/ready", "viewer").json()
    assert seen["failing"] == {"start": "start"}
    assert seen["policies"]["in_force"].keys() == {MINE, OTHER}
    assert seen["auth"]["method"] == "tokens"
    shown = service.app.title.removeprefix("Gauntlet ")
    for token in (None, "viewer of one", "client"):
        answer = service.send("GET", "/ready", token)
        assert answer.json() == {"status": "not ready", "service": shown, "failing": {"start": "unavailable"}}


def test_a_body_is_not_read_before_the_caller_is_known(service: Service) -> None:
    """A body that is no JSON is not what a stranger is told about."""
    for path, method, operation in service.routes():
        if method == "POST" and not is_open(operation):
            options = {"content": b"{", "headers": {"content-type": "application/json"}}
            assert service.send(method, filled(path), None, **options).status_code == 401
            assert service.send(method, filled(path), "without a role", **options).status_code == 403


def test_a_body_is_json_and_says_so(service: Service) -> None:
    for path, method, operation in service.routes():
        if method == "POST" and "application/json" in operation.get("requestBody", {}).get("content", {}):
            forms = ("text/plain", "application/x-www-form-urlencoded")
            # Serving's protocols have types of their own, and none; a page of others can send those of forms only.
            for kind in forms if service.name == "serving" else (*forms, "application/octet-stream", None):
                headers = {} if kind is None else {"content-type": kind}
                answer = service.send(method, filled(path), "admin", content=b"{}", headers=headers)
                assert answer.status_code == 415, f"{method} {path} {kind}: {answer.text}"
    answer = service.send("POST", "/anything", None, content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 415


def test_an_actor_beside_a_token_is_refused(service: Service) -> None:
    found = 0
    for path, method, operation in service.routes():
        if method == "POST" and operation.get(SCOPE) == Scope.MODEL:
            named = "actor" in str(operation.get("parameters", "")) or _has_actor(service.document, operation)
            if named:
                found += 1
                body = {"actor": "root", "reason": "because"}
                body |= {"model_version": 1} if path.endswith("/promote") else {}
                params = {"actor": "root", "note": "x"}
                answer = service.send(method, filled(path), "admin", json=body, params=params)
                assert answer.status_code == 422, f"{method} {path}: {answer.text}"
                assert "leave it out; who decides is who the token belongs to, admin" in answer.json()["detail"]
    assert found == {"gatekeeper": 8, "drift": 1}.get(service.name, 0)


def _has_actor(document: Mapping[str, Any], operation: Mapping[str, Any]) -> bool:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
    return "actor" in document["components"]["schemas"].get(name, {}).get("properties", {})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8010", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_a_page_that_was_made_to_resolve_here_is_refused(service: Service, host: str) -> None:
    answers = [service.send("GET", path, "admin", headers={"host": host}) for path in ("/models", "/health", "/docs")]
    assert [answer.status_code for answer in answers] == [421] * 3
    assert "ALLOWED_HOSTS" in answers[0].json()["detail"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:3000", "http://127.0.0.1.evil"])
def test_a_foreign_page_changes_nothing(service: Service, origin: str) -> None:
    for path, method, _ in service.routes():
        answer = service.send(method, filled(path), "admin", json=BODY, headers={"origin": origin})
        assert (answer.status_code == 403 and "ALLOWED_ORIGINS" in answer.text) is (method == "POST"), path
        if method == "POST":
            own = service.send(method, filled(path), "admin", json=BODY, headers={"origin": "http://127.0.0.1"})
            assert own.status_code != 403, own.text


def test_with_authentication_off_the_host_is_checked_and_an_actor_is_required(tmp_path: Path) -> None:
    service = Service("gatekeeper", built("gatekeeper", tmp_path), {})
    for path, method, operation in service.routes():
        assert service.send(method, filled(path), None, json=BODY).status_code not in (401, 403)
        foreign = service.send(method, filled(path), None, json=BODY, headers={"host": "evil.example"})
        assert foreign.status_code == 421
        if method == "POST":
            origin = service.send(method, filled(path), None, json=BODY, headers={"origin": "http://evil.example"})
            assert origin.status_code == 403
            if _has_actor(service.document, operation):
                body = {key: BODY[key] for key in ("reason", "model_version")[: 1 + path.endswith("/promote")]}
                answer = service.send(method, filled(path), None, json=body)
                assert answer.status_code == 422
                assert [each["field"] for each in answer.json()["errors"]] == ["body.actor"], path
    everybody = {"subject": "anonymous", "method": "off", "roles": [], "models": ["*"]}
    assert service.send("GET", "/whoami", None).json() == everybody


def test_metrics_are_open_unless_they_are_not_to_be(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    tokens = {"viewer": create_token(file, "ann", [Role.VIEWER]), "client": create_token(file, "app", [Role.CLIENT])}
    app = built("trainer", tmp_path, auth="tokens", auth_tokens_file=file, auth_metrics_open=False)
    service = Service("trainer", app, tokens)
    answers = [service.send("GET", "/metrics", token).status_code for token in (None, "client", "viewer")]
    assert answers == [401, 403, 200]


def test_too_many_failures_from_an_address_shut_it_out_and_no_caller_who_is_known(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    tokens = {name: create_token(file, name, [Role.VIEWER]) for name in ("ann", "bob")}
    service = Service("trainer", built("trainer", tmp_path, auth="tokens", auth_tokens_file=file), tokens)
    assert service.send("GET", "/whoami", "ann").status_code == 200
    statuses = [service.send("GET", "/whoami", f"wrong-{number}").status_code for number in range(25)]
    assert statuses == [401] * 20 + [429] * 5
    assert service.send("GET", "/whoami", "ann").status_code == 200
    late = service.send("GET", "/whoami", "bob")
    assert late.status_code == 429
    assert 0 < int(late.headers["retry-after"]) <= 60
    assert service.send("GET", "/whoami", None).status_code == 401
    assert service.send("GET", "/health", None).status_code == 200


def test_a_service_is_not_built_with_a_route_that_declares_nothing() -> None:
    settings = ServiceSettings(_env_file=None)
    with pytest.raises(TypeError, match="/new declares no action"):
        guarded_router().get("/new")(lambda: None)
    with pytest.raises(TypeError, match="names no model"):
        guarded_router().get("/new", openapi_extra=allowed(Action.READ))(lambda: None)
    plain, hidden = APIRouter(), guarded_router()
    plain.get("/new", openapi_extra=allowed(Action.OPEN))(lambda: None)
    hidden.get("/new", openapi_extra=allowed(Action.OPEN), include_in_schema=False)(lambda: None)
    for router in (plain, hidden):
        with pytest.raises(TypeError, match="/new"):
            build_app("test", settings, parts=[], routers=[router])
