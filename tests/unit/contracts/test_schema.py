"""The events' schemas are published, and only ever grow."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from contracts import EVENTS, Event, Promoted
from contracts.event import LARGEST_INTEGER
from contracts.schema import golden_schemas, incompatibilities, schema_of


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_the_newest_golden_schema_is_the_code(event: type[Event]) -> None:
    assert golden_schemas(event)[-1:] == [schema_of(event)], "run `python -m contracts.schema` and commit the new file"


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_schema_is_compatible_with_all_that_were_ever_published(event: type[Event]) -> None:
    for old in golden_schemas(event):
        assert incompatibilities(old, schema_of(event)) == []


def changed(*path: str, to: Any) -> dict[str, Any]:
    schema = copy.deepcopy(schema_of(Promoted))
    node: Any = schema
    for step in path[:-1]:
        node = node[step]
    if to is None:
        del node[path[-1]]
    else:
        node[path[-1]] = to
    return schema


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (changed("properties", "epoch", to=None), ".epoch: was removed"),
        (changed("properties", "epoch", "type", to="string"), ".epoch: was integer, is string"),
        (changed("required", to=[*schema_of(Promoted)["required"], "reason"]), ".reason: is required now"),
        (changed("$defs", "Cause", "enum", to=["gate"]), ".cause: no longer allows"),
        (changed("$defs", "Dataset", "properties", "uri", to=None), ".uri: was removed"),
        (changed("properties", "previous_version", "anyOf", to=[{"type": "string"}, {"type": "null"}]), "was integer"),
    ],
)
def test_a_breaking_change_is_found(new: dict[str, Any], problem: str) -> None:
    found = incompatibilities(schema_of(Promoted), new)
    assert any(problem in item for item in found), found


def test_an_added_optional_field_is_compatible() -> None:
    new = changed("properties", "remark", to={"type": "string", "default": ""})
    assert incompatibilities(schema_of(Promoted), new) == []


@pytest.mark.parametrize(
    ("event", "field"),
    [(event, field) for event in EVENTS for field in ("epoch", "model_version") if field in event.model_fields],
    ids=lambda item: item if isinstance(item, str) else item.type,
)
def test_no_version_or_epoch_is_beyond_what_the_databases_hold(event: type[Event], field: str) -> None:
    def at(value: int) -> list[str]:
        try:
            event.model_validate({field: value})
        except ValidationError as errors:
            return [error["type"] for error in errors.errors() if error["loc"] == (field,)]
        return []

    assert at(1) == at(LARGEST_INTEGER) == []
    assert at(LARGEST_INTEGER + 1) == ["less_than_equal"] and at(0) == ["greater_than_equal"]
