"""The job `tournament`, caused by a drift (on a new golden dataset, before training) or a benchmark (on its rows)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.job_worker import JobRun, Record, RunAgain
from chassis.jobs import Job
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import Dataset, ModelRegistered, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets, queries
from gatekeeper.database.candidate_verdict import TournamentWinner, candidate_result_of
from gatekeeper.database.job_kinds import BENCHMARK_ID
from gatekeeper.database.recorder import ACTOR, Recorder
from gatekeeper.database.tables import GoldenRow, TournamentRow
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.evaluation.lineage import trace
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.gates.leakage import clean_rows
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.tournament_trigger import Skip, after_drift
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import TournamentResult
from gatekeeper.tournaments.eligibility import champion_of, tournament_trigger
from gatekeeper.tournaments.ground import Ground, ground_of_benchmark
from gatekeeper.tournaments.runner import Skipped, Tournament

DRIFTED = "drifted_version"
"""Key in the job's payload."""

log = get_logger(__name__)


class TournamentJob:
    """Runs outside transactions; the returned record is written in the transaction that ends the job."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        evaluator: Evaluator,
        tournament: Tournament,
        recorder: Recorder,
        kept: EvidenceStore,
        policies: Mapping[str, ModelPolicy],
    ) -> None:
        self._database = database
        self._registry = registry
        self._evaluator = evaluator
        self._tournament = tournament
        self._recorder = recorder
        self._kept = kept
        self._policies = policies

    def run(self, run: JobRun) -> Record:
        """Raises Transient when MLflow is unavailable or the job is cancelled."""
        name, policy = run.job.key, self._policies.get(run.job.key)
        with self._database.reading() as session:
            ground = self._ground(session, run.job, policy)
            champion = champion_of(queries.champion(session, name))
        if isinstance(ground, Skip):
            return partial(_nothing, name, ground.reason)
        assert champion is not None, "there is an occasion"
        digest, k = ground.dataset.digest, ground.k
        found = trace(self._registry, ModelRegistered(model_name=name, model_version=champion.model_version))
        task = EvaluationTask(found, ground.policy, champion, found.event, ground.dataset, ground.source, k)
        task = self._evaluator.completed(task)
        policy = task.policy
        try:
            run.progress(0.1, f"tournament: asking champion v{champion.model_version}")
            measurements = self._evaluator.champion(task, run.cancelled)
            ended = self._tournament.play(task, measurements, (), k, run.cancelled, run.progress)
        except Cancelled as error:
            raise Transient(str(error)) from error
        if isinstance(ended, Skipped):
            return partial(_nothing, name, ended.reason)
        with self._kept.writing(name) as keep:
            document = evidence.write(measurements, policy, keep)
            document["tournament"] = comparison.write(ended, policy, keep)
        result = TournamentRow(
            id=ground.tournament_id,
            model_name=name,
            golden_digest=digest,
            champion_version=champion.model_version,
            winner=ended.decided.ending.winner,
            reason=ended.decided.ending.reason,
            policy_digest=policy.digest,
            drift_event_id=run.job.cause.id if run.job.cause and DRIFTED in run.job.payload else None,
            played_at=datetime.now(UTC),
            evidence=document,
        )
        return partial(self._record, job=run.job, row=result, won=won(ended, policy), policy=policy)

    def _ground(self, session: Session, job: Job, policy: ModelPolicy | None) -> Ground | Skip:
        """Return the rows to play on. Checked again after queueing: there may be a new tournament or champion."""
        name = job.key
        if BENCHMARK_ID in job.payload:
            return ground_of_benchmark(session, job.payload[BENCHMARK_ID], policy)
        action = after_drift(tournament_trigger(session, name, job.payload[DRIFTED], policy), policy)
        if isinstance(action, Skip):
            return action
        assert policy is not None, "there is an occasion"
        row = session.get_one(GoldenRow, (name, action.golden_digest))
        return Ground(
            tournament_id=golden_datasets.tournament_id(name, row.number),
            dataset=Dataset(uri=row.uri, digest=row.digest, rows=row.rows),
            source=GoldenSource(*golden_datasets.names(session, name, row.digest)),
            k=golden_datasets.challengers(session, name, row.digest) + 1,
            policy=policy,
        )

    def _record(
        self, session: Session, job: Job, row: TournamentRow, won: TournamentWinner | None, policy: ModelPolicy
    ) -> None:
        """Record the tournament. Raises RunAgain when the champion has changed."""
        queries.lock(session, row.model_name)
        now = queries.state(session, row.model_name)
        if now.champion_version != row.champion_version:
            raise RunAgain(f"played against v{row.champion_version}, but v{now.champion_version} is champion now")
        session.add(row)
        log.info("tournament played", tournament=row.id, winner=row.winner, reason=row.reason)
        spent = row.evidence["tournament"]
        queries.add_audit(
            session,
            "tournament played",
            row.model_name,
            row.winner,
            actor=ACTOR,
            reason=row.reason,
            evidence={
                "tournament_id": row.id,
                "golden_digest": row.golden_digest,
                "champion_version": row.champion_version,
                "entrants": len(spent["entrants"]),
                "k": spent["k"],
                "policy_digest": row.policy_digest,
                "drift_event_id": row.drift_event_id,
            },
            correlation_id=job.cause.correlation_id if job.cause else None,
        )
        if won is not None:
            winner = queries.candidate(session, row.model_name, won.model_version)
            assert winner is not None, "it played"
            candidate_result = candidate_result_of(winner, Outcome.PASSED, row.champion_version, policy)
            self._recorder.promote_winner(session, won, candidate_result, policy, job.cause, evidence_id=row.id)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Audit the failure. No α is spent; a golden dataset created later can trigger a new tournament."""
        queries.add_audit(
            session,
            "tournament broke",
            job.key,
            None,
            actor=ACTOR,
            reason=error,
            evidence=dict(job.payload),
            correlation_id=job.cause.correlation_id if job.cause else None,
        )


def won(played: TournamentResult, policy: ModelPolicy) -> TournamentWinner | None:
    """The winner, with its metrics on the golden rows; None when the champion stays."""
    ending, gated = played.decided.ending, played.gated
    if ending.winner is None or gated is None:
        return None
    return TournamentWinner(ending.winner, ending.reason, own_metrics(gated, policy), gated.output)


def own_metrics(measurements: Measurements, policy: ModelPolicy) -> dict[str, float]:
    """Metrics of the gated version, on the golden rows that are clean for it."""
    answers, rows = measurements.challenger_answers, measurements.golden
    if answers is None or rows is None:
        return {}
    clean = clean_rows(measurements, policy)
    series = measurements.series(clean)
    return estimates.all_metrics(policy.problem, rows.truth[clean], answers.only(clean), series, policy.metric)


def _nothing(model_name: str, reason: str, session: Session) -> None:
    """End the job without a tournament: no α is spent."""
    log.info("no tournament", model_name=model_name, reason=reason)
