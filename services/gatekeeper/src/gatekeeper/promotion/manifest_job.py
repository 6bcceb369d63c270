"""The job `manifest`: stores manifest.json of a promotion in MLflow, after it, and never in its way."""

from __future__ import annotations

import json
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import NotFound, Permanent, Refused
from chassis.job_worker import JobRun, Record
from chassis.jobs import Job
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import GateVerdict, Promoted
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.database import golden_datasets, queries
from gatekeeper.database.tables import PromotionRow
from gatekeeper.evidence.store import EXPERIMENT
from gatekeeper.promotion import manifest
from gatekeeper.promotion.manifest import ModelFiles, Rests
from gatekeeper.replay import NoEvidence, Replayer

EPOCH = "epoch"
"""Key in the job's payload."""
FILE = "manifest.json"
TAG = "gauntlet.manifest"
"""On the version: where its newest manifest is."""

log = get_logger(__name__)


class ManifestJob:
    """Raises Transient while MLflow is unavailable: the job waits. Running it again writes the same file again."""

    def __init__(self, database: Database, registry: Registry, artifacts: Artifacts, replayer: Replayer) -> None:
        self._database = database
        self._registry = registry
        self._artifacts = artifacts
        self._replayer = replayer

    def run(self, run: JobRun) -> Record:
        name, epoch = run.job.key, run.job.payload[EPOCH]
        with self._database.reading() as session:
            row = session.get_one(PromotionRow, (name, epoch))
            event, promoted_at = Promoted.model_validate(row.event), row.promoted_at.isoformat()
            own = queries.candidate(session, name, event.model_version)
            registered = queries.envelope_of(own).data if own is not None else None
            evidence, verdicts, digest = _evidence(session, event)
            restored = row.restored
        if restored and self._has_one(event):  # written with the evidence that the database of then had
            return _nothing
        rests = self._rests(evidence, verdicts, digest, event.model_version)
        found = manifest.document(event, promoted_at, row.event_id, registered, rests, self._files(event))
        uri = self._store(event, registered.run_id if registered else None, found)
        return partial(_log, name, event.model_version, epoch, uri)

    def on_failed(self, session: Session, job: Job, error: str) -> None:
        log.error("manifest not stored", model_name=job.key, epoch=job.payload[EPOCH], error=error)

    def _rests(
        self, evidence: dict[str, object] | None, verdicts: tuple[GateVerdict, ...], digest: str | None, version: int
    ) -> Rests:
        if evidence is None:
            return Rests(verdicts, digest, problem="it rests on no evidence that is kept here")
        try:
            measured, policy = self._replayer.measured(evidence, version)
        except NoEvidence as error:
            return Rests(verdicts, digest, problem=f"the golden rows could not be read again: {error}")
        return Rests(verdicts, digest, measured, policy)

    def _files(self, event: Promoted) -> ModelFiles:
        try:
            folder, found = self._artifacts.model(event.artifact_uri, event.artifact_digest)
            if found != event.artifact_digest:
                raise ValueError(f"its digest is {found} by now")
            return manifest.files_of(folder)
        except (Permanent, ValueError) as error:
            return ModelFiles(problem=f"the files of the model could not be read: {error}")

    def _has_one(self, event: Promoted) -> bool:
        try:
            return (
                self._registry.version(event.model_name, event.model_version).tags.get(TAG, "").endswith(_path(event))
            )
        except NotFound:
            return False

    def _store(self, event: Promoted, run_id: str | None, found: dict[str, object]) -> str:
        """Store it on the version's run, or on Gauntlet's own if that is gone; return its URI."""
        path = _path(event)
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        try:
            if run_id is None:
                raise NotFound("the version has no run")
            self._registry.upload_text(run_id, text, path)
        except (NotFound, Refused):
            run_id = self._registry.own_run(EXPERIMENT, event.model_name)
            self._registry.upload_text(run_id, text, path)
        uri = f"runs:/{run_id}/{path}"
        try:
            self._registry.tag_version(event.model_name, event.model_version, {TAG: uri})
        except NotFound as error:
            log.warning("manifest not linked", model_name=event.model_name, error=str(error))
        return uri


def _path(event: Promoted) -> str:
    return f"gauntlet/manifests/{event.model_name}-v{event.model_version}-epoch{event.epoch}/{FILE}"


def _nothing(session: Session) -> None:
    """Record nothing: there is one already."""


def _evidence(
    session: Session, event: Promoted
) -> tuple[dict[str, object] | None, tuple[GateVerdict, ...], str | None]:
    """Return the evidence that a promotion rests on, the version's verdicts in it, and the policy's digest."""
    if event.evidence_id is None:
        return None, (), None
    row = queries.candidate_by_id(session, event.evidence_id)
    if row is not None and row.model_version == event.model_version:
        return (row.evidence if "measured" in row.evidence else None), queries.verdicts(session, row), row.policy_digest
    other = row or golden_datasets.tournament_by_id(session, event.evidence_id)
    if other is None or not (played := other.evidence.get("tournament")):
        return None, (), None
    gates = tuple(GateVerdict.model_validate(each) for each in played.get("gates", ()))
    return other.evidence, gates, other.policy_digest


def _log(name: str, version: int, epoch: int, uri: str, session: Session) -> None:
    log.info("manifest stored", model_name=name, model_version=version, epoch=epoch, uri=uri)
