"""Errors that prevent a gate from measuring, and their source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts import GateVerdict, Outcome


class ErrorSource(StrEnum):
    """Only errors of the candidate fail a gate; all others leave it Inconclusive."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    GATEKEEPER = "gatekeeper"
    EARLIER = "earlier gate"
    DATA = "data"


@dataclass(frozen=True)
class MeasurementError:
    """An error that prevented a gate from measuring."""

    blame: ErrorSource
    what: str

    def verdict(self, gate: str) -> GateVerdict:
        outcome = Outcome.FAILED if self.blame is ErrorSource.CANDIDATE else Outcome.INCONCLUSIVE
        return GateVerdict(
            gate=gate,
            outcome=outcome,
            reason=self.what,
            details={"blame": self.blame.value},
        )
