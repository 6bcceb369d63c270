"""Why a gate could not measure what it needs, and whose fault that is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts import GateVerdict, Outcome


class ErrorSource(StrEnum):
    """Only the candidate's own fault fails a gate; whatever else keeps it from measuring leaves it undecided."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    GATEKEEPER = "gatekeeper"
    EARLIER = "earlier gate"
    DATA = "data"


@dataclass(frozen=True)
class MeasurementError:
    """Something that kept a gate from measuring."""

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
