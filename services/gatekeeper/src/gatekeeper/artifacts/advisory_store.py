"""The folder that `gauntlet advisories update` fills: one file of advisories, and one that says where they are from."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

FILE = "advisories.jsonl"
STATE = "state.json"
OLD = timedelta(days=30)


@dataclass(frozen=True)
class State:
    """`as_of`: the newest change of an advisory, or the time of an audit; ISO 8601, with an offset."""

    source: str
    updated_at: str
    as_of: str
    advisories: int
    packages: int
    covers: Mapping[str, list[str]] | None = None
    """Versions of packages that an audit looked at; None for a database, which knows all packages."""

    def problem(self, now: datetime) -> str | None:
        """Return why they should be updated."""
        age = now - datetime.fromisoformat(self.as_of)
        if age <= OLD:
            return None
        return f"the newest is of {self.as_of[:10]}, {age.days} days ago: gauntlet advisories update"


def write(folder: Path, advisories: Iterable[Mapping[str, Any]], state: State) -> None:
    """Replace what is there; a gatekeeper that reads meanwhile finds the old or the new file, and reads again."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as scratch:
        lines, about = Path(scratch) / FILE, Path(scratch) / STATE
        with lines.open("w") as file:
            for advisory in advisories:
                file.write(json.dumps(advisory, default=str, separators=(",", ":")) + "\n")
        about.write_text(json.dumps(asdict(state), indent=2) + "\n")
        lines.replace(folder / FILE)
        about.replace(folder / STATE)
    os.utime(folder)  # the reader looks at the folder's time


def read(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the advisories of a file that `write` wrote."""
    with path.open() as file:
        for line in file:
            yield json.loads(line)


def read_state(folder: Path) -> State | None:
    """Return where the advisories are from; None for a folder that something else filled, or that is damaged."""
    try:
        return State(**json.loads((folder / STATE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
