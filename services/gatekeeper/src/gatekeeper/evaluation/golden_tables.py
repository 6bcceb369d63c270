"""Files of golden rows: Parquet, or a table as `mlflow.log_table` writes it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TABLE_FILE = "eval_results_table.json"
"""Of `mlflow.models.evaluate` with metrics that have a score per row: features, target, predictions, scores."""
LARGEST_TABLE = 64 * 1024 * 1024
PARQUET = b"PAR1"


def read_table(path: Path) -> pa.Table:
    """Read a file by its content. Raises pyarrow's exceptions, ValueError and OSError."""
    if _is_parquet(path):
        return pq.read_table(path)
    if path.stat().st_size > LARGEST_TABLE:
        raise ValueError(f"it is no Parquet file, and too large for a table in JSON ({LARGEST_TABLE} bytes)")
    try:
        said = json.loads(path.read_bytes())
        frame = pd.DataFrame(said["data"], columns=said["columns"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError("it is no Parquet file, and no table of mlflow.log_table") from error
    return pa.Table.from_pandas(frame, preserve_index=False)


def rows_in(path: Path) -> int:
    """Count the rows. Raises as `read_table`."""
    return int(pq.read_metadata(path).num_rows if _is_parquet(path) else read_table(path).num_rows)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(PARQUET)) == PARQUET
