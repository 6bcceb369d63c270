"""Find the problem that a version solves, for a policy that does not state it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from contracts.metrics import Problem

MOST_CLASSES = 20
"""Integers with more different values than this are counts or amounts, unless the model has classes."""


@dataclass(frozen=True)
class Label:
    """The label column of the golden rows. `distinct`: the number of different values, missing ones not counted."""

    name: str
    kind: Literal["text", "boolean", "integer", "number"]
    distinct: int


@dataclass(frozen=True)
class Found:
    """`because` completes the sentence "<problem>, because …"."""

    problem: Problem
    because: str


def find(declared: Any, classes: tuple[Any, ...] | None, label: Label | None) -> Found | None:
    """The problem by the first of these that determines it; None if none does.

    1. `declared`: what the model's metadata declares. 2. `classes`: the classes of the model. 3. `label`: text and
    booleans are classes; numbers with a fraction are amounts; integers are classes when they are few.
    """
    if declared in get_args(Problem):
        return Found(declared, f"the model's metadata says problem: {declared}")
    if classes:
        return Found(_with_classes(len(classes)), f"the model has {len(classes)} classes")
    if label is None or label.distinct == 0:
        return None
    values = f"the label {label.name!r} has {label.distinct:,} different values"
    if label.kind == "number":
        return Found("regression", f"the label {label.name!r} has numbers with a fraction")
    if label.kind == "integer" and label.distinct > MOST_CLASSES:
        return Found("regression", f"{values}, integers")
    plural = "" if label.distinct > 1 else " (one class)"
    kind = {"text": "text", "boolean": "true or false", "integer": "integers"}[label.kind]
    return Found(_with_classes(label.distinct), f"{values}, {kind}{plural}")


def _with_classes(number: int) -> Problem:
    return "binary" if number <= 2 else "multiclass"
