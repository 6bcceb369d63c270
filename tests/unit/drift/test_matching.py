"""Which label belongs to which row when only the entity is known."""

from datetime import UTC, datetime, timedelta

import pytest

from drift.ingestion.matching import EntityLabel, label_for

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(hours: float | None) -> datetime | None:
    return None if hours is None else NOON + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("happened", "made", "labels", "expected"),
    [
        (None, 0, [], None),
        (None, 0, [("a", None, 1)], "a"),
        (None, 2, [("a", None, 1)], None),
        (None, 1, [("a", None, 1)], "a"),
        (1, 9, [("a", 2, 3)], "a"),
        (5, 0, [("a", 2, 9)], None),
        (1, 2, [("a", None, 3)], "a"),
        (None, 2, [("a", 9, 1)], None),
        (3, 0, [("b", 6, 7), ("a", 4, 9), ("c", 2, 1)], "a"),
        (None, 2, [("b", None, 7), ("a", None, 4), ("c", None, 1)], "a"),
    ],
)
def test_a_label_is_of_the_predictions_up_to_its_time_and_the_earliest_wins(happened, made, labels, expected):
    candidates = [EntityLabel(label, at(event), at(sent)) for label, event, sent in labels]
    assert label_for(at(happened), at(made), candidates) == expected
