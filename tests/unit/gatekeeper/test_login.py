"""Log in to the console: what the cookie is like, where it leads, what is refused, and that no token is in a page."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token
from chassis.database import Database
from gatekeeper.app import build
from gatekeeper.console.routes import LARGEST_FORM
from gatekeeper.console.screens.login import LARGEST, local
from gatekeeper.settings import Settings

Send = Callable[..., httpx.Response]
WRONG = "gauntlet_" + "0" * 16 + "_" + "A" * 43


@pytest.fixture
def token(tmp_path: Path) -> str:
    return create_token(tmp_path / "tokens.yaml", "ann", [Role.VIEWER])


@pytest.fixture
def app(tmp_path: Path, token: str) -> FastAPI:
    (tmp_path / "policies").mkdir()
    settings = Settings(
        _env_file=None,
        data_dir=tmp_path,
        policies_dir=tmp_path / "policies",
        mlflow_tracking_uri="http://127.0.0.1:9",  # nothing listens there
        auth="tokens",
        auth_tokens_file=tmp_path / "tokens.yaml",
        allowed_hosts="models.example",
    )
    database = Database(settings.database("gatekeeper"))
    database.migrate("gatekeeper")
    database.close()
    return build(settings)


@pytest.fixture
def send(app: FastAPI) -> Send:
    async def sent(method: str, path: str, base: str, options: dict[str, Any]) -> httpx.Response:
        transport = httpx.ASGITransport(app.state.entry, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, **options)

    def send(method: str, path: str, base: str = "http://127.0.0.1", **options: Any) -> httpx.Response:
        headers = {"origin": base} | options.pop("headers", {})
        return asyncio.run(sent(method, path, base, {"headers": headers, **options}))

    return send


@pytest.mark.parametrize(
    ("base", "secure"),
    [
        ("http://127.0.0.1", False),
        ("http://localhost:8010", False),
        ("https://localhost", True),
        ("https://models.example", True),
    ],
)
def test_a_token_is_kept_in_a_cookie_of_this_console_only(send: Send, token: str, base: str, secure: bool) -> None:
    answer = send("POST", "/console/login", base, data={"token": f" {token}\n", "next": "/console/fleet?a=b"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/fleet?a=b")
    first, *attributes = (part.strip().lower() for part in answer.headers["set-cookie"].split(";"))
    assert first == f"gauntlet_token={token}".lower()
    assert sorted(attributes) == sorted(["httponly", "path=/", "samesite=strict", *(["secure"] if secure else [])])
    page = send("GET", "/", base, headers={"cookie": f"gauntlet_token={token}"})
    assert page.status_code == 200 and "ann" in page.text and "Log out" in page.text
    assert token not in page.text


def test_the_api_takes_no_cookie(send: Send, token: str) -> None:
    assert send("GET", "/models", headers={"cookie": f"gauntlet_token={token}"}).status_code == 401


@pytest.mark.parametrize(
    ("form", "status", "said"),
    [
        ({"token": WRONG}, 401, "This needs a valid token"),
        ({"token": "no token ✓"}, 401, "This needs a valid token"),
        ({"token": " "}, 422, "Enter a token"),
        ({}, 422, "Enter a token"),
        ({"token": "x" * (LARGEST + 1)}, 422, "no token of more than"),
        ({"token": "x" * LARGEST_FORM}, 413, "a form has at most"),
    ],
)
def test_what_is_no_token_is_refused_and_not_shown(
    send: Send, capsys: pytest.CaptureFixture[str], form: dict[str, str], status: int, said: str
) -> None:
    answer = send("POST", "/console/login", data={"next": "/console/audit", **form})
    assert answer.status_code == status and said in answer.text, answer.text
    assert "gauntlet_token=x" not in answer.headers.get("set-cookie", "")
    secret = form.get("token", "").strip()
    assert not secret or (secret not in answer.text and secret not in "".join(capsys.readouterr()))


def test_a_token_is_not_taken_over_http_from_elsewhere(send: Send, token: str) -> None:
    answer = send("POST", "/console/login", "http://models.example", data={"token": token})
    assert answer.status_code == 422 and "https only" in answer.text
    assert "set-cookie" not in answer.headers


def test_another_site_logs_nobody_in(send: Send, token: str) -> None:
    answer = send("POST", "/console/login", data={"token": token}, headers={"origin": "http://evil.example"})
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


def test_too_many_failures_shut_an_address_out(send: Send, token: str) -> None:
    for _ in range(20):
        assert send("POST", "/console/login", data={"token": WRONG}).status_code == 401
    answer = send("POST", "/console/login", data={"token": token})
    assert answer.status_code == 429 and "too many requests" in answer.text
    assert 0 < int(answer.headers["retry-after"]) <= 60


def test_a_page_without_a_valid_token_is_the_form_that_leads_back(send: Send) -> None:
    answer = send("GET", "/console/models/shop/decide/freeze?a=1&b=2", headers={"cookie": f"gauntlet_token={WRONG}"})
    assert answer.status_code == 401
    assert 'value="/console/models/shop/decide/freeze?a=1&amp;b=2"' in answer.text
    assert 'gauntlet_token=""' in answer.headers["set-cookie"], "the browser goes on sending a token that is not valid"
    assert WRONG not in answer.text


def test_logging_out_takes_the_cookie_away(send: Send, token: str) -> None:
    answer = send("POST", "/console/logout", headers={"cookie": f"gauntlet_token={token}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/login")
    assert 'gauntlet_token=""' in answer.headers["set-cookie"] and "Max-Age=0" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/", "/"),
        ("/?done=1", "/?done=1"),
        ("/console/models/shop", "/console/models/shop"),
        ("/console/models/a%2Fb?x=1", "/console/models/a%2Fb?x=1"),
        ("", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/console/\n", "/"),
        ("https://evil.example/console/", "/"),
        ("javascript:alert(1)", "/"),
        ("/models", "/"),
        ("/console/login?next=/", "/"),
        ("/console/logout", "/"),
    ],
)
def test_a_login_leads_to_our_own_pages_only(path: str, leads_to: str) -> None:
    assert local(path) == leads_to
