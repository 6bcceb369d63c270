"""Retained versions on the golden rows of a new candidate: is one of them better than the champion, and than it?

Only for policies that say `candidates: retained` (docs/adr/0014). The answers of a retained version are kept like those
of a champion, so that each is asked once a golden dataset. The winner is gated in full on these rows before it counts.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import Cause, Dataset, GateVerdict, ModelRegistered, Outcome, overall
from contracts.policy import Minimum, ModelPolicy, Performance, Retained
from gatekeeper import store
from gatekeeper.judging import judge
from gatekeeper.measured import Champion, Measured
from gatekeeper.measuring import Measurer, Say, Task
from gatekeeper.policy import leakage, performance, tournament
from gatekeeper.policy.tournament import Entrant
from gatekeeper.provenance import trace
from gatekeeper.tables import UNJUDGED, CandidateRow

SAFETY = ("lineage", "integrity", "functional", "latency")
"""A version that did not pass one of these in its time is not asked again."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Winner:
    """A retained version that is to be champion, with all its gates on the new golden rows."""

    model_version: int
    reason: str
    verdicts: tuple[GateVerdict, ...]
    measured: Measured = field(repr=False)


@dataclass(frozen=True)
class Played:
    """What came of it. `verdicts`: each retained version against the champion; `absent`: who could not be judged."""

    champion_version: int
    golden_digest: str
    reason: str
    verdicts: Mapping[int, GateVerdict]
    absent: Mapping[int, str]
    winner: Winner | None = None


class Tournament:
    """Gathers what `policy.tournament` decides on. Raises Transient and Cancelled as measuring does."""

    def __init__(self, database: Database, registry: Registry, measurer: Measurer) -> None:
        self._database = database
        self._registry = registry
        self._measurer = measurer

    def play(
        self,
        task: Task,
        measured: Measured,
        verdicts: Sequence[GateVerdict],
        cancelled: threading.Event,
        say: Say,
    ) -> Played | None:
        """None when the policy wants none, or when there is nothing to compare on.

        Nor on rows older than those that the champion was judged on: yesterday's champion would be best on them.
        """
        settings = _comparison(task.policy)
        if settings is None or measured.champion is None or measured.champion_answers is None:
            return None
        assert measured.golden is not None and measured.golden_digest is not None, "the champion has answered it"
        champion = measured.champion
        with self._database.reading() as session:
            kept = retained(session, measured.event, champion.model_version, task.policy)
            judged_until = _judged_until(session, measured.event.model_name, champion.model_version)
        if measured.golden_until is not None and judged_until is not None and measured.golden_until < judged_until:
            log.info("no tournament: these rows are older than those of the champion", until=measured.golden_until)
            return None
        clean = leakage.clean_for(measured.champion_overlap, task.policy, len(measured.golden.truth))
        entrants, absent = [], {}
        for number, version in enumerate(kept, start=1):
            say(0.9, f"tournament: asking v{version.model_version}, {number} of {len(kept)}")
            found = self._entrant(version, measured, clean, task.policy, cancelled)
            if isinstance(found, str):
                absent[version.model_version] = found
            else:
                entrants.append(found)
        facts = tournament.Facts(
            problem=measured.problem,
            metric=task.policy.metric,
            truth=measured.golden.truth,
            champion=Entrant(champion.model_version, measured.champion_answers, clean),
            entrants=tuple(entrants),
            clusters=measured.clusters,
            k=measured.k + 1,
        )
        result = tournament.decide(facts, settings)
        played = Played(champion.model_version, measured.golden_digest, result.reason, result.verdicts, absent)
        if result.winner is None or not _outdoes(result.verdicts[result.winner], verdicts):
            return played
        return self._gated(played, result, task, measured, cancelled, say)

    def _entrant(
        self,
        version: Champion,
        measured: Measured,
        clean: NDArray[np.bool_],
        policy: ModelPolicy,
        cancelled: threading.Event,
    ) -> Entrant | str:
        """What it says of the golden rows, or why that cannot be compared."""
        event = self._event(measured.event.model_name, version.model_version)
        asked = self._measurer.ask(measured, version, event, policy, cancelled)
        if asked.champion_answers is None:
            return asked.champion_problem or "it gave no answers"
        settings = policy.gates.leakage
        overlap = asked.champion_overlap
        if settings is False:
            return Entrant(version.model_version, asked.champion_answers)
        if overlap is None or (overlap.unknown and settings.unknown == "inconclusive"):
            return overlap.unknown if overlap and overlap.unknown else "it is not known what it was trained on"
        n = len(asked.champion_answers.labels)
        own = leakage.clean_for(overlap, policy, n)
        left = int((own & clean).sum())
        if left < min(settings.minimum_rows, n):
            return f"only {left} of {n} golden rows are clean for it and the champion"
        return Entrant(version.model_version, asked.champion_answers, own)

    def _gated(
        self,
        played: Played,
        result: tournament.Result,
        task: Task,
        measured: Measured,
        cancelled: threading.Event,
        say: Say,
    ) -> Played:
        """The winner has to pass every gate of its policy on these rows, like any other version."""
        assert result.winner is not None and measured.golden_digest is not None and measured.golden_uri is not None
        say(0.95, f"tournament: gating v{result.winner}, the best")
        bare = ModelRegistered(model_name=measured.event.model_name, model_version=result.winner)
        own = Task(
            found=trace(self._registry, bare),
            policy=task.policy,
            champion=task.champion,
            champion_event=task.champion_event,
            golden=Dataset(uri=measured.golden_uri, digest=measured.golden_digest),
            k=measured.k + 1,
        )
        again = self._measurer.measure(own, cancelled, lambda share, message: None)
        # Among several, it had less of α than alone: the tournament's comparison is the one that counts.
        verdicts = tuple(
            result.verdicts[result.winner] if verdict.gate == performance.name else verdict
            for verdict in judge(again, task.policy)
        )
        outcome = overall(verdicts)
        if outcome is not Outcome.PASSED:
            why = "; ".join(f"{verdict.gate}: {verdict.reason}" for verdict in verdicts if verdict.outcome is outcome)
            reason = f"v{result.winner} was the best, but on these rows {outcome.value}: {why}"
            return replace(played, reason=reason)
        return replace(played, winner=Winner(result.winner, result.reason, verdicts, again))

    def _event(self, model_name: str, version: int) -> ModelRegistered:
        return trace(self._registry, ModelRegistered(model_name=model_name, model_version=version)).event


