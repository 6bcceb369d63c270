"""The examples by name; a recipe is imported only when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

EXAMPLES = ("flights", "churn")


def recipe_of(name: str) -> Any:
    """The recipe of an example; KeyError names the examples that there are."""
    if name not in EXAMPLES:
        raise KeyError(f"no example {name!r}: there are {', '.join(EXAMPLES)}")
    return import_module(f"examples.{name}").recipe
