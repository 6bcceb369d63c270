"""The compiled form of a candidate, as reported by its process: shown to users, never used in a verdict."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gatekeeper.evidence.formats import Unreadable, upgraded
from gatekeeper.sandbox.results import count, seconds

TOLERANCE = 1e-6
"""Absolute difference of scores, if the policy sets none; the same default as serving."""
ROWS = 5000
"""Maximum number of golden rows in the parity check."""
MOST_ROWS = 2 * ROWS
"""Maximum number of golden rows and rows made of them."""
SECONDS = 60.0
"""Maximum wall-clock time."""
MOST_REFUSED, LONGEST_REASON = 8, 300
NAME = re.compile(r"[a-z0-9_+]{1,40}")
NATIVE = "native"


@dataclass(frozen=True)
class Parity:
    """Differences between the predictions of the form and the model. `largest_difference`: of scores, absolute."""

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
    """`name` is None if the form is unknown; `problem` gives the reason. `seconds`: wall-clock time of the check."""

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
    """Validate the untrusted report of a candidate's process (`forms.CompilationResult.about`).

    `tolerance` is the one that the parity check had to use.
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


def form_of(evidence: Mapping[str, Any]) -> str | None:
    """Return the name of the form from the evidence of a verdict; None if, as in older verdicts, there is none."""
    try:
        form = upgraded(evidence)["measured"]["serving_form"] if "measured" in evidence else None
    except Unreadable as error:
        return f"not known: {error}"
    return None if form is None else form["name"] or f"not known: {form['problem']}"


def _plain(text: str) -> str:
    """Return `text` on one line, without control characters that a terminal would interpret."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def _name(value: Any) -> str:
    if not isinstance(value, str) or not NAME.fullmatch(value):
        raise ValueError
    return value


def _parity(said: Mapping[str, Any], tolerance: float) -> Parity:
    """Parse a parity report. Raises ValueError if it does not prove parity."""
    rows, difference = count(said["rows"], MOST_ROWS), seconds(said["largest_difference"])
    if rows == 0 or said["labels_differ"] != 0 or difference is None or difference > tolerance:
        raise ValueError
    return Parity(rows, 0, difference, tolerance)
