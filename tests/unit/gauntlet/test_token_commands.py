"""`gauntlet token`: what is printed, what is kept, and what is refused."""

from __future__ import annotations

import stat
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from chassis.auth.tokens import read_tokens
from support.cli import gauntlet, ok


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("AUTH_TOKENS_FILE", raising=False)
    return tmp_path / "data"


def test_a_token_is_printed_once_alone_and_only_its_hash_is_kept(data_dir: Path) -> None:
    made = ok("token", "create", "ci", "--role", "operator", "--role", "viewer", "--data-dir", str(data_dir))
    token = made.out.removesuffix("\n")
    path = data_dir / "tokens.yaml"
    (entry,) = read_tokens(path)
    assert token.startswith(f"gauntlet_{entry.id}_") and "\n" not in token
    assert (entry.subject, entry.roles, entry.models, entry.expires) == ("ci", ("operator", "viewer"), ("*",), None)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    shown = ok("token", "list", "--data-dir", str(data_dir)).out
    assert "ci" in shown and "operator, viewer" in shown and "never" in shown
    secret = token.rpartition(entry.id)[2]
    assert secret not in shown + made.err + path.read_text()
    assert entry.hash not in shown + ok("token", "list", "--json", "--data-dir", str(data_dir)).out


def test_a_token_may_end_be_for_some_models_and_belong_to_somebody(data_dir: Path) -> None:
    limits = ("--expires", "90d", "--models", "flights-*", "--models", "churn", "--subject", "ann")
    ok("token", "create", "ann-laptop", "--role", "client", *limits, "--data-dir", str(data_dir))
    (made,) = ok("token", "list", "--json", "--data-dir", str(data_dir)).json
    assert (made["name"], made["subject"], made["models"]) == ("ann-laptop", "ann", ["flights-*", "churn"])
    lasts = datetime.fromisoformat(made["expires"]) - datetime.fromisoformat(made["created"])
    assert timedelta(days=90) <= lasts < timedelta(days=90, minutes=1)


def test_a_token_is_revoked_by_its_name(data_dir: Path) -> None:
    create = ("token", "create", "--role", "client", "--subject", "ci", "--data-dir", str(data_dir))
    ok(*create, "old")
    ok(*create, "new")
    assert ok("token", "revoke", "old", "--data-dir", str(data_dir)).out == "old of ci is revoked\n"
    ends = {each["name"]: each["revoked"] for each in ok("token", "list", "--json", "--data-dir", str(data_dir)).json}
    assert ends["new"] is None and ends["old"] is not None
    assert "revoked 20" in ok("token", "list", "--data-dir", str(data_dir)).out
    again = gauntlet("token", "revoke", "another", "--data-dir", str(data_dir))
    assert (again.code, "'another'" in again.err) == (1, True)


def test_the_file_of_the_services_is_the_one_that_is_changed(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTH_TOKENS_FILE", str(tmp_path / "elsewhere.yaml"))
    ok("token", "create", "ci", "--role", "client", "--data-dir", str(data_dir))
    assert len(read_tokens(tmp_path / "elsewhere.yaml")) == 1
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ci", "--role", "king"), "'king' is no role"),
        (("a b", "--role", "viewer"), "name 'a b'"),
        (("ci", "--role", "viewer", "--expires", "soon"), "'soon' is not a duration"),
        (("ci", "--role", "viewer", "--expires", "0d"), "'0d' is not a duration above 0"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(data_dir: Path, arguments: tuple[str, ...], said: str) -> None:
    refused = gauntlet("token", "create", *arguments, "--data-dir", str(data_dir))
    assert refused.code == 1
    assert said in refused.err
    assert ok("token", "list", "--json", "--data-dir", str(data_dir)).json == []
