"""The job `benchmark`: predictions of champion and retained versions on the rows, and what follows from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import NotFound, Transient
from chassis.job_worker import JobRun, Record, RunAgain
from chassis.jobs import Job, Jobs
from chassis.outbox import Outbox
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import BenchmarkCompleted, BenchmarkDue, Envelope, ModelRegistered, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.benchmarks import report
from gatekeeper.benchmarks.results import Results, compare, unmeasured
from gatekeeper.database import benchmarks, queries
from gatekeeper.database.benchmark_tables import COMPLETED, DUE, BenchmarkRow
from gatekeeper.database.job_kinds import BENCHMARK_ID, TOURNAMENT
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.lineage import Provenance, trace
from gatekeeper.evaluation.measurements import Champion
from gatekeeper.evidence.store import EXPERIMENT
from gatekeeper.policy import tournament
from gatekeeper.policy.tournament_trigger import after_benchmark
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.telemetry import BENCHMARKS, after_commit
from gatekeeper.tournaments.eligibility import champion_of, retained
from gatekeeper.tournaments.ground import on_rows, source_of, trigger_of
from gatekeeper.tournaments.runner import Tournament

RESULTS, REPORT = "benchmark_results.json", "benchmark_report.txt"
TAG = "gauntlet.benchmark"
"""On the champion's version: where the newest results are."""

log = get_logger(__name__)


