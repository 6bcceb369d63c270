"""The tutorial, and how a stack is secured: the files and commands of the pages, in their order, against a stack of its
own each; what they show is what one sees.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

import pytest

from embedded_kafka.probe import taken
from gauntlet.stack_config import offset_ports
from support.waiting import eventually

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "tutorial" / "from-a-notebook-to-promoted.md"
SECURE = DOCS / "how-to" / "secure.md"
SEEN_SOON = ("gauntlet models", "curl ")
"""What replicas show a moment after a promotion: repeated until it shows what the page does."""
ELSEWHERE = (
    "KAFKA_BOOTSTRAP_SERVERS",
    "MLFLOW_TRACKING_URI",
    "DATABASE_URL",
    "POLICIES_DIR",
    "GAUNTLET_DATA_DIR",
    "GAUNTLET_FORK_SERVER",
    "GAUNTLET_TOKEN",
    "AUTH",
    "AUTH_TOKENS_FILE",
)
PATTERNS = (
    (r"sha256:[0-9a-f]{64}", "DIGEST"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|\b[0-9a-f]{32}\b", "ID"),
    (r"(?<!\bv)(?<!epoch )(?<!epoch\":)(?<!_version\":)\d[\d,]*(\.\d+)?(e-\d+)?", "N"),  # not those of versions, epochs
    (r"\s+", " "),
)


@dataclass
class Step:
    """A file to save, or a command with the lines that the page shows below it."""

    name: str
    content: str = ""
    shown: list[str] = field(default_factory=list)

    @property
    def is_file(self) -> bool:
        return bool(self.content)


def steps(text: str) -> Iterator[Step]:
    for found in re.finditer(r"[Ss]ave this as\s+`(\S+)`:\n\n```\w+\n(.*?)```|```console\n(.*?)```", text, re.DOTALL):
        name, content, session = found.groups()
        if name:
            yield Step(name, content)
            continue
        for command in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            line, *shown = command.splitlines()
            yield Step(line, shown=shown)


def masked(line: str) -> str:
    for pattern, word in PATTERNS:
        line = re.sub(pattern, word, line)
    return line.strip()


def missing(shown: list[str], seen: list[str]) -> str | None:
    """The first line of `shown` that does not come in `seen` after the ones before it."""
    rest = iter(seen)
    return next((line for line in shown if line not in rest), None)


@dataclass(frozen=True)
class Reader:
    """Somebody who follows the page in `folder`, and moves every port by `offset` as the page says."""

    folder: Path
    offset: int

    @property
    def own(self) -> dict[str, str]:
        """Where `gauntlet login` stores tokens."""
        return {"XDG_CONFIG_HOME": str(self.folder / "config")}

    def moved(self, text: str) -> str:
        moved = re.sub(r"(?<=127\.0\.0\.1:)\d+", lambda port: str(int(port[0]) + self.offset), text)
        return moved.replace("gauntlet up --detach", f"gauntlet up --detach --port-offset {self.offset}")

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", self.moved(command)],
            cwd=self.folder,
            env=environment | {"PATH": path, "COLUMNS": "120", "PYTHONUNBUFFERED": "1", **self.own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # as a terminal shows both
            text=True,
            timeout=120,
            check=False,
        )

    def follow(self, step: Step) -> None:
        ended = self.run(step.name)
        assert ended.returncode == 0, f"$ {step.name}\n{ended.stdout}"
        seen = [masked(line) for line in ended.stdout.splitlines()]
        lost = missing([masked(self.moved(line)).replace("by root", f"by {getuser()}") for line in step.shown], seen)
        assert lost is None, f"$ {step.name}\nnot seen: {lost}\n{ended.stdout}"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    offset = next(o for o in iter(lambda: random.randrange(1_000, 20_000), None) if not _any_taken(o))
    (tmp_path / "policies").mkdir()
    reader = Reader(tmp_path, offset)
    yield reader
    if (tmp_path / ".gauntlet").exists():
        reader.run("gauntlet down")


def _any_taken(offset: int) -> bool:
    return any(taken(port) for port in offset_ports(offset).values())


@pytest.mark.timeout(600)  # of which a quiet machine takes one tenth
def test_the_tutorial_shows_what_one_sees(reader: Reader) -> None:
    found = list(steps(PAGE.read_text()))
    assert sum(step.is_file for step in found) == 6
    assert len(found) > 15, "the page has lost its commands"
    for step in found:
        if step.is_file:
            (reader.folder / step.name).write_text(reader.moved(step.content))
        elif step.name.startswith(SEEN_SOON):
            eventually(lambda step=step: reader.follow(step) is None, timeout=30, interval=0.5)
        else:
            reader.follow(step)


@pytest.mark.timeout(300)  # of which a quiet machine takes one tenth
def test_a_stack_is_secured_as_the_page_says(reader: Reader) -> None:
    found = list(steps(SECURE.read_text()))
    assert len(found) > 12, "the page has lost its commands"
    for step in found:
        reader.follow(step)
    config = reader.folder / "config" / "gauntlet" / "credentials.json"
    assert config.exists(), "login stored something there, and logout removed it"
    assert "gauntlet_" not in config.read_text()


def test_a_line_that_is_not_seen_is_found() -> None:
    page = "registered v1 (event 41a779a2-dcc8-418f-889e-cddf6c26ac55)", "Passed  v1", '{"epoch":3, "score":0.25}'
    seen = [masked(line) for line in page]
    assert missing([masked('{"epoch":3, "score":0.75}')], seen) is None, "figures are not compared"
    assert missing([masked("registered v1 (event 755f8d73-3d5b-46cc-affa-87a2edfd8237)")], seen) is None, "nor ids"
    assert missing([masked('{"epoch":2, "score":0.25}')], seen) == '{"epoch":2, "score":N}', "epochs are"
    assert missing([masked("Passed v2")], seen) == "Passed v2", "and versions"
    assert missing([masked("Passed v1"), masked("registered v1")], seen) is not None, "the order counts"
