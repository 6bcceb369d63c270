"""The token that commands present: where it comes from, for which address, and where it never goes."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gauntlet.credentials import (
    VARIABLE,
    checked,
    credential_for,
    credentials_file,
    forget,
    headers_for,
    origin,
    store,
    take_from_environment,
)
from gauntlet.errors import CliError

AT = "http://127.0.0.1:8010"


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    take_from_environment()
    return tmp_path


def test_a_stored_token_is_for_its_address_alone() -> None:
    store([AT], "secret")
    assert headers_for(f"{AT}/models") == {"Authorization": "Bearer secret"}
    for other in (
        "https://127.0.0.1:8010",
        "http://127.0.0.1:8011",
        "http://127.0.0.1",
        "http://127.0.0.1:8010.example.com",
        "http://example.com:8010",
    ):
        assert headers_for(other) == {}, other


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://LOCALHOST/a", "http://localhost:80"),
        ("https://gauntlet.example.com", "https://gauntlet.example.com:443"),
        ("https://user:password@a.example.com:1/x", "https://a.example.com:1"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, expected: str) -> None:
    assert origin(url) == expected


@pytest.mark.parametrize("url", ["ftp://a", "a", "http://a:b"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(CliError, match=r"is no http"):
        origin(url)


def test_the_variable_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    store([AT], "stored")
    monkeypatch.setenv(VARIABLE, "given\n")
    found = credential_for(AT)
    assert found is not None
    assert (found.token, found.source) == ("given", VARIABLE)


def test_what_a_command_starts_does_not_inherit_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "given")
    take_from_environment()
    show = f"import os; print(os.environ.get({VARIABLE!r}))"
    assert subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout == "None\n"
    assert headers_for(AT) == {"Authorization": "Bearer given"}
    assert VARIABLE not in os.environ


def test_the_file_is_its_owners(own_folder: Path) -> None:
    path = store([AT], "secret")
    assert path == credentials_file() == own_folder / "gauntlet" / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o644)
    with pytest.raises(CliError, match="mode 0644") as refused:
        credential_for(AT)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "tokens": {}}', '{"format": 1, "tokens": {"a": 1}}'])
def test_a_file_that_is_something_else_is_refused(content: str) -> None:
    store([AT], "secret").write_text(content)
    with pytest.raises(CliError, match="is not a file of"):
        credential_for(AT)


def test_forgetting_removes_one_address_and_keeps_others() -> None:
    store([AT, "http://127.0.0.1:8001"], "secret")
    assert forget([f"{AT}/", "http://127.0.0.1:9"]) == [AT]
    assert headers_for(AT) == {}
    assert headers_for("http://127.0.0.1:8001") != {}
    assert forget([AT]) == []


@pytest.mark.parametrize("token", ["", "two words", "tökén", "a\nb", "a\x00", "x" * 20_000])
def test_what_cannot_be_a_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(CliError, match=f"{VARIABLE} holds no token") as refused:
        checked(token, VARIABLE)
    assert not token or token not in str(refused.value)


def test_a_credential_does_not_show_its_token() -> None:
    store([AT], "secret")
    assert "secret" not in repr(credential_for(AT))
