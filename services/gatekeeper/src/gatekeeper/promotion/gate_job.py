"""The job `gate`: takes one candidate from registration to verdict."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.job_worker import JobRun, Record
from chassis.jobs import Job
from chassis.policy_store import PolicyStore
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import GateVerdict, ModelRegistered, Outcome, overall
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets, queries, registrations
from gatekeeper.database.candidate_verdict import CandidateVerdict
from gatekeeper.database.golden_datasets import Comparison
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.tables import GATING, UNJUDGED, CandidateRow
from gatekeeper.evaluation import completeness
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates, summary
from gatekeeper.evaluation.lineage import Provenance, trace
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence import golden_predictions, reference, serving_artifact
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.promotion import is_past
from gatekeeper.promotion.absent import AbsentVersions
from gatekeeper.promotion.rejudging import Rejudging
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.telemetry import GATE_SECONDS, after_commit
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import TournamentResult
from gatekeeper.tournaments.eligibility import champion_of
from gatekeeper.tournaments.job import own_metrics, won
from gatekeeper.tournaments.runner import Skipped, Tournament

log = get_logger(__name__)


class GateJob:
    """Runs outside transactions; the returned record is written in the transaction that ends the job."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        evaluator: Evaluator,
        tournament: Tournament,
        recorder: Recorder,
        kept: EvidenceStore,
        policies: PolicyStore,
    ) -> None:
        self._database = database
        self._registry = registry
        self._evaluator = evaluator
        self._tournament = tournament
        self._recorder = recorder
        self._kept = kept
        self._policies = policies
        self._again = Rejudging(database, registry, policies)
        self._absent = AbsentVersions(database, registry, evaluator, recorder, kept)

    def run(self, run: JobRun) -> Record:
        candidate_id: str = run.job.payload["candidate_id"]
        if (kept := self._again.decide(candidate_id)) is not None:
            return kept
        with self._database.transaction() as session:
            row = session.get(CandidateRow, candidate_id)
            if row is None or row.state not in UNJUDGED:
                return _nothing
            row.state, row.gating_at = GATING, datetime.now(UTC)
            envelope, is_first = queries.envelope_of(row), row.judgement == 1
            state = queries.state(session, row.model_name)
            # The champion itself, judged again, is compared with the one before it, as it was at first.
            rival = queries.champion(session, row.model_name, but=row.model_version)
            champion, is_champion = champion_of(rival), state.champion_version == row.model_version
        event = envelope.data
        policy = self._policies.get(event.model_name)  # the whole job is judged by this one, whatever changes
        if policy is None:
            return partial(_wait, candidate_id, completeness.policy_of(event.model_name, self._policies))
        try:
            found = trace(self._registry, event)
            registered_at = found.version.created_at if found.version else envelope.time
            if past := is_past(registered_at if is_first else envelope.time, state):
                return partial(self._supersede, candidate_id=candidate_id, reason=past.reason)
            if found.version is None:
                return self._absent.judge(run, envelope, policy, champion, state)
            with self._database.reading() as session:
                lacking = completeness.missing(session, found, policy)
            if lacking is not None:
                return partial(_wait, candidate_id, lacking)
            task = self._evaluator.completed(self._task(found, champion, policy, candidate_id))
            policy = task.policy
            measurements = self._evaluator.measure(task, run.cancelled, run.progress)
            verdicts = run_gates(measurements, policy)
            outcome = overall(verdicts)
            if outcome is Outcome.PASSED:
                self._evaluator.explain(measurements, policy, run.cancelled, run.progress)
            played = None if is_champion else self._play(task, measurements, verdicts, run)
            watched = reference.completed(found.event, measurements, self._registry, self._kept)
        except Cancelled as error:
            raise Transient(str(error)) from error
        candidate_verdict = CandidateVerdict(
            event=found.event.model_copy(update={"reference": watched}),
            verdicts=verdicts,
            reason=summary(outcome, verdicts),
            registered_at=registered_at,
            compared_with=champion.model_version if champion else None,
            artifact_digest=measurements.artifact_digest,
            golden_digest=measurements.golden_digest,
            metrics=own_metrics(measurements, policy),
            evidence=self._evidence(measurements, played, policy),
            won=won(played, policy) if played else None,
            serving_artifact=serving_artifact.keep(measurements, self._kept) if outcome is Outcome.PASSED else None,
            output=measurements.output,
            golden_predictions=(
                golden_predictions.keep(measurements, policy, self._kept) if outcome is Outcome.PASSED else None
            ),
            importance=dict(measurements.importance.worse) if measurements.importance else {},
            registered_by=found.registered_by,
        )
        return partial(self._record, candidate_verdict=candidate_verdict, policy=policy, seconds=measurements.seconds)

    def _task(
        self, found: Provenance, champion: Champion | None, policy: ModelPolicy, candidate_id: str
    ) -> EvaluationTask:
        """The champion, the golden dataset and the number of earlier comparisons on it, which determines the α left."""
        name = found.event.model_name
        with self._database.reading() as session:
            wanted, source = completeness.golden_of(session, found, policy)
            digest = completeness.golden_digest(found, wanted, policy)
            own = Comparison(candidate_id, champion.model_version if champion else None, policy.digest)
            k = 1 if digest is None else golden_datasets.challengers(session, name, digest, but=own) + 1
        event = None
        if champion is not None:
            bare = ModelRegistered(model_name=name, model_version=champion.model_version)
            event = trace(self._registry, bare).event
        return EvaluationTask(found, policy, champion, event, wanted, source, k)

    def _evidence(
        self, measurements: Measurements, played: TournamentResult | None, policy: ModelPolicy
    ) -> dict[str, Any]:
        """The evidence document, with its arrays stored in MLflow. Raises Transient when they cannot be stored."""
        with self._kept.writing(measurements.event.model_name) as keep:
            document = evidence.write(measurements, policy, keep)
            if played is not None:
                document["tournament"] = comparison.write(played, policy, keep)
        probe = measurements.probe
        output = probe.output[-2000:] if probe is not None and probe.fault is not None else ""
        return document | {"output": output}

    def _play(
        self, task: EvaluationTask, measurements: Measurements, verdicts: tuple[GateVerdict, ...], run: JobRun
    ) -> TournamentResult | None:
        """Play the tournament; if it fails, the candidate's own verdict stands."""
        began = time.monotonic()
        try:
            played = self._tournament.play(
                task, measurements, verdicts, measurements.k + 1, run.cancelled, run.progress
            )
        except (Transient, Cancelled):
            raise
        except Exception:
            log.exception("tournament broke", candidate_id=run.job.payload["candidate_id"])
            return None
        if isinstance(played, Skipped):
            log.info("no tournament", candidate_id=run.job.payload["candidate_id"], reason=played.reason)
            return None
        measurements.seconds["tournament"] = round(time.monotonic() - began, 3)
        return played

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Record an error of the gatekeeper itself as Inconclusive, so that every candidate gets a verdict."""
        row = session.get(CandidateRow, job.payload.get("candidate_id", ""))
        if row is None:  # or it is a tournament that a replica of an older version queued under this kind
            return
        if row.state not in UNJUDGED:
            seen = {each.event_id for each in registrations.undecided(session, row.id)}
            registrations.keep(session, row, seen, f"whether to judge it again could not be decided: {error}")
            return
        champion = queries.champion(session, row.model_name)
        candidate_verdict = CandidateVerdict(
            event=queries.envelope_of(row).data,
            verdicts=(),
            reason=f"gating failed: {error}",
            registered_at=row.registered_at,
            compared_with=champion.model_version if champion else None,
        )
        self._recorder.judged(session, candidate_verdict, self._policies.get(row.model_name))

    def _record(
        self, session: Session, candidate_verdict: CandidateVerdict, policy: ModelPolicy, seconds: dict[str, float]
    ) -> None:
        self._recorder.judged(session, candidate_verdict, policy)
        after_commit(session, partial(_observe, seconds))

    def _supersede(self, session: Session, candidate_id: str, reason: str) -> None:
        row = session.get(CandidateRow, candidate_id)
        if row is not None:
            self._recorder.superseded(session, row, reason)


def _observe(seconds: dict[str, float]) -> None:
    for step, duration in seconds.items():
        GATE_SECONDS.labels(step).observe(duration)


def _wait(candidate_id: str, what: str, session: Session) -> None:
    row = session.get(CandidateRow, candidate_id)
    if row is not None:
        registrations.wait(session, row, what)


def _nothing(session: Session) -> None:
    """Record nothing: the candidate has its verdict already."""
