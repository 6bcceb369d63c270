"""Words for a missing value in requests: counted where a column has missing values and the word is no category."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from chassis.model_signature import Column, Signature
from chassis.row_reader import RowReader
from serving.inference.missing_texts import MissingTexts
from serving.policy.versions import Artifact

SENT = ["UA", "None", "nan", "NaT", "<NA>", "NaN", "none", "", None, "None of these"]


def counted(signature: Signature, known: list[Any], more: list[Any], name: str) -> tuple[float, int]:
    """The count of column `carrier`, and the number of warnings, after the same request twice."""
    texts = MissingTexts(Artifact(name, 1, "none"), signature, known)
    texts.know(more)
    rows = [{"distance": 1.0, "carrier": text} for text in SENT]
    with capture_logs() as logs:
        for _ in range(2):
            texts.count(RowReader(signature).read(rows, 100))
    labels = {"model_name": name, "column": "carrier"}
    return REGISTRY.get_sample_value("gauntlet_serving_missing_as_text_total", labels) or 0.0, len(logs)


@pytest.mark.parametrize(
    ("name", "required", "known", "more", "expected"),
    [
        ("nothing known", True, [], [], (0, 0)),
        ("no gaps", True, [{"carrier": "UA"}], [{"carrier": "AA"}], (0, 0)),
        ("optional", False, [], [], (8, 1)),
        ("a gap in the example", True, [{"carrier": None}], [], (8, 1)),
        ("a gap in the golden rows", True, [{"carrier": "UA"}], [{"carrier": None}], (8, 1)),
        ("a category", True, [{"carrier": "None"}], [{"carrier": None}], (6, 1)),
        ("all are categories", False, [{"carrier": word} for word in SENT], [], (0, 0)),
        ("another type", False, [{"carrier": ["None"]}, {"carrier": 3}], [], (8, 1)),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_words_are_counted_in_columns_with_gaps_and_told_once(
    name: str, required: bool, known: list[Any], more: list[Any], expected: tuple[float, int]
) -> None:
    signature = Signature((Column("distance", "double"), Column("carrier", "string", required)))
    assert counted(signature, known, more, name.replace(" ", "-")) == expected


def test_a_request_without_the_column_counts_nothing() -> None:
    signature = Signature((Column("distance", "double"), Column("carrier", "string", required=False)))
    texts = MissingTexts(Artifact("absent", 1, "none"), signature, [])
    texts.count(RowReader(signature).read([{"distance": 1.0}], 100))
    labels = {"model_name": "absent", "column": "carrier"}
    assert REGISTRY.get_sample_value("gauntlet_serving_missing_as_text_total", labels) is None
