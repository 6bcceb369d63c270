"""What a foreign web page could send is refused; what else is sent is not."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.auth.browser import BrowserGuard, allowed_hosts, is_json
from chassis.service import listen
from chassis.settings import ServiceSettings
from support.processes import free_port

HOSTS = [
    ("127.0.0.1", "", b"127.0.0.1:8010", True),
    ("127.0.0.1", "", b"localhost", True),
    ("127.0.0.1", "", b"LocalHost.:8010", True),
    ("127.0.0.1", "", b"[::1]:8010", True),
    ("127.0.0.1", "", b"10.0.0.5:8010", True),  # the address that was connected to
    ("127.0.0.1", "", b"10.0.0.6:8010", False),
    ("127.0.0.1", "", b"evil.example", False),
    ("127.0.0.1", "", b"evil.example@localhost", False),
    ("127.0.0.1", "", b"", False),
    ("127.0.0.1", "", None, False),
    ("gate.example", "", b"gate.example:8010", True),
    ("0.0.0.0", "", b"0.0.0.0", False),
    ("0.0.0.0", "gatekeeper, *.corp.example", b"gatekeeper:8010", True),
    ("0.0.0.0", "gatekeeper, *.corp.example", b"a.b.corp.example", True),
    ("0.0.0.0", "gatekeeper, *.corp.example", b"corp.example", False),
    ("0.0.0.0", "gatekeeper, *.corp.example", b"evilcorp.example", False),
    ("0.0.0.0", "*", b"anything", True),
]


def refusal(guard: BrowserGuard, method: str, host: bytes | None = b"localhost:8010", **headers: bytes) -> int | None:
    found = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    found += [] if host is None else [(b"host", host)]
    scope: dict[str, Any] = {"type": "http", "method": method, "headers": found, "server": ("10.0.0.5", 8010)}
    problem = guard.refusal(scope)
    return None if problem is None else problem.status


async def nothing(*_: object) -> None:
    raise AssertionError


@pytest.mark.parametrize(("host", "configured", "header", "known"), HOSTS)
def test_a_request_is_for_a_name_of_this_service(host: str, configured: str, header: bytes, known: bool) -> None:
    guard = BrowserGuard(nothing, allowed_hosts(host, configured), ())
    for _ in range(2):  # also from memory
        assert refusal(guard, "GET", header) == (None if known else 421)


def test_two_host_headers_are_refused() -> None:
    guard = BrowserGuard(nothing, ["localhost"], ())
    scope = {"type": "http", "method": "GET", "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]}
    problem = guard.refusal(scope)
    assert problem is not None and problem.status == 400


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://localhost:8010", None),
        (b"https://LOCALHOST:8010", None),  # behind something that ends TLS
        (b"http://localhost", 403),
        (b"http://localhost:3000", 403),
        (b"http://console.example", None),
        (b"https://console.example", 403),
        (b"http://evil.example", 403),
        (b"null", 403),
        (b"localhost:8010", 403),
        (b"", 403),
    ],
)
def test_what_changes_something_is_sent_by_our_own_pages(origin: bytes, status: int | None) -> None:
    guard = BrowserGuard(nothing, ["localhost"], ["http://console.example"])
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert refusal(guard, method, origin=origin) == status
    for method in ("GET", "HEAD", "OPTIONS"):
        assert refusal(guard, method, origin=origin) is None


@pytest.mark.parametrize(
    ("media_type", "status"),
    [
        (b"text/plain", 415),
        (b"Text/Plain; charset=utf-8", 415),
        (b"application/x-www-form-urlencoded", 415),
        (b"multipart/form-data; boundary=x", 415),
        (b"application/json", None),
        (b"text/csv", None),
        (b"application/octet-stream", None),
    ],
)
def test_what_a_form_can_send_changes_nothing(media_type: bytes, status: int | None) -> None:
    guard = BrowserGuard(nothing, ["localhost"], ())
    assert refusal(guard, "POST", content_type=media_type) == status
    assert refusal(guard, "GET", content_type=media_type) is None


@pytest.mark.parametrize(
    ("media_type", "json"),
    [
        (b"application/json", True),
        (b"Application/JSON; charset=utf-8", True),
        (b"application/problem+json", True),
        (b"text/plain", False),
        (b"text/json", False),
        (b"application/jsonp", False),
        (b"", False),
        (None, False),
    ],
)
def test_json_is_declared_as_json(media_type: bytes | None, json: bool) -> None:
    assert is_json(media_type) is json


def test_without_authentication_a_service_listens_on_loopback_only(capsys: pytest.CaptureFixture[str]) -> None:
    def settings(**given: Any) -> ServiceSettings:
        return ServiceSettings(_env_file=None, port=free_port(), **given)

    assert listen("gatekeeper", settings(host="0.0.0.0")) is None
    said = capsys.readouterr().err
    assert "AUTH=off and HOST=0.0.0.0" in said
    assert "AUTH=tokens" in said and "AUTH_OFF_ON_ANY_ADDRESS=true" in said
    for allowed in (
        settings(host="localhost"),
        settings(host="127.0.0.2"),
        settings(host="0.0.0.0", auth_off_on_any_address=True),
        settings(host="0.0.0.0", auth="tokens", auth_tokens_file="tokens.yaml"),
    ):
        listener = listen("gatekeeper", allowed)
        assert listener is not None
        listener.close()
    assert "AUTH=off" not in capsys.readouterr().err
