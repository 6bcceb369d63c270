"""Rewrites an audit trail as somebody does who owns the database: one row is changed, the whole chain recomputed."""

from __future__ import annotations

import argparse
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

COLUMNS = ["sequence", "at", "actor", "action", "model_name", "model_version", "reason", "evidence", "correlation_id"]


def rewrite(database: Path, sequence: int, **changes: str) -> None:
    """Change columns of a row of a SQLite database; recompute every digest from it on, and the head."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        for column, value in changes.items():
            connection.execute(f"UPDATE audit SET {column} = ? WHERE sequence = ?", (value, sequence))
        last = "sha256:" + "0" * 64
        for row in connection.execute(f"SELECT {', '.join(COLUMNS)} FROM audit ORDER BY sequence").fetchall():
            entry = dict(zip(COLUMNS, row, strict=True)) | {"previous_digest": last}
            last = _digest(entry)
            connection.execute(
                "UPDATE audit SET previous_digest = ?, digest = ? WHERE sequence = ?",
                (entry["previous_digest"], last, entry["sequence"]),
            )
        connection.execute("UPDATE audit_head SET digest = ?, count = (SELECT count(*) FROM audit)", (last,))


def cut(database: Path, rows: int) -> None:
    """Remove all rows after this number, and the record of them."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM audit WHERE sequence > ?", (rows,))
        digest = "(SELECT digest FROM audit WHERE sequence = ?)"
        connection.execute(f"UPDATE audit_head SET count = ?, digest = {digest}", (rows, rows))


def copy(database: Path, target: Path) -> None:
    """Make `target` a copy; both may be in use."""
    with closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(target, timeout=30)) as into:
        source.backup(into)


def _digest(entry: dict[str, Any]) -> str:
    """Written anew from the documentation of the format, not with the code that is verified."""
    at = datetime.fromisoformat(str(entry["at"]))
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    fields = {
        **entry,
        "at": at.isoformat(timespec="microseconds"),
        "evidence": json.loads(str(entry["evidence"]), parse_float=_number),
    }
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return "sha256:" + sha256(canonical.encode()).hexdigest()


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", type=Path)
    parser.add_argument("sequence", type=int)
    parser.add_argument("reason")
    given = parser.parse_args()
    rewrite(given.database, given.sequence, reason=given.reason)
