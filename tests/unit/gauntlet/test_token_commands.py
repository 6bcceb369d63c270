"""`gauntlet token`: what is printed, what is kept, and what is refused."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chassis.auth.token_file import find, read_tokens
from support.cli import gauntlet, ok


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AUTH_TOKENS_FILE", raising=False)
    return tmp_path / "data"


def test_a_token_is_printed_once_alone_and_found_by_its_hash(data_dir: Path) -> None:
    made = ok("token", "create", "ci", "--role", "operator", "--role", "viewer", "--data-dir", str(data_dir))
    token = made.out.removesuffix("\n")
    path = data_dir / "tokens.json"
    entry = find(read_tokens(path), token, datetime.now(UTC))
    assert (entry.name, entry.roles, entry.models, entry.expires) == ("ci", ("operator", "viewer"), ("*",), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shown = ok("token", "list", "--data-dir", str(data_dir)).out
    assert "ci" in shown and "operator, viewer" in shown and "never" in shown
    secret = token.rpartition(entry.id)[2]
    assert secret not in shown + made.err + path.read_text()
    assert entry.hash not in shown + ok("token", "list", "--json", "--data-dir", str(data_dir)).out


def test_a_token_may_end_and_be_for_some_models(data_dir: Path) -> None:
    limits = ("--expires", "90d", "--models", "flights-*", "--models", "churn")
    made = ok("token", "create", "ci", "--role", "client", *limits, "--json", "--data-dir", str(data_dir)).json
    assert made["models"] == ["flights-*", "churn"]
    assert datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(made["created"]) == timedelta(days=90)
    assert made["token"].startswith(f"gauntlet_{made['id']}_")


def test_a_name_or_one_of_its_tokens_is_revoked(data_dir: Path) -> None:
    create = ("token", "create", "ci", "--role", "client", "--json", "--data-dir", str(data_dir))
    old, new = ok(*create).json, ok(*create).json
    assert ok("token", "revoke", old["id"], "--data-dir", str(data_dir)).out == f"{old['id']} of ci is revoked\n"
    assert [each["id"] for each in ok("token", "list", "--json", "--data-dir", str(data_dir)).json] == [new["id"]]
    ok("token", "revoke", "ci", "--data-dir", str(data_dir))
    assert ok("token", "list", "--json", "--data-dir", str(data_dir)).json == []
    again = gauntlet("token", "revoke", "ci", "--data-dir", str(data_dir))
    assert (again.code, "has no token 'ci'" in again.err) == (1, True)


def test_the_file_of_the_services_is_the_one_that_is_changed(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_TOKENS_FILE", str(tmp_path / "elsewhere.json"))
    ok("token", "create", "ci", "--role", "client", "--data-dir", str(data_dir))
    assert len(read_tokens(tmp_path / "elsewhere.json")) == 1
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ci", "--role", "king"), "'king' is no role"),
        (("a b", "--role", "viewer"), "'a b'"),
        (("ci", "--role", "viewer", "--expires", "soon"), "'soon' is not a duration"),
        (("ci", "--role", "viewer", "--expires", "0d"), "'0d' is not a duration above 0"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(data_dir: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = gauntlet("token", "create", *arguments, "--data-dir", str(data_dir))
    assert refused.code == 1
    assert said in refused.err
    assert ok("token", "list", "--json", "--data-dir", str(data_dir)).json == []
