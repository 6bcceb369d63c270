"""Reference rows as they were written: the columns of a file's index are columns."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from chassis.digests import digest_file
from contracts import Dataset
from drift.scoring.references import References
from support.evidence_world import Kept


def test_a_column_in_the_index_of_the_file_is_a_column(tmp_path: Path) -> None:
    """Or drift would not watch it, without a word."""
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    path = tmp_path / "reference.parquet"
    frame.set_index("b").to_parquet(path)
    kept = Kept(tmp_path / "mlflow")
    dataset = Dataset(uri=kept.upload("r", path, "datasets"), digest=digest_file(path))
    found = References(kept, tmp_path / "cache").frame(dataset)  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(found, frame)
