"""What the queries of a gatekeeper cost: how many there are, what they read, and what their plans scan."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Engine, event

from chassis.database import Database

STEPS_AT_ONCE = 100
BOUNDED = ("models", "replicas", "leases", "waiting_challengers", "audit_head", "candidate_counts", "golden")
"""Tables that have a few rows a model, however long the past is; every other one grows."""


@dataclass
class Cost:
    """`steps`: of SQLite's virtual machine, in hundreds: what a query costs there, whatever the machine."""

    statements: list[tuple[str, Any]] = field(default_factory=list)
    steps: int = 0


@contextmanager
def costs() -> Iterator[Cost]:
    """Count the SELECTs of every engine of this process."""
    cost = Cost()

    def executed(_conn: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.lstrip().startswith(("SELECT", "WITH")):
            cost.statements.append((statement, parameters))

    def stepped() -> int:
        cost.steps += 1
        return 0

    def connected(connection: Any, _record: Any, _proxy: Any) -> None:
        if hasattr(connection, "set_progress_handler"):
            connection.set_progress_handler(stepped, STEPS_AT_ONCE)

    event.listen(Engine, "before_cursor_execute", executed)
    event.listen(Engine, "checkout", connected)
    try:
        yield cost
    finally:
        event.remove(Engine, "before_cursor_execute", executed)
        event.remove(Engine, "checkout", connected)


def scans(database: Database, statement: str, parameters: Any) -> list[str]:
    """Return the growing tables that the plan of a statement reads from their beginning, or in whole."""
    with database.engine.connect() as connection:
        if database.is_sqlite:
            return _sqlite_scans(connection, statement, parameters)
        return list(_postgres_scans(_plan(connection, "FORMAT JSON", statement, parameters), limited=False))


def rows_read(database: Database, statement: str, parameters: Any) -> int:
    """Return the rows of growing tables that PostgreSQL reads for a statement."""
    with database.engine.connect() as connection:
        return round(sum(_rows(_plan(connection, "ANALYZE, FORMAT JSON", statement, parameters))))


def _plan(connection: Connection, options: str, statement: str, parameters: Any) -> Any:
    for way in ("seqscan", "hashjoin", "mergejoin"):  # which are cheaper on the small tables of a test
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    found = connection.exec_driver_sql(f"EXPLAIN ({options}) {statement}", parameters).scalar_one()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def _sqlite_scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    limited = "LIMIT" in statement and not any("TEMP B-TREE FOR ORDER BY" in step for step in plan)
    names = _tables(statement)
    found = []
    for step in plan:
        match = re.match(r"SCAN (\w+)", step)
        table = names.get(match[1]) if match else None
        if table is not None and table not in BOUNDED and not limited:
            found.append(f"{step}: {table}")
    return found


def _tables(statement: str) -> dict[str, str]:
    """Return the tables of a statement by the name that its plan has for them."""
    named = re.findall(r"(?:FROM|JOIN|,)\s+(\w+)(?:\s+AS\s+(\w+))?", statement)
    return {alias or table: table for table, alias in named if not table.startswith(("anon_", "json_each"))}


def _postgres_scans(node: dict[str, Any], *, limited: bool) -> Iterator[str]:
    limited = (limited or node["Node Type"] == "Limit") and node["Node Type"] not in ("Sort", "Aggregate", "Hash")
    table = node.get("Relation Name")
    whole = node["Node Type"] == "Seq Scan" or ("Scan" in node["Node Type"] and "Index Cond" not in node)
    whole = whole and node["Node Type"] != "Bitmap Heap Scan"
    if table is not None and table not in BOUNDED and whole and not limited:
        yield f"{node['Node Type']} on {table}"
    for each in node.get("Plans", ()):
        yield from _postgres_scans(each, limited=limited)


def _rows(node: dict[str, Any]) -> Iterator[float]:
    if "Scan" in node["Node Type"] and node.get("Relation Name") not in BOUNDED:
        removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        yield (node["Actual Rows"] + removed) * node["Actual Loops"]
    for each in node.get("Plans", ()):
        yield from _rows(each)
