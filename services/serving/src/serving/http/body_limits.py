"""Estimate the size of the table that MLflow's scoring code would build from a body, before it builds it.

A table has a cell for every row and every column that any row has: if rows share no columns, a body of one megabyte
makes ten billion cells. A body whose rows have the same columns has fewer cells than bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO
from typing import Any

import pyarrow.parquet as parquet

FREE = 4 * 1024 * 1024
"""Cells that any body may make; bodies below `SMALL` bytes cannot make more."""
SMALL = 8 * 1024


def is_bomb(body: bytes, mime_type: str) -> bool:
    """Return whether the table would be far larger than the body. False for an invalid body: MLflow reports it."""
    return len(body) > SMALL and _cells(body, mime_type) > max(FREE, len(body))


def _cells(body: bytes, mime_type: str) -> int:
    if mime_type == "text/csv":
        widths = [line.count(b",") + 1 for line in BytesIO(body.replace(b"\r", b"\n"))]
        return len(widths) * max(widths)
    try:
        if "parquet" in mime_type:
            about = parquet.read_metadata(BytesIO(body))
            return int(about.num_rows * about.num_columns)
        found = json.loads(body)
    except Exception:  # a parser may raise anything on hostile input
        return 0
    if not isinstance(found, dict):
        return 0
    return max((_of_form(given) for given in found.values() if isinstance(given, list | dict)), default=0)


def _of_form(given: list[Any] | dict[str, Any]) -> int:
    rows, columns = _extent(given)
    if isinstance(given, dict) and "data" in given:
        rows_of_data, columns_of_data = _extent(given["data"])
        split_rows = max(rows_of_data, _length(given.get("index")))
        split_columns = max(columns_of_data, _length(given.get("columns")))
        return max(rows * columns, split_rows * split_columns)
    return rows * columns


def _extent(given: Any) -> tuple[int, int]:
    """Return the numbers of rows and columns of a list of rows, or of an object of columns."""
    if isinstance(given, dict):
        return _widest(given.values()), len(given)
    return (len(given), _widest(given)) if isinstance(given, list) else (1, 1)


def _widest(items: Iterable[Any]) -> int:
    items = list(items)
    lists = max((len(item) for item in items if isinstance(item, list)), default=0)
    names = set().union(*(item for item in items if isinstance(item, dict)))
    return max(lists, len(names), 1)


def _length(labels: Any) -> int:
    """Return the length of an index; a multi-level index is a list of lists."""
    return max(len(labels), _widest(labels)) if isinstance(labels, list) else 1
