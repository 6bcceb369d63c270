"""Metrics that are functions of the user: `my_package.metrics:profit_score`, wherever a policy names a metric.

The function gets (labels, predictions), or (labels, predictions, scores) if its third parameter is `scores`: numpy
arrays, with classes as numbers in their order. It returns a number. Its name says which is better, as scikit-learn's
names do: `…_score` greater, `…_error` and `…_loss` smaller. A policy can be read without importing it.
"""

from __future__ import annotations

import importlib
import inspect
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*(?P<kind>_score|_error|_loss)")
HOW = "a function of yours is package.module:name_score (greater is better), …_error or …_loss (smaller is better)"


class CustomMetricError(ValueError):
    """The function cannot be imported, or returned no number; the message gives the reason."""


def greater_is_better(name: str) -> bool | None:
    """Return the direction of a function's metric; None for any other name."""
    found = NAME.fullmatch(name)
    return None if found is None else found["kind"] == "_score"


@cache
def load(name: str) -> Callable[..., Any]:
    """Import the function. Raises CustomMetricError."""
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # whatever its module raises
        raise CustomMetricError(
            f"the metric {name} cannot be imported ({type(error).__name__}: {error}): install its package where"
            " gatekeeper and drift run"
        ) from error
    if not callable(function):
        raise CustomMetricError(f"the metric {name} is a {type(function).__name__}, not a function")
    return function  # type: ignore[no-any-return]


def wants_scores(name: str) -> bool:
    """Return whether the function's third parameter is `scores`. Raises CustomMetricError as `load` does."""
    return list(inspect.signature(load(name)).parameters)[2:3] == ["scores"]


def compute(name: str, truth: Any, answers: Any, scores: Any = None) -> float:
    """Return the metric; NaN where the function returns it. Raises CustomMetricError."""
    function = load(name)
    if wants_scores(name) and scores is None:
        raise CustomMetricError(f"{name} needs scores, and the model answers without them")
    try:
        found = float(function(truth, answers, scores) if wants_scores(name) else function(truth, answers))
    except Exception as error:  # the function is not ours
        raise CustomMetricError(f"{name} raised {type(error).__name__}: {error}") from error
    return found if math.isfinite(found) else math.nan
