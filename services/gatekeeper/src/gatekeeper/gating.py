"""The job `gate`: one candidate from the registered version to a verdict."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import Transient
from chassis.job_worker import JobRun, Record
from chassis.jobs import Job
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import overall
from contracts.policy import ModelPolicy
from gatekeeper import facts, store
from gatekeeper.judging import judge, summary
from gatekeeper.measuring import Champion, Measurer
from gatekeeper.policy import statistics
from gatekeeper.policy.promotion import is_past
from gatekeeper.provenance import trace
from gatekeeper.recording import Judgement, Recorder, without_policy
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.tables import GATING, UNJUDGED, CandidateRow, PromotionRow
from gatekeeper.telemetry import GATE_SECONDS, after_commit

GATE = "gate"

log = get_logger(__name__)


class Gating:
    """Runs outside transactions; what it returns is recorded in the one that ends the job."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        measurer: Measurer,
        recorder: Recorder,
        policies: dict[str, ModelPolicy],
    ) -> None:
        self._database = database
        self._registry = registry
        self._measurer = measurer
        self._recorder = recorder
        self._policies = policies

    def run(self, run: JobRun) -> Record:
        candidate_id: str = run.job.payload["candidate_id"]
        with self._database.transaction() as session:
            row = session.get(CandidateRow, candidate_id)
            if row is None or row.state not in UNJUDGED:
                return _nothing
            row.state, row.gating_at = GATING, datetime.now(UTC)
            envelope = store.envelope_of(row)
            state = store.state(session, row.model_name)
            champion = _champion(store.champion(session, row.model_name))
        event, registered_at = envelope.data, envelope.time
        policy = self._policies.get(event.model_name)
        if policy is None:
            judgement = without_policy(event, registered_at)
            return partial(self._recorder.judged, judgement=judgement, policy=None)
        try:
            found = trace(self._registry, event)
            if found.version is not None:
                registered_at = found.version.created_at
            if past := is_past(registered_at, state):
                return partial(self._supersede, candidate_id=candidate_id, reason=past.reason)
            measured = self._measurer.measure(found, champion, policy, run.cancelled, run.progress)
        except Cancelled as error:
            raise Transient(str(error)) from error
        verdicts = judge(found, measured, policy, champion)
        answers, rows = measured.challenger_answers, measured.golden
        metrics = statistics.all_metrics(policy.problem, rows.truth, answers) if rows and answers else {}
        judgement = Judgement(
            event=found.event,
            verdicts=verdicts,
            reason=summary(overall(verdicts), verdicts),
            registered_at=registered_at,
            compared_with=champion.model_version if champion else None,
            artifact_digest=measured.artifact_digest,
            metrics=metrics,
            evidence=facts.evidence_of(measured, policy, champion),
        )
        return partial(self._record, judgement=judgement, policy=policy, seconds=measured.seconds)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        """The gatekeeper's own error: Inconclusive, so that nobody waits for a verdict that never comes."""
        row = session.get(CandidateRow, job.payload["candidate_id"])
        if row is None:
            return
        champion = store.champion(session, row.model_name)
        judgement = Judgement(
            event=store.envelope_of(row).data,
            verdicts=(),
            reason=f"gating failed: {error}",
            registered_at=row.registered_at,
            compared_with=champion.model_version if champion else None,
        )
        self._recorder.judged(session, judgement, self._policies.get(row.model_name))

    def _record(self, session: Session, judgement: Judgement, policy: ModelPolicy, seconds: dict[str, float]) -> None:
        self._recorder.judged(session, judgement, policy)
        after_commit(session, partial(_observe, seconds))

    def _supersede(self, session: Session, candidate_id: str, reason: str) -> None:
        row = session.get(CandidateRow, candidate_id)
        if row is not None:
            self._recorder.superseded(session, row, reason)


def _champion(row: PromotionRow | None) -> Champion | None:
    if row is None:
        return None
    return Champion(row.model_version, row.epoch, row.event["artifact_uri"], row.event["artifact_digest"])


def _observe(seconds: dict[str, float]) -> None:
    for step, duration in seconds.items():
        GATE_SECONDS.labels(step).observe(duration)


def _nothing(session: Session) -> None:
    """The candidate has its verdict already."""
