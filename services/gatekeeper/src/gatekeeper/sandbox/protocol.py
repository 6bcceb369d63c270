"""The files that the two sides of the sandbox exchange in its scratch folder."""

from __future__ import annotations

REQUEST = "request.json"
FACTS = "facts.json"
FEATURES = "features.parquet"
FIRST, SECOND, GOLDEN = "first.npy", "second.npy", "golden.npy"
ALONE = "alone.npy"
MOST_ALONE = 20
"""Rows that are also predicted one by one."""
SECONDS, BATCH_SECONDS = "seconds.npy", "batch-seconds.npy"
FORM = "form.bin"
MOST_COLUMNS = 256
"""Of the scores, one a class."""


def permuted(number: int) -> str:
    """Return the file name of the predictions with the column of this number permuted."""
    return f"permuted-{number}.npy"


def dirty(name: str, suffix: str) -> str:
    """Return the file name for one kind of dirty rows: `parquet` for the rows, `npy` for the predictions."""
    return f"dirty-{name}.{suffix}"
