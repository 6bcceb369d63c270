"""Compare retained versions with the champion and the new candidate on new golden rows.

Only for policies with `candidates: retained` (docs/adr/0014). Predictions of a retained version are cached like those
of a champion, so each version predicts a golden dataset once. The winner must pass all gates on these rows.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from chassis.database import Database
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import Dataset, GateVerdict
from gatekeeper.evaluation.evaluator import Evaluator, Say
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.lineage import trace
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy import tournament
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import EntrantPredictions, TournamentInput, TournamentResult
from gatekeeper.tournaments.eligibility import RetainedVersion, judged_until, retained

log = get_logger(__name__)


@dataclass(frozen=True)
class Skipped:
    """No tournament was played; `reason` explains why."""

    reason: str


class Tournament:
    """Gathers the `TournamentInput` and decides on it. Raises Transient and Cancelled as measuring does."""

    def __init__(self, database: Database, registry: Registry, evaluator: Evaluator) -> None:
        self._database = database
        self._registry = registry
        self._evaluator = evaluator

    def play(
        self,
        task: EvaluationTask,
        measurements: Measurements,
        candidate: Sequence[GateVerdict],
        k: int,
        cancelled: threading.Event,
        say: Say,
    ) -> TournamentResult | Skipped:
        """Play one. `measurements`: of the champion and of the new candidate, whose verdicts are `candidate`.

        Skips rows older than those that the champion was judged on: the previous champion would be best on them.
        """
        settings = tournament.comparison(task.policy)
        if settings is None:
            return Skipped("the policy wants none")
        if measurements.champion is None or measurements.champion_answers is None:
            return Skipped(measurements.golden_problem or measurements.champion_problem or "there is no champion")
        model_name, champion = measurements.event.model_name, measurements.champion.model_version
        with self._database.reading() as session:
            kept = retained(session, model_name, task.policy, measurements.event.model_version, champion)
            until = judged_until(session, model_name, champion)
        if measurements.golden_until is not None and until is not None and _before(measurements.golden_until, until):
            return Skipped(
                f"these rows, until {measurements.golden_until}, are older than those of the champion ({until})"
            )
        asked = []
        for number, one in enumerate(kept, start=1):
            say(0.9, f"tournament: asking v{one.version.model_version}, {number} of {len(kept)}")
            asked.append(self.ask(one, measurements, task, cancelled))
        field = TournamentInput(k, datetime.now(UTC).isoformat(), tuple(asked))
        standing = comparison.rank(measurements, field, task.policy, settings)
        best, gated = standing.result.winner, None
        if best is not None and tournament.outdoes(standing.result.verdicts[best], candidate):
            say(0.95, f"tournament: gating v{best}, the best")
            (winner,) = (one for one in kept if one.version.model_version == best)
            gated = self._gate(winner, task, measurements, k, cancelled)
        decided = comparison.decide(measurements, field, standing, candidate, gated, task.policy)
        return TournamentResult(field, decided, gated)

    def ask(
        self, one: RetainedVersion, measurements: Measurements, task: EvaluationTask, cancelled: threading.Event
    ) -> EntrantPredictions:
        """Return a retained version's predictions on the golden rows of `measurements`, cached like a champion's."""
        found = self._evaluator.predict(measurements, one.version, one.event, task.policy, cancelled)
        return EntrantPredictions(
            one.version.model_version,
            one.registered_at.isoformat(),
            found.champion_answers,
            found.champion_overlap,
            found.champion_problem,
        )

    def _gate(
        self, one: RetainedVersion, task: EvaluationTask, measurements: Measurements, k: int, cancelled: threading.Event
    ) -> Measurements:
        """Run every gate of the policy for the winner on these rows, as for any other version."""
        assert measurements.golden_digest is not None and measurements.golden_uri is not None, "it has answered them"
        own = EvaluationTask(
            found=trace(self._registry, one.event),
            policy=task.policy,
            champion=task.champion,
            champion_event=task.champion_event,
            golden=Dataset(uri=measurements.golden_uri, digest=measurements.golden_digest),
            golden_source=measurements.golden_source,
            k=k,
        )
        return self._evaluator.measure(own, cancelled, lambda share, message: None)


def _before(first: str, second: str) -> bool:
    return datetime.fromisoformat(first) < datetime.fromisoformat(second)
