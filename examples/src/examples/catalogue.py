"""The examples by name; a recipe is imported only on request."""

from __future__ import annotations

from importlib import import_module
from typing import Any

EXAMPLES = ("flights", "churn", "temperature")


def recipe_of(name: str) -> Any:
    """Return the recipe of an example. Raises KeyError, which lists the examples, for an unknown name."""
    if name not in EXAMPLES:
        raise KeyError(f"no example {name!r}: there are {', '.join(EXAMPLES)}")
    return import_module(f"examples.{name}").recipe
