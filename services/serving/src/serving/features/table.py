"""A SQL table with the current features of each entity, read by id into the values that a client would send."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import sqlalchemy as sql
from sqlalchemy.exc import NoSuchTableError, ProgrammingError, SQLAlchemyError

from chassis.errors import Permanent, Transient
from chassis.model_signature import Signature
from chassis.row_validation import Row, nearest

CHUNK = 1000
"""Values of one IN (…)."""
LARGEST_INTEGER = 2**63 - 1


class FeatureTable:
    """A table of features; thread-safe."""

    def __init__(self, engine: sql.Engine | Permanent, table: str, key: str, variable: str) -> None:
        """`table` may be `schema.table`. `variable` names the environment variable with the URL.

        `engine`: or why there is none, which every read raises.
        """
        self.engine = engine
        self.table, self.key, self.variable = table, key, variable
        self._reflected: sql.Table | None = None

    def read(self, ids: Sequence[str], signature: Signature) -> dict[str, Row]:
        """Return the rows of those ids that exist, with the columns that the model takes. Blocks.

        Raises Transient when the database does not respond, Permanent when the table is not as expected.
        """
        if isinstance(self.engine, Permanent):
            raise self._unusable(str(self.engine))
        try:
            with self.engine.connect() as connection:
                if self._reflected is None:
                    self._reflected = self._reflect(connection)
                return self._rows(connection, self._reflected, ids, signature)
        except NoSuchTableError:
            raise self._unusable("there is no such table") from None
        except ProgrammingError as error:
            raise self._unusable(_first_line(error)) from error
        except SQLAlchemyError as error:
            self._reflected = None
            raise Transient(f"the database of table {self.table!r} does not answer: {_first_line(error)}") from error

    def _unusable(self, why: str) -> Permanent:
        """Return the error, and let the next request inspect the table again: it may be fixed by then."""
        self._reflected = None
        return Permanent(f"table {self.table!r}: {why}")

    def _reflect(self, connection: sql.Connection) -> sql.Table:
        schema, _, name = self.table.rpartition(".")
        table = sql.Table(name, sql.MetaData(), schema=schema or None, autoload_with=connection, resolve_fks=False)
        if self.key not in table.columns:
            raise self._unusable(f"it has no column {self.key!r} (the policy's features.key); {_hint(self.key, table)}")
        return table

    def _rows(
        self, connection: sql.Connection, table: sql.Table, ids: Sequence[str], signature: Signature
    ) -> dict[str, Row]:
        kinds = {column.name: column.kind for column in signature.columns}
        for column in signature.columns:
            if column.required and column.name not in table.columns:
                raise self._unusable(f"it has no column {column.name!r}, which the model takes; {_hint('', table)}")
        if signature.event_time:
            kinds.setdefault(signature.event_time, "datetime")
        names = [name for name in kinds if name in table.columns]
        key = table.columns[self.key]
        by_key = _keys(ids, key)
        found: dict[str, Row] = {}
        values = list(by_key)
        for start in range(0, len(values), CHUNK):
            asked = key.in_(values[start : start + CHUNK])
            query = sql.select(key, *(table.columns[name].label(f"f{place}") for place, name in enumerate(names)))
            for entity, *row in connection.execute(query.where(asked)):
                entity_id = by_key.get(entity)
                if entity_id is None:
                    continue  # a case-insensitive collation: not the requested id
                if entity_id in found:
                    raise self._unusable(f"it has more than one row with {self.key} {entity_id!r}; expected one")
                found[entity_id] = {
                    name: self._jsonable(name, value, kinds[name]) for name, value in zip(names, row, strict=True)
                }
        return found

    def _jsonable(self, name: str, value: Any, kind: str) -> Any:
        try:
            return jsonable(value, kind)
        except TypeError as error:
            raise self._unusable(f"column {name!r} has {error}") from None


def jsonable(value: Any, kind: str) -> Any:
    """Convert a database's value to what a client would send for that kind. Raises TypeError for a non-scalar."""
    match value:
        case None | str() | bool():
            return value
        case int():
            return bool(value) if kind == "boolean" and value in (0, 1) else value  # not every database has booleans
        case float():
            return None if math.isnan(value) else value
        case Decimal():
            if value.is_nan():
                return None
            whole = kind in ("long", "integer") and value.is_finite() and value == value.to_integral_value()
            return int(value) if whole else float(value)
        case date() | time():  # a datetime is a date
            return value.isoformat()
        case UUID() | timedelta():
            return str(value)
    raise TypeError(f"a value of type {type(value).__name__}; expected a number, text, boolean or time")


def _keys(ids: Sequence[str], key: sql.Column[Any]) -> Mapping[Any, str]:
    """Map each value to look up to its id; without ids that no row can have."""
    try:
        kind = key.type.python_type
    except NotImplementedError:
        kind = str
    read = READERS.get(kind, str)
    found: dict[Any, str] = {}
    for entity_id in ids:
        try:
            value = read(entity_id)
        except (ValueError, InvalidOperation):
            continue
        if str(value) == entity_id and "\0" not in entity_id:
            found[value] = entity_id
    return found


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) > LARGEST_INTEGER:
        raise ValueError("no database has it")
    return value


READERS: dict[type, Callable[[str], Any]] = {int: _integer, Decimal: Decimal, UUID: UUID}


def _hint(name: str, table: sql.Table) -> str:
    return nearest(name, [column.name for column in table.columns])


def _first_line(error: SQLAlchemyError) -> str:
    """Return the database's error message, without the query and its values."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
