"""Input, ranking, decision and evidence of a tournament; playing and replaying share this code."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict
from contracts.gate_settings import Performance
from contracts.policy import ModelPolicy, Retained
from gatekeeper.database.evidence_formats import Unreadable
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence.document import Keep, Load
from gatekeeper.policy import tournament
from gatekeeper.policy.gates import leakage, performance
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.policy.tournament import Ending, Entrant, Result


@dataclass(frozen=True, eq=False)
class EntrantPredictions:
    """A retained version's predictions on the golden rows. `problem` explains any field that is None."""

    model_version: int
    registered_at: str
    """ISO 8601."""
    answers: Predictions | None = None
    overlap: Overlap | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class TournamentInput:
    """The entrants, newest first; the measurements of the champion and the golden rows are separate.

    `k`: together the entrants are the k-th challenger on these golden rows, from 1 on.
    """

    k: int
    played_at: str
    """ISO 8601."""
    asked: tuple[EntrantPredictions, ...]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Each entrant against the champion; `absent`: why the others could not be compared."""

    result: Result
    absent: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class TournamentDecision:
    """The outcome. `gates`: all verdicts on the best version, empty when no version had to be gated."""

    champion_version: int
    golden_digest: str
    k: int
    standing: Ranking
    ending: Ending
    gates: tuple[GateVerdict, ...] = ()

    def document(self) -> dict[str, Any]:
        """The decision as JSON: what the API shows, and what a replay must reproduce."""
        verdicts = self.standing.result.verdicts
        return {
            "champion_version": self.champion_version,
            "golden_digest": self.golden_digest,
            "k": self.k,
            "winner": self.ending.winner,
            "reason": self.ending.reason,
            "best": self.standing.result.winner,
            "entrants": {str(version): verdict.model_dump(mode="json") for version, verdict in verdicts.items()},
            "absent": {str(version): why for version, why in self.standing.absent.items()},
            "gates": [verdict.model_dump(mode="json") for verdict in self.gates],
        }


@dataclass(frozen=True, eq=False)
class TournamentResult:
    """A tournament with its evidence. `gated`: measurements of the best on the same golden rows, if it was gated."""

    tournament_input: TournamentInput
    decided: TournamentDecision
    gated: Measurements | None = field(default=None, repr=False)


def rank(
    measurements: Measurements, tournament_input: TournamentInput, policy: ModelPolicy, settings: Performance
) -> Ranking:
    """Compare every entrant with the champion, on rows that neither was trained on."""
    assert (
        measurements.golden is not None
        and measurements.champion is not None
        and measurements.champion_answers is not None
    )
    clean = leakage.clean_for(measurements.champion_overlap, policy, len(measurements.golden.truth))
    entrants, absent = [], {}
    for asked in tournament_input.asked:
        found = _entrant(asked, clean, policy)
        if isinstance(found, str):
            absent[asked.model_version] = found
        else:
            entrants.append(found)
    facts = tournament.Facts(
        problem=measurements.problem,
        metric=policy.metric,
        truth=measurements.golden.truth,
        champion=Entrant(measurements.champion.model_version, measurements.champion_answers, clean),
        entrants=tuple(entrants),
        clusters=measurements.clusters,
        k=tournament_input.k,
        series=measurements.golden.series,
    )
    return Ranking(tournament.decide(facts, settings), absent)


def decide(
    measurements: Measurements,
    tournament_input: TournamentInput,
    standing: Ranking,
    candidate: Sequence[GateVerdict],
    gated: Measurements | None,
    policy: ModelPolicy,
) -> TournamentDecision:
    """Decide the tournament. `candidate`: verdicts on the new version, if any; `gated`: measurements of the best."""
    assert measurements.champion is not None and measurements.golden_digest is not None, (
        "it was compared with on these rows"
    )
    gates = () if gated is None else _gates(standing, gated, policy)
    return TournamentDecision(
        champion_version=measurements.champion.model_version,
        golden_digest=measurements.golden_digest,
        k=tournament_input.k,
        standing=standing,
        ending=tournament.ending(standing.result, candidate, gates),
        gates=gates,
    )


def wanted(tournament_input: TournamentInput, policy: ModelPolicy) -> TournamentInput:
    """Restrict the original entrants to those that this policy would have compared."""
    settings = policy.candidates
    assert isinstance(settings, Retained), "the policy wants a tournament"
    at, oldest = datetime.fromisoformat(tournament_input.played_at), settings.max_age
    young = [
        asked
        for asked in tournament_input.asked
        if oldest is None or datetime.fromisoformat(asked.registered_at) >= at - oldest
    ]
    return dataclasses.replace(tournament_input, asked=tuple(young[: settings.retained]))


def not_asked(tournament_input: TournamentInput, then: ModelPolicy, policy: ModelPolicy) -> str | None:
    """Describe the versions that this policy might have compared but the original policy did not."""
    before, now = then.candidates, policy.candidates
    if not isinstance(before, Retained) or not isinstance(now, Retained):
        return None
    if now.retained > before.retained <= len(tournament_input.asked):
        return f"only the newest {before.retained} earlier versions were asked then, not {now.retained}"
    if before.max_age is not None and (now.max_age is None or now.max_age > before.max_age):
        return f"versions older than {before.max_age} were not asked then"
    return None


def write(played: TournamentResult, policy: ModelPolicy, keep: Keep) -> dict[str, Any]:
    """Write the tournament as evidence: JSON, with its arrays stored through `keep`."""
    gated = None if played.gated is None else evidence.write(played.gated, policy, keep)
    return {**played.decided.document(), "contest": evidence.encode(played.tournament_input, keep), "gated": gated}


def read(document: Mapping[str, Any], load: Load) -> tuple[TournamentInput, Measurements | None]:
    """Read `document` (in the current format), without the golden rows, which the caller has. Raises Unreadable."""
    if document["contest"] is None:
        raise Unreadable("the answers of its entrants were not kept")
    try:
        tournament_input: TournamentInput = evidence.decode(
            TournamentInput, document["contest"], load, "tournament.contest"
        )
    except Unreadable:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error
    return tournament_input, None if document["gated"] is None else evidence.read(document["gated"], load)[0]


def _entrant(asked: EntrantPredictions, champion_clean: NDArray[np.bool_], policy: ModelPolicy) -> Entrant | str:
    """The entrant, or why it cannot be compared."""
    if asked.answers is None:
        return asked.problem or "it gave no answers"
    settings, overlap = policy.gates.leakage, asked.overlap
    if settings is False:
        return Entrant(asked.model_version, asked.answers)
    if overlap is None or (overlap.unknown and settings.unknown == "inconclusive"):
        return overlap.unknown if overlap and overlap.unknown else "it is not known what it was trained on"
    n = len(asked.answers.labels)
    own = leakage.clean_for(overlap, policy, n)
    left = int((own & champion_clean).sum())
    if left < min(settings.minimum_rows, n):
        return f"only {left} of {n} golden rows are clean for it and the champion"
    return Entrant(asked.model_version, asked.answers, own)


def _gates(standing: Ranking, gated: Measurements, policy: ModelPolicy) -> tuple[GateVerdict, ...]:
    """Verdicts on the best. Among several it had less α than alone, so the tournament's comparison counts."""
    best = standing.result.winner
    assert best == gated.event.model_version, "the best was gated"
    return tuple(
        standing.result.verdicts[best] if verdict.gate == performance.name else verdict
        for verdict in run_gates(gated, policy)
    )