class BenchmarkJob:
    """Runs outside transactions; the returned record is written in the transaction that ends the job."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        evaluator: Evaluator,
        tournament: Tournament,
        jobs: Jobs,
        outbox: Outbox,
        policies: Mapping[str, ModelPolicy],
    ) -> None:
        self._database = database
        self._registry = registry
        self._evaluator = evaluator
        self._tournament = tournament
        self._jobs = jobs
        self._outbox = outbox
        self._policies = policies

    def run(self, run: JobRun) -> Record:
        """Raises Transient when MLflow is unavailable or the job is cancelled."""
        name, policy = run.job.key, self._policies.get(run.job.key)
        with self._database.reading() as session:
            row = benchmarks.by_id(session, run.job.payload[BENCHMARK_ID])
            if row is None or row.state != DUE:
                return _nothing
            due = BenchmarkDue.model_validate(row.due)
            promotion = queries.champion(session, name)
            champion = champion_of(promotion)
            baseline = dict(promotion.event.get("baseline") or {}) if promotion is not None else {}
        digest = None if policy is None else policy.digest
        if policy is None or champion is None:
            why = f"{name} has no policy" if policy is None else f"{name} has no champion"
            return partial(self._record, job=run.job, due=due, results=unmeasured(why), digest=digest, places={})
        found = trace(self._registry, ModelRegistered(model_name=name, model_version=champion.model_version))
        try:
            results = self._results(run, due, on_rows(policy, due), champion, found, baseline)
        except Cancelled as error:
            raise Transient(str(error)) from error
        places = self._keep(due, found, results.document(due, digest))
        return partial(self._record, job=run.job, due=due, results=results, digest=digest, places=places)

    def _results(
        self,
        run: JobRun,
        due: BenchmarkDue,
        policy: ModelPolicy,
        champion: Champion,
        found: Provenance,
        baseline: Mapping[str, float],
    ) -> Results:
        task = EvaluationTask(found, policy, champion, found.event, due.rows, source_of(due))
        task = self._evaluator.completed(task)
        run.progress(0.1, f"benchmark: asking champion v{champion.model_version}")
        measurements = self._evaluator.champion(task, run.cancelled)
        asked = []
        if measurements.champion_answers is not None and tournament.comparison(task.policy) is not None:
            with self._database.reading() as session:
                kept = retained(session, due.model_name, task.policy, champion.model_version)
            for number, one in enumerate(kept, start=1):
                run.progress(0.1 + 0.8 * number / len(kept), f"benchmark: asking v{one.version.model_version}")
                asked.append(self._tournament.ask(one, measurements, task, run.cancelled))
        return compare(measurements, asked, task.policy, baseline.get(task.policy.metric))

    def _keep(self, due: BenchmarkDue, found: Provenance, document: dict[str, Any]) -> dict[str, str]:
        """Store results and report on the champion's run, or on Gauntlet's own if it has none; return their URIs."""
        folder = f"gauntlet/benchmarks/{due.benchmark_id}"
        files = {RESULTS: json.dumps(document, indent=2, ensure_ascii=False) + "\n", REPORT: report.text(document)}
        run_id = found.event.run_id if found.run_found and found.event.run_id else self._own_run(due)
        for name, content in files.items():
            self._registry.upload_text(run_id, content, f"{folder}/{name}")
        places = {name: f"runs:/{run_id}/{folder}/{name}" for name in files}
        try:
            self._registry.tag_version(due.model_name, found.event.model_version, {TAG: places[RESULTS]})
        except NotFound as error:
            log.warning("benchmark not linked", benchmark=due.benchmark_id, error=str(error))
        return places

    def _own_run(self, due: BenchmarkDue) -> str:
        return self._registry.own_run(EXPERIMENT, due.model_name)

    def _record(
        self,
        session: Session,
        job: Job,
        due: BenchmarkDue,
        results: Results,
        digest: str | None,
        places: Mapping[str, str],
    ) -> None:
        """Record and announce the results. Raises RunAgain when the champion has changed."""
        queries.lock(session, due.model_name)
        row = session.get_one(BenchmarkRow, due.benchmark_id, populate_existing=True)
        if row.state != DUE:
            return
        now = queries.state(session, due.model_name).champion_version
        if results.champion is not None and now != results.champion:
            raise RunAgain(f"v{results.champion} was compared, but v{now} is champion now")
        verdict = results.verdict
        row.outcome, row.reason = verdict.outcome.value, verdict.reason
        row.champion_version, row.winner = results.champion, results.winner
        policy = self._policies.get(due.model_name)
        held = after_benchmark(trigger_of(session, row, policy), policy)
        event = BenchmarkCompleted(
            model_name=due.model_name,
            model_version=results.champion or due.model_version,
            benchmark_id=due.benchmark_id,
            rows=due.rows,
            outcome=verdict.outcome,
            reason=verdict.reason,
            metric=results.metric,
            beats_baseline=results.beats_baseline,
            **results.gain,
            winner=results.winner,
            figures=results.figures,
            policy_digest=digest,
            results_uri=places.get(RESULTS),
            report_uri=places.get(REPORT),
            tournament=held is None,
        )
        emitted = self._outbox.emit(session, event, cause=job.cause, event_id=f"benchmark-completed:{due.benchmark_id}")
        row.state, row.completed_at = COMPLETED, datetime.now(UTC)
        row.results, row.completed = results.document(due, digest), event.model_dump(mode="json")
        if held is None:
            self._begin_tournament(session, due, emitted)
        elif verdict.outcome is Outcome.FAILED:
            log.info("no tournament", benchmark=due.benchmark_id, reason=held.reason)
        after_commit(session, partial(_announce, due, results))

    def _begin_tournament(self, session: Session, due: BenchmarkDue, cause: Envelope[BenchmarkCompleted]) -> None:
        self._jobs.enqueue(
            session,
            kind=TOURNAMENT,
            key=due.model_name,
            payload={BENCHMARK_ID: due.benchmark_id},
            job_id=str(uuid5(NAMESPACE_URL, f"tournament\0{due.benchmark_id}")),
            cause=cause,
        )

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """Record an error of the gatekeeper itself as Inconclusive, so that every benchmark ends."""
        row = benchmarks.by_id(session, job.payload[BENCHMARK_ID])
        if row is not None and row.state == DUE:
            due = BenchmarkDue.model_validate(row.due)
            results = unmeasured(f"the benchmark failed: {error}")
            self._record(session, job, due, results, None, {})


def _announce(due: BenchmarkDue, results: Results) -> None:
    outcome = results.verdict.outcome
    BENCHMARKS.labels(outcome.value).inc()
    told = log.warning if outcome is Outcome.FAILED else log.info
    told(
        "benchmark completed",
        model_name=due.model_name,
        benchmark=due.benchmark_id,
        outcome=outcome.value,
        winner=results.winner,
        reason=results.verdict.reason,
    )


def _nothing(session: Session) -> None:
    """Record nothing: the benchmark has ended already."""
