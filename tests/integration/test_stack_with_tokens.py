"""A stack with AUTH=tokens, from registration to rollback, by people and programs with different roles."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from gauntlet.credentials import VARIABLE, credentials_file
from gauntlet.stack import Stack
from gauntlet.stack_config import StackConfig, free_ports
from support.candidates import Candidates
from support.cli import Ended, gauntlet, ok
from support.gatekeepers import POLICY
from support.waiting import eventually

pytestmark = pytest.mark.usefixtures("no_registry_of_other_tests")

NAME = "shop"
ROLES = {"olga": "operator", "vera": "viewer", "anna": "approver", "root": "admin", "shop-site": "client"}


@dataclass
class People:
    data_dir: Path
    tokens: dict[str, str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, who: str | None, *command: str) -> Ended:
        """Run a command as somebody; None: without a token."""
        if who is None:
            self.monkeypatch.delenv(VARIABLE, raising=False)
        else:
            self.monkeypatch.setenv(VARIABLE, self.tokens[who])
        return gauntlet(*command, "--data-dir", str(self.data_dir))


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> People:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("AUTH_TOKENS_FILE", "GAUNTLET_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    data_dir = tmp_path / "stack"
    create = ("token", "create", "--data-dir", str(data_dir))
    tokens = {who: ok(*create, who, "--role", role).out.strip() for who, role in ROLES.items()}
    return People(data_dir, tokens, monkeypatch)


@pytest.fixture
def stack(people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    policies = tmp_path / "policies"
    policies.mkdir()
    (policies / f"{NAME}.yaml").write_text(yaml.safe_dump({"model": NAME, **POLICY}))
    config = StackConfig(
        people.data_dir,
        free_ports(),
        policies_dir=policies,
        environment={"AUTH": "tokens"},
        services=("gatekeeper", "serving", "staging"),
    )
    with Stack(config) as running:
        yield running


def test_from_registration_to_rollback_everybody_does_what_their_role_permits(
    stack: Stack, people: People, tmp_path: Path
) -> None:
    candidates = Candidates(stack.url("mlflow"), tmp_path / "candidates")
    for kind in ("good", "worse"):
        candidates.version(NAME, kind)
    predict_to, rows = tmp_path / "predicted.csv", tmp_path / "rows.csv"
    rows.write_text("a,b\n0.5,1.0\n")
    predict = ("predict", NAME, "--input", str(rows), "--output", str(predict_to))

    def served() -> str | None:
        if people("shop-site", *predict).code != 0:
            return None
        return next(csv.DictReader(predict_to.open()))["model_version"]

    registered = people("olga", "register", NAME, "1", "--wait")
    assert registered.code == 0, registered.err
    eventually(lambda: served() == "1", timeout=60)
    failed = people("olga", "register", NAME, "2", "--wait")
    assert failed.code == 1, failed.out

    promote = ("promote", NAME, "2", "--reason", "the fair is on")
    for who, named in ((None, "gauntlet login"), ("vera", "whoami"), ("olga", "whoami"), ("anna", "admin")):
        refused = people(who, *promote)
        assert (refused.code, named in refused.err) == (1, True), f"{who}: {refused.err}"
    named = people("root", *promote, "--actor", "somebody")
    assert (named.code, "you are root" in named.err) == (1, True), named.err
    promoted = people("root", *promote)
    assert promoted.code == 0, promoted.err
    assert "override by root" in promoted.out
    eventually(lambda: served() == "2", timeout=60)

    assert people("vera", *predict).code == 1
    row = next(csv.DictReader(predict_to.open()))
    truth = {"request_id": row["request_id"], "row": int(row["request_row"]), "label": 1}
    at = f"{stack.url('serving')}/models/{NAME}/feedback"
    given = {
        who: httpx.post(at, json=truth, headers={"Authorization": f"Bearer {people.tokens[who]}"}, timeout=30)
        for who in ("vera", "shop-site")
    }
    assert {who: answer.status_code for who, answer in given.items()} == {"vera": 403, "shop-site": 202}

    back = ("rollback", NAME, "--reason", "too slow")
    assert people("anna", *back).code == 1
    rolled = people("olga", *back)
    assert rolled.code == 0, rolled.err
    assert "rollback by olga" in rolled.out
    eventually(lambda: served() == "1", timeout=60)
    assert people("vera", "models").code == 0
    assert people("shop-site", "models").code == 1
    status = people("vera", "status", "--json").json
    assert status["healthy"]
    assert next(part["policies"] for part in status["parts"] if part["name"] == "gatekeeper")["in_force"].keys() == {
        NAME
    }

    log_in_and_out(people)
    nothing_shows_a_token(stack, people)


def log_in_and_out(people: People) -> None:
    people.monkeypatch.setattr("sys.stdin", io.StringIO("gauntlet_0123456789abcdef_" + "x" * 43 + "\n"))
    wrong = people(None, "login")
    assert (wrong.code, "standard input is not valid there" in wrong.err) == (1, True), wrong.err
    assert not credentials_file().exists()
    people.monkeypatch.setattr("sys.stdin", io.StringIO(people.tokens["vera"] + "\n"))
    assert "logged in as vera" in people(None, "login").out
    assert "vera (token), roles: viewer, models: *; token from" in people(None, "whoami").out
    assert people(None, "candidates", NAME).code == 0
    assert "removed the token" in people(None, "logout").out
    assert people(None, "whoami").code == 1


def nothing_shows_a_token(stack: Stack, people: People) -> None:
    """Neither a file of the stack or its logs, nor arguments or environment of a process that it started."""
    secrets = {who: token.split("_", 2)[2] for who, token in people.tokens.items()}
    texts = {str(path): path.read_text(errors="replace") for path in people.data_dir.glob("logs/*.log")}
    texts |= {str(path): path.read_text(errors="replace") for path in people.data_dir.glob("*.*") if path.is_file()}
    for name, pid in stack.pids.items():
        process = psutil.Process(pid)
        texts[name] = f"{process.cmdline()} {process.environ()}"
    assert len(texts) > 10
    assert [(who, where) for where, text in texts.items() for who, secret in secrets.items() if secret in text] == []
