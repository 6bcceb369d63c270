"""Bad input to every command that talks to the stack: an exit code, a message with the value, no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from gauntlet.endpoints import VARIABLES
from support.cli import gauntlet

SILENT = "http://127.0.0.1:1"
"""Nothing listens on port 1."""

OURS = {
    *(
        "register",
        "train",
        "models",
        "candidates",
        "show",
        "audit",
        "audit verify",
        "promote",
        "rollback",
        "freeze",
        "unfreeze",
        "rollouts",
        "fleet",
        "drift",
        "approve",
        "refuse",
        "abort",
    ),
    *("predict", "events tail", "dead-letters list", "dead-letters show", "dead-letters replay"),
    *("dead-letters discard", "policy check"),
}
"""The commands that talk to a stack; those that run one have tests of their own."""


BAD = [
    ("drift flights/delay", "'flights/delay'"),
    ("drift flights --window flights-v1-w1", "exclude each other"),
    ("drift --drift localhost:8020", "localhost:8020"),
    ("drift --limit 0", "'0'"),
    ("register flights x", "'x'"),
    ("register flights 0", "'0'"),
    ("register flights/delay 1", "'flights/delay'"),
    ("register flights", "VERSION"),
    ("register flights 1 --mlflow sqlite:///m.db", "'sqlite:///m.db'"),
    ("train flights/delay", "'flights/delay'"),
    ("train flights --timeout soon", "'soon'"),
    ("train flights --window a --from-run b", "--from-run"),
    ("train flights --kafka broker", "'broker'"),
    ("events tail --type promotd", "'promotd'"),
    ("events tail --limit 0", "'0'"),
    ("dead-letters show", "ID"),
    ("dead-letters replay", "--all"),
    ("dead-letters replay x --all", "--all"),
    ("dead-letters replay x --topic t", "--topic"),
    ("dead-letters replay --all --key k", "--key"),
    ("dead-letters replay x --value nosuchfile", "nosuchfile"),
    ("dead-letters list --kafka 127.0.0.1:x", "'127.0.0.1:x'"),
    ("dead-letters discard", "ID"),
    ("models --gatekeeper localhost:8010", "localhost:8010"),
    ("candidates flights/delay", "'flights/delay'"),
    ("candidates --limit many", "'many'"),
    ("show flights one", "'one'"),
    ("show flights", "VERSION"),
    ("audit", "NAME"),
    ("audit .hidden", "'.hidden'"),
    ("audit show", "NAME"),
    ("audit flights --limit none", "'none'"),
    ("audit --limit none flights", "'none'"),
    ("audit verify --head sha256:12", "'sha256:12'"),
    ("promote flights 1", "--reason"),
    ("promote flights -1 --reason r", "-1"),
    ("promote flights 1 --reason=", "reason is empty"),
    ("rollback flights --to 0 --reason r", "'0'"),
    ("rollback flights --reason r --actor=", "actor is empty"),
    ("freeze flights", "--reason"),
    ("unfreeze fl!ghts --reason r", "'fl!ghts'"),
    ("rollouts fl!ghts", "'fl!ghts'"),
    ("rollouts --follow", "--follow follows the rollout of one model"),
    ("rollouts flights --follow --json", "neither --all nor --json"),
    ("rollouts --limit 0", "'0'"),
    ("fleet", "NAME"),
    ("fleet fl!ghts", "'fl!ghts'"),
    ("approve", "NAME"),
    ("approve flights --reason=", "reason is empty"),
    ("approve flights --actor=", "actor is empty"),
    ("refuse flights", "--reason"),
    ("refuse fl!ghts --reason r", "'fl!ghts'"),
    ("abort flights", "--reason"),
    ("abort flights --reason=", "reason is empty"),
    ("policy check p.yaml --rate often", "'often'"),
    ("predict flights --input a.csv", "--output"),
    ("predict flights --input a.csv --output b.csv", "a.csv"),
    ("predict flights --input a.doc --output b.csv", "'.doc'"),
    ("policy check nosuch.yaml", "nosuch.yaml"),
    ("policy chek p.yaml", "chek"),
    ("nosuchcommand", "nosuchcommand"),
]


@pytest.mark.parametrize(("args", "expected"), BAD)
def test_bad_input_is_named(args: str, expected: str) -> None:
    ended = gauntlet(*args.split())
    assert ended.code in (1, 2)
    assert expected in " ".join(ended.err.split())


@pytest.mark.parametrize(("option", "column"), [("--label", "delay"), ("--entity", "who"), ("--event-time", "at")])
def test_a_column_that_a_file_of_golden_rows_does_not_have_is_named(option: str, column: str) -> None:
    Path("rows.csv").write_text("distance,late\n1,0\n")
    ended = gauntlet("golden", "create", "flights", "rows.csv", option, column, "--gatekeeper", SILENT)
    assert ended.code == 1
    assert f"rows.csv has no column {column!r}" in ended.err and "It has: distance, late" in ended.err


def test_every_command_is_tried() -> None:
    assert {command for command in OURS if not any(args.startswith(command) for args, _ in BAD)} == set()


@pytest.mark.parametrize(
    "args",
    [
        "register flights 1 --mlflow {silent}",
        "train flights --kafka 127.0.0.1:1",
        "train flights --from-run r --mlflow {silent}",
        "events tail --kafka 127.0.0.1:1",
        "dead-letters list --kafka 127.0.0.1:1",
        "dead-letters show x --kafka 127.0.0.1:1",
        "dead-letters replay --all --kafka 127.0.0.1:1",
        "dead-letters discard x --kafka 127.0.0.1:1",
        "models --gatekeeper {silent}",
        "candidates --gatekeeper {silent}",
        "show flights 1 --gatekeeper {silent}",
        "audit flights --gatekeeper {silent}",
        "audit --limit 5 verify --gatekeeper {silent}",
        "audit verify --gatekeeper {silent}",
        "promote flights 1 --reason r --gatekeeper {silent}",
        "rollback flights --reason r --gatekeeper {silent}",
        "freeze flights --reason r --gatekeeper {silent}",
        "unfreeze flights --reason r --gatekeeper {silent}",
        "rollouts --gatekeeper {silent}",
        "rollouts flights --follow --gatekeeper {silent}",
        "fleet flights --gatekeeper {silent}",
        "approve flights --gatekeeper {silent}",
        "refuse flights --reason r --gatekeeper {silent}",
        "abort flights --reason r --gatekeeper {silent}",
        "predict flights --input in.csv --output out.csv --serving {silent}",
    ],
)
def test_a_part_that_does_not_answer_is_named_with_its_address_and_setting(args: str) -> None:
    Path("in.csv").write_text("distance\n1\n")
    words = args.format(silent=SILENT).split()
    ended = gauntlet(*words)
    assert ended.code == 1
    assert "127.0.0.1:1 does not answer" in ended.err
    assert f"Check {words[-2]} or {VARIABLES[words[-2].removeprefix('--')]}." in ended.err
    assert not Path("out.csv").exists()


@pytest.mark.parametrize(
    "command",
    [
        "events tail",
        "dead-letters list",
        "register flights 1",
        "train flights",
        "models",
        "candidates",
        "show flights 1",
        "audit flights",
        "promote flights 1 --reason r",
        "rollback flights --reason r",
        "freeze flights --reason r",
        "rollouts flights",
        "fleet flights",
        "approve flights",
        "abort flights --reason r",
        "predict flights --input in.csv --output out.csv",
    ],
)
def test_without_a_stack_the_way_to_start_one_is_said(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gauntlet.stack_file.DEFAULT_PORTS", dict.fromkeys(("kafka", "mlflow", *PARTS), 1))
    Path("in.csv").write_text("distance\n1\n")
    ended = gauntlet(*command.split(), "--data-dir", "there")
    assert ended.code == 1
    assert "no stack is running in there: start one with `gauntlet up`" in ended.err


PARTS = ("trainer", "gatekeeper", "drift", "serving", "staging")


def test_a_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "plain")
    ended = gauntlet("dead-letters", "list")
    assert ended.code == 1
    assert "KAFKA_SECURITY_PROTOCOL='plain'" in ended.err
