"""The words in which a gate answers: Passed, Failed or Inconclusive, never a bare bool."""

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
    """One gate's answer with the evidence for it."""

    gate: str
    outcome: Outcome
    reason: str = Field(description="A sentence for the person who reads it")
    metric: str | None = None
    observed: float | None = Field(default=None, description="What was measured, in the metric's unit")
    bound: float | None = Field(default=None, description="What it was compared with")
    margin: float | None = None
    n: int | None = Field(default=None, ge=0, description="Rows, or calls, that the observation rests on")
    details: dict[str, Any] = Field(default_factory=dict)


def overall(verdicts: Iterable[GateVerdict]) -> Outcome:
    """Failed if any gate failed, else Inconclusive if any was (or if none ran), else Passed."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if Outcome.FAILED in outcomes:
        return Outcome.FAILED
    if outcomes == {Outcome.PASSED}:
        return Outcome.PASSED
    return Outcome.INCONCLUSIVE
