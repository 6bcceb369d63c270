"""Row keys, stored at training time so that a gate can detect golden rows that were trained on.

Three keys per row, 64 bits each: *exact* (every feature), *rounded* (numbers to three significant digits, so that a
row written with another precision is still found) and *entity*. Stored as sorted arrays: 8 bytes per distinct key,
24 MB for a million rows. A key matches by chance with probability m / 2⁶⁴ for m distinct keys: 5·10⁻¹⁴ for a million.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from chassis.splitmix64 import splitmix64

Keys = NDArray[np.uint64]

FORMAT = 1
KINDS = ("exact", "rounded", "entity")
DIGITS = 3
METADATA = b"gauntlet.row_keys"


@dataclass(frozen=True, eq=False)
class RowKeys:
    """The keys of n rows, in order; `entity` is None where no entity is known."""

    exact: Keys
    rounded: Keys
    entity: Keys | None


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """The distinct keys of the rows that a model was trained on, each kind sorted.

    `columns` are the inputs of the exact and rounded keys; `last_event_time` is that of the newest row.
    """

    columns: tuple[str, ...]
    rows: int
    exact: Keys
    rounded: Keys
    entity: Keys | None = None
    last_event_time: datetime | None = None

    @staticmethod
    def of(
        frame: pd.DataFrame, columns: Sequence[str], entity: str | None = None, event_time: str | None = None
    ) -> TrainedOn:
        """Compute the keys of training rows. Raises ValueError for a missing column."""
        keys = row_keys(frame, columns, entity)
        newest = frame[event_time].max() if event_time is not None and len(frame) else None
        return TrainedOn(
            columns=tuple(columns),
            rows=len(frame),
            exact=np.unique(keys.exact),
            rounded=np.unique(keys.rounded),
            entity=None if keys.entity is None else np.unique(keys.entity),
            last_event_time=None if newest is None or pd.isna(newest) else as_utc(newest),
        )

    def write(self, path: Path) -> None:
        """Write a Parquet file of (kind, key) with the other fields in its metadata."""
        kept = [getattr(self, kind) for kind in KINDS]
        found = [keys if keys is not None else np.empty(0, np.uint64) for keys in kept]
        kinds = np.repeat(np.arange(len(KINDS), dtype=np.uint8), [len(keys) for keys in found])
        about = {
            "format": FORMAT,
            "columns": list(self.columns),
            "rows": self.rows,
            "has_entity": self.entity is not None,
            "last_event_time": self.last_event_time.isoformat() if self.last_event_time else None,
        }
        table = pa.table({"kind": kinds, "key": np.concatenate(found)})
        pq.write_table(table.replace_schema_metadata({METADATA: json.dumps(about).encode()}), path)

    @staticmethod
    def read(path: Path) -> TrainedOn:
        """Read a file of `write`. Raises ValueError for any other file."""
        try:
            table = pq.read_table(path)
            about = json.loads((table.schema.metadata or {})[METADATA])
            kinds, keys = table["kind"].to_numpy(), table["key"].to_numpy().astype(np.uint64)
            newest = about["last_event_time"]
            exact, rounded, entity = (np.unique(keys[kinds == number]) for number in range(len(KINDS)))
            if about["format"] != FORMAT:
                raise ValueError(f"format {about['format']!r}; this version reads {FORMAT}")
            return TrainedOn(
                columns=tuple(map(str, about["columns"])),
                rows=int(about["rows"]),
                exact=exact,
                rounded=rounded,
                entity=entity if about["has_entity"] else None,
                last_event_time=datetime.fromisoformat(newest) if newest else None,
            )
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} holds no keys of training rows: {error}") from error


def row_keys(frame: pd.DataFrame, columns: Sequence[str], entity: str | None = None) -> RowKeys:
    """Compute the keys of rows. Raises ValueError for a missing column."""
    wanted = [*columns, *([entity] if entity else [])]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise ValueError(f"columns {missing} are missing; there are {sorted(map(str, frame.columns))[:30]}")
    exact, rounded = np.zeros(len(frame), np.uint64), np.zeros(len(frame), np.uint64)
    for name in sorted(columns):
        salt = np.uint64(_hash(name))
        column = frame[name]
        if _is_numeric(column):
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            own, coarse = _bits(values), _rounded(values)
        else:
            own = coarse = _words(column)
        exact, rounded = splitmix64(exact ^ splitmix64(own ^ salt)), splitmix64(rounded ^ splitmix64(coarse ^ salt))
    return RowKeys(exact, rounded, None if entity is None else _words(frame[entity]))


def as_utc(value: Any) -> datetime:
    """Convert to UTC; a time without a zone is assumed to be UTC."""
    time: datetime = pd.Timestamp(value).to_pydatetime(warn=False)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _is_numeric(column: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_complex_dtype(column.dtype)


def _bits(values: NDArray[np.float64]) -> Keys:
    """Return one bit pattern per number: -0.0 equals 0.0, and all NaN are equal."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0)
    return np.ascontiguousarray(plain).view(np.uint64)


def _rounded(values: NDArray[np.float64]) -> Keys:
    """Encode sign, three significant digits and exponent as integers, free of float rounding errors."""
    usable = np.isfinite(values) & (values != 0)
    safe = np.where(usable, np.abs(values), 1.0)
    exponent = np.floor(np.log10(safe))
    digits = np.rint(safe / np.power(10.0, exponent - (DIGITS - 1)))
    carried = digits >= 10**DIGITS
    digits, exponent = np.where(carried, digits / 10, digits), exponent + carried
    number = np.copysign(digits, values).astype(np.int64) * 1024 + exponent.astype(np.int64)
    return np.where(usable, number.view(np.uint64), _bits(values))


def _words(column: pd.Series[Any]) -> Keys:
    """Hash each value's text; a whole number has the same text as integer and as float. Missing has its own hash."""
    codes, values = pd.factorize(column)
    hashes = np.array([_hash(_word(value)) for value in values] + [_hash("\0missing")], dtype=np.uint64)
    return hashes[codes]


def _word(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, pd.Timestamp | datetime):
        return as_utc(value).isoformat()
    return str(value)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
