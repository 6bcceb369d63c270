"""Ground truth as events: one content, one id; every wrong item named."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.cloudevents import Record, decode
from serving.publishing.ground_truth import LONGEST, GroundTruthRejected, encoded, read_items

ITEM: dict[str, Any] = {"request_id": "r", "row": 2, "label": 1}

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner))


def id_of(item: dict[str, Any], model_name: str = "m") -> str:
    (event,) = read_items(model_name, [item])
    return next(value for name, value in encoded(event).headers if name == "ce_id").decode()


def test_an_event_can_be_read_by_those_who_follow_the_topic() -> None:
    for item in (ITEM, {"entity_id": "e", "label": "x", "event_time": "2013-06-01T12:00:00-05:00"}):
        (event,) = read_items("m", [item])
        key, value, headers = encoded(event)
        assert decode(Record("ground-truth", key, value, headers), 10_000).data == event


def test_equal_content_has_an_equal_id() -> None:
    assert id_of(ITEM) == id_of({"label": 1, "row": 2, "request_id": "r", "entity_id": None})
    early, late = "2013-06-01T12:00:00-05:00", "2013-06-01T17:00:00Z"
    entity = {"entity_id": "e", "label": 1}
    assert id_of(entity | {"event_time": early}) == id_of(entity | {"event_time": late})
    assert id_of({"request_id": "r", "label": 1}) == id_of({"request_id": "r", "label": 1, "row": 0})


def test_each_part_of_the_content_makes_another_id() -> None:
    time = "2013-06-01T12:00:00Z"
    changed = [{"request_id": "s"}, {"row": 3}, {"label": 0}, {"label": True}, {"label": "1"}, {"event_time": time}]
    ids = [id_of(ITEM), id_of(ITEM, "other"), id_of({"entity_id": "r", "label": 1})]
    ids += [id_of(ITEM | change) for change in changed]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("label", [True, 0, -1.5, 2**63, "churned", ""])
def test_a_label_keeps_its_type(label: Any) -> None:
    (event,) = read_items("m", [ITEM | {"label": label}])
    assert event.label == label and type(event.label) is type(label)


@pytest.mark.parametrize("label", [None, [], {}, math.inf, math.nan, "x" * (LONGEST + 1)])
def test_what_is_no_label_is_refused(label: Any) -> None:
    with pytest.raises(GroundTruthRejected) as refused:
        read_items("m", [ITEM, ITEM | {"label": label}])
    (fault,) = refused.value.faults
    assert (fault.row, fault.field) == (1, "label")


def test_every_wrong_item_is_counted_and_the_first_are_named() -> None:
    with pytest.raises(GroundTruthRejected) as refused:
        read_items("m", [{"label": 1}] * 50)
    assert refused.value.count == 50 and len(refused.value.faults) == 20


@given(st.dictionaries(st.sampled_from(["request_id", "row", "entity_id", "label", "event_time", "x"]), ANYTHING))
def test_any_item_is_read_or_refused(item: dict[str, Any]) -> None:
    try:
        (event,) = read_items("m", [item])
    except GroundTruthRejected:
        return
    assert encoded(event).key == b"m"
