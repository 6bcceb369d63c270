"""Names that other programs, other builds and the disk know stay what they are."""

from __future__ import annotations

import json

from support.wire_names import GOLDEN, differences, wire_names


def test_no_name_went_missing_and_none_was_added_unnoticed() -> None:
    found = differences(json.loads(GOLDEN.read_text()), wire_names())
    assert not found, "\n".join(
        (
            "the names that leave the code have changed:",
            *found,
            "A missing name breaks whoever knows it: put it back. An added one is recorded by `make docs`.",
        )
    )


def test_a_difference_is_named() -> None:
    golden = {"topics": ["a", "b"], "tables": ["t.x"]}
    assert differences(golden, {"topics": ["b", "c"], "tables": ["t.x"], "metrics": ["m"]}) == [
        "metrics: added: m",
        "topics: missing: a",
        "topics: added: c",
    ]
