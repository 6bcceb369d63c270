"""A durable record of the newest verified decision about each model, with its signature.

With it, a replica that restarts does not go back to an earlier decision that somebody has put in the place of the
newest on a compacted topic: its signature is valid, and nothing else on the topic says that it is old. A kept decision
is verified again when it is read, so a changed file makes no version believed. SQLite is what makes a write complete or
absent, and orders the writes of several workers, and of both roles, that share the folder.
"""

from __future__ import annotations

import json
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from chassis.errors import Transient
from chassis.signing.precedence import Place
from contracts.cloudevents import Record

WAIT_SECONDS = 5.0
"""For another worker that writes."""

_TABLE = """
CREATE TABLE IF NOT EXISTS decisions (
    topic TEXT, model_name TEXT, number INTEGER, time INTEGER, event_id TEXT, key BLOB, value BLOB, headers TEXT,
    PRIMARY KEY (topic, model_name)
)"""
_KEEP = """
INSERT INTO decisions VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (topic, model_name) DO UPDATE SET
    number = excluded.number, time = excluded.time, event_id = excluded.event_id,
    key = excluded.key, value = excluded.value, headers = excluded.headers
WHERE (excluded.number, excluded.time, excluded.event_id) > (number, time, event_id)"""


class Kept(NamedTuple):
    """A verified decision as it was read: the record, and its place among those of its topic and model."""

    model_name: str
    place: Place
    record: Record


class DecisionRecord:
    """All methods block, and raise Transient when the file cannot be read or written."""

    def __init__(self, path: Path, prefix: str) -> None:
        """`prefix`: of the topics; stacks with different ones may share the file."""
        self.path = path
        self._prefix = prefix

    def read(self, topics: Iterable[str]) -> list[Kept]:
        """Return what is kept of these topics, which are without prefix."""
        found = []
        with self._opened() as connection:
            for topic in topics:
                columns = "model_name, number, time, event_id, CAST(key AS BLOB), CAST(value AS BLOB), headers"
                rows = connection.execute(f"SELECT {columns} FROM decisions WHERE topic = ?", (self._prefix + topic,))
                for name, number, time, event_id, key, value, headers in rows:
                    known = [(each, None if text is None else b64decode(text)) for each, text in json.loads(headers)]
                    found.append(Kept(name, Place(number, time, event_id), Record(topic, key, value, known)))
        return found

    def keep(self, decisions: Iterable[Kept]) -> None:
        """Keep each of them that is newer than what is kept of its topic and model. Durable when it returns."""
        rows = []
        for model_name, place, record in decisions:
            headers = [[name, None if value is None else b64encode(value).decode()] for name, value in record.headers]
            topic = self._prefix + record.topic
            rows.append((topic, model_name, *place, record.key, record.value, json.dumps(headers)))
        with self._opened() as connection:
            connection.executemany(_KEEP, rows)

    def forget(self, decisions: Iterable[Kept]) -> None:
        """Remove exactly these."""
        where = "topic = ? AND model_name = ? AND number = ? AND time = ? AND event_id = ?"
        rows = [(self._prefix + record.topic, model_name, *place) for model_name, place, record in decisions]
        with self._opened() as connection:
            connection.executemany(f"DELETE FROM decisions WHERE {where}", rows)

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.touch(mode=0o600)
            connection = sqlite3.connect(self.path, timeout=WAIT_SECONDS)
            try:
                with connection:
                    connection.execute("PRAGMA synchronous = FULL")
                    connection.execute(_TABLE)
                    yield connection
            finally:
                connection.close()
        except (OSError, sqlite3.Error, ValueError, TypeError) as error:  # the last two: what is no list of headers
            raise Transient(f"the record of verified decisions, {self.path}: {error}") from error
