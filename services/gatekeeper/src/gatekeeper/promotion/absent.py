"""Judge versions that were announced and that MLflow does not have: nothing is measured, and several at a time.

A publisher that counts wrongly, or a registry that was restored, announces many of them; a version that exists must not
wait for the verdict of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.job_worker import JobRun, Record
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import Envelope, ModelRegistered, overall
from contracts.policy import ModelPolicy
from gatekeeper.database import queries
from gatekeeper.database.candidate_verdict import CandidateVerdict
from gatekeeper.database.job_kinds import first_job
from gatekeeper.database.recorder import Recorder
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates, summary
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Champion
from gatekeeper.evidence import document as evidence
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.absent_versions import absent_versions
from gatekeeper.policy.promotion import State, is_past

log = get_logger(__name__)


class AbsentVersions:
    def __init__(
        self, database: Database, registry: Registry, evaluator: Evaluator, recorder: Recorder, kept: EvidenceStore
    ) -> None:
        self._database = database
        self._registry = registry
        self._evaluator = evaluator
        self._recorder = recorder
        self._kept = kept

    def judge(
        self, run: JobRun, own: Envelope[ModelRegistered], policy: ModelPolicy, champion: Champion | None, state: State
    ) -> Record:
        """Judge `own`, which MLflow does not have, and others of its model. Raises Transient, as the registry does."""
        name, version = own.model_name, own.data.model_version
        # The queue before the registry: a version that is announced meanwhile may be in the registry by now.
        with self._database.reading() as session:
            waiting = map(queries.envelope_of, queries.queued(session, name))
            others = {each.data.model_version: each for each in waiting if is_past(each.time, state) is None}
        events = {version: own} | others
        known = {each.version for each in self._registry.versions(name)} - {version}
        found = absent_versions(list(events), known)
        verdicts = [self._verdict(run, events[each], policy, champion) for each in found.now]
        behind = [queries.candidate_id(name, each) for each in found.behind]
        return partial(self._record, verdicts=verdicts, behind=behind, policy=policy)

    def _verdict(
        self, run: JobRun, envelope: Envelope[ModelRegistered], policy: ModelPolicy, champion: Champion | None
    ) -> CandidateVerdict:
        event = envelope.data
        task = EvaluationTask(Provenance(event, None), policy, champion)
        measurements = self._evaluator.measure(task, run.cancelled, lambda _share, _message: None)
        verdicts = run_gates(measurements, policy)
        with self._kept.writing(event.model_name) as keep:
            document = evidence.write(measurements, policy, keep)
        return CandidateVerdict(
            event=event,
            verdicts=verdicts,
            reason=summary(overall(verdicts), verdicts),
            registered_at=envelope.time,
            compared_with=champion.model_version if champion else None,
            evidence=document | {"output": ""},
            in_registry=False,
        )

    def _record(
        self, session: Session, verdicts: Sequence[CandidateVerdict], behind: Sequence[str], policy: ModelPolicy
    ) -> None:
        jobs = self._recorder.jobs
        for each in verdicts:
            self._recorder.judged(session, each, policy)
        jobs.end_queued(session, [first_job(_id(each)) for each in verdicts])
        jobs.move_to_end(session, [first_job(each) for each in behind])
        if behind:
            log.info("versions that MLflow does not have wait behind those that it has", versions=len(behind))


def _id(verdict: CandidateVerdict) -> str:
    return queries.candidate_id(verdict.event.model_name, verdict.event.model_version)
