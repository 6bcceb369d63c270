"""The outcomes of a gate: Passed, Failed or Inconclusive, never a plain bool."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from pydantic import Field

from contracts.event import Value


class Outcome(StrEnum):
    PASSED = "Passed"
    FAILED = "Failed"
    INCONCLUSIVE = "Inconclusive"
    """Missing, NaN, empty or too few: never promotes."""


class GateVerdict(Value):
    """The verdict of one gate, with its evidence."""

    gate: str = Field(description="Name of the gate")
    outcome: Outcome = Field(description="Passed, Failed or Inconclusive")
    reason: str = Field(description="Why, in a sentence")
    metric: str | None = Field(default=None, description="What was measured")
    observed: float | None = Field(default=None, description="The measured value, in the metric's unit")
    bound: float | None = Field(default=None, description="The value it was compared with")
    margin: float | None = Field(default=None, description="The margin of the comparison")
    n: int | None = Field(default=None, ge=0, description="Number of rows, or calls, that were measured")
    details: dict[str, Any] = Field(default_factory=dict, description="Further evidence, which differs by gate")


def overall(verdicts: Iterable[GateVerdict]) -> Outcome:
    """Return Failed if any gate failed, else Inconclusive if any was (or none ran), else Passed."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.FAILED in outcomes:
        return Outcome.FAILED
    if outcomes == {Outcome.PASSED}:
        return Outcome.PASSED
    return Outcome.INCONCLUSIVE
