"""Types of pydantic fields in words: `number > 0`, `list of text`, `safe, any`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contracts.drift_settings import After

WORDS: dict[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "true, false",
    Any: "anything",
    datetime: "date and time",
    timedelta: "duration (30s, 10m, 1h, 7d)",
}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def type_of(field: FieldInfo) -> str:
    """The type of a field, with the bounds of a number."""
    bounds = [f"{SIGNS[name]} {in_figures(value)}" for name, value in _bounds(field.metadata)]
    return " ".join([in_words(field.annotation), ", ".join(bounds)]).strip()


def in_words(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return in_words(arguments[0])
    if origin is Literal:
        return ", ".join(str(word).lower() if isinstance(word, bool) else f"`{word}`" for word in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(in_words(part) for part in arguments if part is not NoneType))
    if is_range(annotation):
        return "range (2000..50000)"
    if annotation is After:
        return "`2 of 3`"
    if origin is tuple:
        return f"list of {in_words(arguments[0])}"
    if origin is dict:
        return f"map of {in_words(arguments[0])} to {in_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    return WORDS[annotation]


def is_range(annotation: Any) -> bool:
    """Whether it is a pair of numbers, which is written `2000..50000`."""
    return get_origin(annotation) is tuple and get_args(annotation) == (int, int)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The pydantic classes that an annotation names, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from models_in(part)


def in_figures(bound: float | timedelta) -> str:
    return f"{bound:g}" if isinstance(bound, int | float) else f"{bound.total_seconds():g}s"


def _bounds(metadata: Iterable[Any]) -> Iterator[tuple[str, float | timedelta]]:
    for item in metadata:
        for name in SIGNS:
            if (value := getattr(item, name, None)) is not None:
                yield name, value
