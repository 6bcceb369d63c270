"""The form that a candidate would be served in, as its process said: shown to people, never a reason for a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gatekeeper.sandbox.results import count, seconds

TOLERANCE = 1e-6
"""Of scores, absolute, where the policy says nothing; serving's own default."""
ROWS = 5000
"""Golden rows that it is proven on, at most."""
MOST_ROWS = 2 * ROWS
"""Golden rows and those that are made of them."""
SECONDS = 60.0
"""Wall clock, at most."""
MOST_REFUSED, LONGEST_REASON = 8, 300
NAME = re.compile(r"[a-z0-9_+]{1,40}")
NATIVE = "native"


@dataclass(frozen=True)
class Parity:
    """How the form's answers compare with the model's own. `largest_difference`: of two scores, absolute."""

    rows: int
    labels_differ: int
    largest_difference: float
    tolerance: float


@dataclass(frozen=True)
class RefusedForm:
    form: str
    reason: str


@dataclass(frozen=True)
class CompilationReport:
    """`name` None: it is not known, and `problem` says why. `seconds`: what finding out took, wall clock."""

    name: str | None = None
    parity: Parity | None = None
    refused: tuple[RefusedForm, ...] = ()
    seconds: float | None = None
    problem: str | None = None

    def after(self, seconds: float) -> CompilationReport:
        return replace(self, seconds=round(seconds, 3))


def unknown(problem: str) -> CompilationReport:
    return CompilationReport(problem=_plain(problem)[:500])


def from_untrusted(said: Any, tolerance: float) -> CompilationReport:
    """What a candidate's process said of its form (`forms.CompilationResult.about`), as far as it can be true.

    `tolerance` is the one that it was to prove the form with.
    """
    try:
        name, parity = _name(said["name"]), said["parity"]
        refused = tuple(
            RefusedForm(_name(each["form"]), _plain(str(each["reason"]))[:LONGEST_REASON])
            for each in said["refused"][:MOST_REFUSED]
        )
        if (parity is None) is not (name == NATIVE):
            raise ValueError
        return CompilationReport(name, None if parity is None else _parity(parity, tolerance), refused)
    except (KeyError, TypeError, ValueError, AttributeError):
        return unknown("what its process said of it makes no sense")


def _plain(text: str) -> str:
    """On one line, without anything that a terminal would obey."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def _parity(said: Mapping[str, Any], tolerance: float) -> Parity:
    """Raises ValueError for one that proves nothing."""
    rows, difference = count(said["rows"], MOST_ROWS), seconds(said["largest_difference"])
    if rows == 0 or said["labels_differ"] != 0 or difference is None or difference > tolerance:
        raise ValueError
    return Parity(rows, 0, difference, tolerance)
