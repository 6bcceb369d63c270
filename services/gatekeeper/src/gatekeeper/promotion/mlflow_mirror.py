"""The job `mirror`: updates MLflow's aliases and version tags to the gatekeeper's decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import NotFound
from chassis.job_worker import JobRun, Record
from chassis.registry import Registry
from chassis.telemetry import get_logger
from gatekeeper.database import queries, rollouts
from gatekeeper.database.evidence_formats import serving_form_of
from gatekeeper.read_models import CandidateView, candidate_view
from gatekeeper.report.page import render

CHAMPION, CHALLENGER = "champion", "challenger"

log = get_logger(__name__)


@dataclass(frozen=True)
class Aliases:
    """The version that each alias points to; None: no version."""

    champion: int | None
    challenger: int | None

    @staticmethod
    def decided(session: Session, model_name: str) -> Aliases:
        champion, challenger = queries.champion(session, model_name), queries.challenger(session, model_name)
        return Aliases(champion.model_version if champion else None, challenger.model_version if challenger else None)

    @staticmethod
    def in_registry(registry: Registry, model_name: str) -> Aliases:
        """Read the aliases from MLflow. Raises Transient; NotFound for a model that MLflow does not have."""
        return Aliases.of(registry.aliases(model_name))

    @staticmethod
    def of(found: Mapping[str, int]) -> Aliases:
        return Aliases(found.get(CHAMPION), found.get(CHALLENGER))


class Mirror:
    """Writes the current state whenever it runs, so that late and repeated runs do no harm."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def run(self, run: JobRun) -> Record:
        """Raises Transient while MLflow is unavailable: the job waits, and the model's later jobs wait behind it."""
        name = run.job.key
        version: int | None = run.job.payload.get("model_version")
        with self._database.reading() as session:
            wanted = Aliases.decided(session, name)
            tags = _tags(session, name, version) if version is not None else {}
            view = _view(session, name, version)
        self._write(name, wanted)
        if version is not None:
            try:
                self._registry.tag_version(name, version, tags)
            except NotFound as error:
                log.warning("tags not mirrored", model_name=name, model_version=version, error=str(error))
        if view is not None and view.run_id is not None:
            self._report(view, view.run_id)
        return partial(_remember, model_name=name, written=wanted)

    def _report(self, view: CandidateView, run_id: str) -> None:
        path = f"gauntlet/verdict-v{view.model_version}.html"
        try:
            self._registry.upload_text(run_id, render(view), path)
        except NotFound as error:
            log.warning("report not mirrored", candidate=view.id, error=str(error))

    def _write(self, model_name: str, wanted: Aliases) -> None:
        try:
            found = asdict(Aliases.in_registry(self._registry, model_name))
            for alias, holder in asdict(wanted).items():
                if holder is not None and found[alias] != holder:
                    self._registry.set_alias(model_name, alias, holder)
                elif holder is None and found[alias] is not None:
                    self._registry.delete_alias(model_name, alias)
        except NotFound as error:
            log.warning("aliases not mirrored", model_name=model_name, error=str(error))


def _view(session: Session, model_name: str, model_version: int | None) -> CandidateView | None:
    """The data for the report of a version; None before its verdict."""
    row = None if model_version is None else queries.candidate(session, model_name, model_version)
    return None if row is None or row.judged_at is None else candidate_view(session, row)


def _tags(session: Session, model_name: str, model_version: int) -> dict[str, str]:
    row = queries.candidate(session, model_name, model_version)
    promotion = queries.promotion_of(session, model_name, model_version)
    tags: dict[str, str] = {}
    if row is not None:
        tags["gauntlet.verdict"] = row.state
        tags["gauntlet.reason"] = (row.reason or "")[:5000]
        tags["gauntlet.candidate_id"] = row.id
        if row.policy_digest:
            tags["gauntlet.policy_digest"] = row.policy_digest
        if form := serving_form_of(row.evidence):
            tags["gauntlet.serving_form"] = form
        if rolled := rollouts.of_candidate(session, row.id):
            tags["gauntlet.rollout"] = f"{rolled[0].result or rolled[0].stage}: {rolled[0].reason}"[:5000]
    if promotion is not None:
        tags["gauntlet.epoch"] = str(promotion.epoch)
    return tags


def _remember(session: Session, model_name: str, written: Aliases) -> None:
    queries.lock(session, model_name).mirrored = asdict(written)
