"""Bad input to every command that talks to the stack: an exit code, a message with the value, no traceback."""

from __future__ import annotations

import pytest

from support.cli import gauntlet

SILENT = "http://127.0.0.1:1"
"""Nothing listens on port 1."""


@pytest.mark.parametrize(
    ("args", "expected"),
    [
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
        ("policy check", "FILE"),
        ("policy chek p.yaml", "chek"),
        ("nosuchcommand", "nosuchcommand"),
    ],
)
def test_bad_input_is_named(args: str, expected: str) -> None:
    ended = gauntlet(*args.split())
    assert ended.code in (1, 2)
    assert expected in " ".join(ended.err.split())


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
    ],
)
def test_a_part_that_does_not_answer_is_named_with_its_address_and_setting(args: str) -> None:
    ended = gauntlet(*args.format(silent=SILENT).split())
    assert ended.code == 1
    assert "127.0.0.1:1" in ended.err
    option, variable = ("--mlflow", "MLFLOW_TRACKING_URI") if SILENT in ended.err else ("--kafka", "KAFKA_BOOTSTRAP")
    assert option in ended.err
    assert variable in ended.err


@pytest.mark.parametrize("command", ["events tail", "dead-letters list", "register flights 1", "train flights"])
def test_without_a_stack_the_way_to_start_one_is_said(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gauntlet.stack_file.DEFAULT_PORTS", dict.fromkeys(("kafka", "mlflow", *PARTS), 1))
    ended = gauntlet(*command.split(), "--data-dir", "there")
    assert ended.code == 1
    assert "no stack is running in there: start one with `gauntlet up`" in ended.err


PARTS = ("trainer", "gatekeeper", "drift", "serving", "staging")


def test_a_wrong_setting_is_named_with_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "plain")
    ended = gauntlet("dead-letters", "list")
    assert ended.code == 1
    assert "KAFKA_SECURITY_PROTOCOL='plain'" in ended.err
