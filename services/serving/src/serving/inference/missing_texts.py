"""Counts texts in requests that are a client's word for a missing value, in columns that have missing values.

Triton's client sends `str(value)` of every text, so `None` and NaN arrive as "None" and "nan": for the model a category
that it has never seen, not a missing value. A frame that was converted to text before it was sent shows the same.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter

from chassis.model_signature import Signature
from chassis.row_reader import InputBatch
from chassis.row_validation import Row
from chassis.telemetry import get_logger
from serving.policy.versions import Artifact

WORDS = frozenset({"None", "nan", "NaT", "<NA>"})
"""`str` of what Python, NumPy and pandas have for a missing value."""

TEXTS = Counter(
    "gauntlet_serving_missing_as_text_total",
    "Values of requests that are a word for a missing value (None, nan), in columns that have missing values",
    ["model_name", "column"],
)

log = get_logger(__name__)


class MissingTexts:
    """Of one version. A word that is a category of the known rows is one: it is not counted."""

    def __init__(self, artifact: Artifact, signature: Signature, known: Iterable[Row]) -> None:
        """`known`: rows of which the model was made or judged, such as its input example."""
        self._artifact = artifact
        self._texts = [column.name for column in signature.columns if column.kind == "string"]
        self._gaps = {column.name for column in signature.columns if column.kind == "string" and not column.required}
        self._categories: dict[str, set[str]] = {}
        self._warned: set[str] = set()
        self.know(known)

    def know(self, rows: Iterable[Row]) -> None:
        """Learn from more rows which columns have missing values, and which words are categories."""
        for row in rows:
            for name in self._texts:
                value = row.get(name)
                if value is None:
                    self._gaps.add(name)
                elif isinstance(value, str) and value in WORDS:
                    self._categories.setdefault(name, set()).add(value)

    def count(self, table: InputBatch) -> None:
        """Count the words of a request's rows; log the first of each column."""
        if not self._gaps:
            return
        for place, column in enumerate(table.columns):
            if column.name not in self._gaps:
                continue
            words = WORDS - self._categories.get(column.name, set())
            if found := [row[place] for row in table.values if row[place] in words]:
                TEXTS.labels(self._artifact.model_name, column.name).inc(len(found))
                self._warn(column.name, found[0])

    def _warn(self, column: str, word: str) -> None:
        if column in self._warned:
            return
        self._warned.add(column)
        log.warning(
            "a text that may stand for a missing value: send null, or leave the column out",
            model_name=self._artifact.model_name,
            model_version=self._artifact.model_version,
            column=column,
            text=word,
        )