def retained(session: Session, event: ModelRegistered, champion_version: int, policy: ModelPolicy) -> list[Champion]:
    """The versions that may play, newest first: judged before, safe to run, neither champion nor the new candidate.

    Not one that a person rolled back from: what a person took away, only a person brings back.
    """
    settings = policy.candidates
    assert isinstance(settings, Retained)
    outside = {event.model_version, champion_version, *_taken_away(session, event.model_name)}
    query = select(CandidateRow).where(
        CandidateRow.model_name == event.model_name,
        CandidateRow.model_version.not_in(outside),
        CandidateRow.state.not_in(UNJUDGED),
        CandidateRow.artifact_digest.is_not(None),
        CandidateRow.artifact_uri.is_not(None),
    )
    if settings.max_age is not None:
        query = query.where(CandidateRow.registered_at >= _ago(settings.max_age))
    found: list[Champion] = []
    for row in session.scalars(query.order_by(CandidateRow.model_version.desc())):
        outcomes = {verdict.gate: verdict.outcome for verdict in store.verdicts(session, row)}
        if not outcomes or any(outcomes.get(gate, Outcome.PASSED) is not Outcome.PASSED for gate in SAFETY):
            continue
        assert row.artifact_uri is not None and row.artifact_digest is not None, "asked for"
        found.append(Champion(row.model_version, 0, row.artifact_uri, row.artifact_digest))
        if len(found) == settings.retained:
            break
    return found


def _taken_away(session: Session, model_name: str) -> set[int]:
    found: set[int] = set()
    for row in reversed(store.promotions(session, model_name)):
        found.discard(row.model_version)
        previous = row.event.get("previous_version")
        if row.cause == Cause.ROLLBACK and previous is not None:
            found.add(previous)
    return found


def document(played: Played) -> dict[str, Any]:
    """As it is kept with the candidate that gave rise to it."""
    return {
        "champion_version": played.champion_version,
        "golden_digest": played.golden_digest,
        "reason": played.reason,
        "winner": played.winner.model_version if played.winner else None,
        "entrants": {str(version): verdict.model_dump(mode="json") for version, verdict in played.verdicts.items()},
        "absent": {str(version): why for version, why in played.absent.items()},
    }


def _comparison(policy: ModelPolicy) -> Performance | None:
    """The settings by which versions are compared; None where the policy compares none."""
    settings = policy.gates.performance
    if not isinstance(policy.candidates, Retained) or not isinstance(settings, Performance):
        return None
    return None if isinstance(settings.rule, Minimum) else settings


def _outdoes(verdict: GateVerdict, candidate: Sequence[GateVerdict]) -> bool:
    """Is this one better than the new candidate, if that has passed its gates?"""
    if overall(candidate) is not Outcome.PASSED:
        return True
    own = next((found for found in candidate if found.gate == performance.name), None)
    return own is None or tournament.gain(verdict) > tournament.gain(own)


def _ago(age: timedelta) -> datetime:
    return datetime.now(UTC) - age


def _judged_until(session: Session, model_name: str, champion_version: int) -> str | None:
    """Event time of the newest row that the champion was judged on, as its evidence has it."""
    row = store.candidate(session, model_name, champion_version)
    found = None if row is None else (row.evidence.get("measured") or {}).get("golden_until")
    return found if isinstance(found, str) else None
