"""The one reader of Parquet files of rows, whatever wrote them: pandas, Arrow or Spark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


def read_frame(path: Path) -> pd.DataFrame:
    """Read a file with all of its columns. Raises pyarrow's exceptions, ValueError and OSError."""
    import pyarrow.parquet as pq

    return frame_of(pq.read_table(path))


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Return the rows, numbered from 0; column names are strings.

    `to_parquet` writes the index of a frame as further columns, which pandas makes the index again. Here a level that
    has a name (`frame.set_index("customer")`) is a column like any other. Levels without a name, and those whose name
    is a column's, are left out.
    """
    import pandas as pd

    frame: pd.DataFrame = table.to_pandas()
    frame.columns = frame.columns.map(str)
    levels: dict[str, Any] = {}
    for number, name in enumerate(frame.index.names):
        if name is not None and str(name) not in (*frame.columns, *levels):
            levels[str(name)] = pd.Series(frame.index.get_level_values(number))
    if not levels and frame.index.equals(pd.RangeIndex(len(frame))):
        return frame
    plain = frame.reset_index(drop=True)
    return pd.concat([plain, pd.DataFrame(levels)], axis=1) if levels else plain


def columns_of(schema: pa.Schema) -> dict[str, str]:
    """Return the names and Arrow types of the columns that `frame_of` returns, by a file's schema alone."""
    about = schema.pandas_metadata or {}
    named = {each.get("field_name"): each.get("name") for each in about.get("columns", ())}
    stored = {name: str(kind) for name, kind in zip(schema.names, schema.types, strict=True)}
    levels: list[tuple[Any, str]] = []
    for level in about.get("index_columns", ()):
        if isinstance(level, dict):  # a numbering, which is not stored
            levels.append((level.get("name"), "int64"))
        elif level in stored:
            levels.append((named.get(level), stored.pop(level)))
    return stored | {str(name): kind for name, kind in levels if name is not None and str(name) not in stored}
