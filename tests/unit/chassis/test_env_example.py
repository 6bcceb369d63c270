"""`.env.example` says what the settings classes say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chassis.env_example import env_example, main

SERVICES = ("trainer", "gatekeeper", "serving", "drift")
COMMITTED = Path(__file__).parents[3] / ".env.example"


def test_the_committed_file_is_what_the_settings_say_today() -> None:
    assert COMMITTED.read_text() == env_example(SERVICES), (
        f"out of date: python -m chassis.env_example {' '.join(SERVICES)} > .env.example"
    )


def test_every_setting_is_there_once_with_a_description() -> None:
    text = env_example(SERVICES)
    names = re.findall(r"^# ([A-Z_]+)=", text, re.MULTILINE)
    assert len(names) == len(set(names))
    assert {"KAFKA_BOOTSTRAP_SERVERS", "DATABASE_URL", "SERVING_ROLE", "GATEKEEPER_PORT"} <= set(names)
    assert not re.search(r"^\n# [A-Z_]+=", text, re.MULTILINE), "a setting without a description"


def test_every_line_is_a_comment_so_that_a_copy_changes_nothing() -> None:
    assert all(line.startswith("#") or not line for line in env_example(SERVICES).splitlines())


def test_an_unknown_service_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nosuchservice"]) == 1
    assert "nosuchservice" in capsys.readouterr().err
