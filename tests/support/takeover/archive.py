"""The archive of a recorded stack: its files and its topics in one compressed tar, without a trace of where it was."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from support.takeover.topics import Kept

KEPT = (
    "databases",
    "mlflow",
    "serving",
    "gatekeeper/artifacts",
    "gatekeeper/evidence",
    "gatekeeper/predictions",
    "drift",
)
"""Of a data directory: all but the broker's own files, logs, and scratch space."""
TOPICS, RECORDED = "topics.jsonl", "recorded.json"


def gather(data_dir: Path, into: Path, topics: Iterable[Kept], recorded: Any) -> None:
    """Copy what a stopped stack has left, and write down its topics and answers."""
    for name in KEPT:
        if (data_dir / name).exists():
            shutil.copytree(data_dir / name, into / "data" / name)
    for database in (into / "data").rglob("*.db"):
        _shrink(database)
    (into / TOPICS).write_text("".join(each.line() + "\n" for each in topics))
    (into / RECORDED).write_text(json.dumps(recorded, indent=1, sort_keys=True))


def pack(folder: Path, target: Path) -> None:
    """The same files give the same bytes."""
    with tarfile.open(target, "w:xz", preset=9) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, path.relative_to(folder).as_posix(), recursive=False, filter=_plain)


def unpack(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        tar.extractall(into, filter="data")


def topics(folder: Path) -> list[Kept]:
    return [Kept.of(line) for line in (folder / TOPICS).read_text().splitlines()]


def recorded(folder: Path) -> Any:
    return json.loads((folder / RECORDED).read_text())


def traces(folder: Path, words: Iterable[str]) -> Iterator[str]:
    """Where a file names a place on this machine, or the machine."""
    for path in sorted(folder.rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        for word in words:
            if (at := content.find(word.encode())) >= 0:
                yield f"{path.relative_to(folder)}: {content[max(0, at - 60) : at + 60]!r}"


def here(*folders: Path) -> list[str]:
    """What must not be in an archive: folders of this machine, and its name as workers' names have it."""
    return [*map(str, folders), f"{Path.home()}/", f"{tempfile.gettempdir()}/", f"-{socket.gethostname()}-"]


def _shrink(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        with connection:
            if "drift_reports" in tables:  # megabytes of a plotting library, drawn once
                connection.execute("UPDATE drift_reports SET page = NULL, note = 'left out of the archive'")
        connection.execute("VACUUM")


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member
