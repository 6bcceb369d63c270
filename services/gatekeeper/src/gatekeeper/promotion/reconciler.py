"""Reconciles MLflow with the database: versions registered without an event or incomplete, aliases moved by hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from chassis.background import Background
from chassis.database import Database
from chassis.errors import Permanent, Transient
from chassis.registry import RegisteredModel, RegisteredVersion, Registry
from chassis.telemetry import get_logger
from contracts import ModelRegistered, Trigger, new_envelope
from contracts.policy import ModelPolicy
from gatekeeper.database import queries
from gatekeeper.database.recorder import ACTOR, Recorder
from gatekeeper.evaluation.completeness import FOUND
from gatekeeper.handlers import Handlers
from gatekeeper.promotion.mlflow_mirror import Aliases
from gatekeeper.promotion.waiting import WaitingVersions

SOURCE = "gatekeeper/reconciler"
WAITING_SECONDS = 2.0
"""Between two looks at the versions that wait, at most."""

log = get_logger(__name__)


class Reconciler(Background):
    """A Part: periodically reconciles the models that have a policy; skips a round while MLflow is unavailable."""

    name = "reconciler"

    def __init__(
        self,
        database: Database,
        registry: Registry,
        handlers: Handlers,
        recorder: Recorder,
        policies: Mapping[str, ModelPolicy],
        waiting: WaitingVersions,
        *,
        every: timedelta,
        grace: timedelta,
    ) -> None:
        self._database = database
        self._registry = registry
        self._handlers = handlers
        self._recorder = recorder
        self._policies = policies
        self._waiting = waiting
        self._every = every
        self._grace = grace
        self._seen: dict[str, int | None] = {}
        """MLflow's timestamp of each model's last change, once all versions up to it are recorded here."""
        self._trouble: str | None = None

    async def _run(self) -> None:
        every = self._every.total_seconds()
        due = time.monotonic() + every
        while True:
            await asyncio.sleep(min(every, WAITING_SECONDS))
            if time.monotonic() >= due:
                await asyncio.to_thread(self.round)
                due = time.monotonic() + every
            await asyncio.to_thread(self._resume_waiting)

    def _resume_waiting(self) -> None:
        """Between two rounds, since a person waits for it; MLflow is hardly read."""
        try:
            self._waiting.round()
        except (Transient, Permanent) as error:
            log.info("waiting versions were not looked at", error=str(error))
        except Exception:  # the loop goes on: another version may be ready
            log.exception("waiting versions were not looked at")

    def round(self) -> None:
        """Reconcile every model once. A failure is logged when it begins and when it ends, not each time."""
        measurement_error: str | None = None
        try:
            models = [model for model in self._registry.models() if model.name in self._policies]
        except (Transient, Permanent) as error:
            models, measurement_error = [], str(error)
        for model in models:
            try:
                self._take_in(model)
                self._put_back(model)
            except (Transient, Permanent) as error:
                measurement_error = str(error)
            except Exception as error:  # one bad version must not prevent finding the others
                log.exception("not reconciled", model_name=model.name)
                measurement_error = f"{type(error).__name__}: {error}"
        if (measurement_error is None) != (self._trouble is None):
            log.warning("MLflow is not reconciled", error=measurement_error) if measurement_error else log.info(
                "MLflow is reconciled again"
            )
        self._trouble = measurement_error

    def _take_in(self, model: RegisteredModel) -> None:
        """Enter versions that have no event as if there had been one."""
        model_name, waiting = model.name, False
        if model.changed is not None and self._seen.get(model_name) == model.changed:
            return
        with self._database.reading() as session:
            known = queries.candidate_versions(session, model_name)
        oldest_enough = datetime.now(UTC) - self._grace
        for version in self._registry.versions(model_name):
            if version.version in known:
                continue
            if version.created_at > oldest_enough:
                waiting = True
            else:
                envelope = new_envelope(
                    _registered(version),
                    source=SOURCE,
                    event_id=f"reconciled:{model_name}:{version.version}",
                    time=version.created_at,
                )
                with self._database.transaction() as session:
                    if self._handlers.enter(session, envelope):
                        log.info("version without an event", model_name=model_name, model_version=version.version)
        if not waiting:
            self._seen[model_name] = model.changed

    def _put_back(self, model: RegisteredModel) -> None:
        """Restore aliases that were moved in MLflow. Skips while a mirror job is pending: aliases are not settled."""
        model_name = model.name
        with self._database.reading() as session:
            before = self._settled(session, model_name)
        if before is None or Aliases.of(model.aliases) == before:
            return
        found = Aliases.in_registry(self._registry, model_name)  # the list may predate our own last change
        if found == before:
            return
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            if self._settled(session, model_name) != before:
                return
            queries.add_audit(
                session,
                "aliases put back",
                model_name,
                before.champion,
                actor=ACTOR,
                reason="aliases were moved in MLflow; who answers is decided here (promote or rollback)",
                evidence={"found": asdict(found), "put back": asdict(before)},
            )
            self._recorder.mirror(session, model_name, None, None)  # no other round detects the same move again

    def _settled(self, session: Session, model_name: str) -> Aliases | None:
        """The aliases that MLflow should have, if they have been mirrored."""
        row, decided = queries.model(session, model_name), Aliases.decided(session, model_name)
        return decided if row is not None and row.mirrored == asdict(decided) else None


def _registered(version: RegisteredVersion) -> ModelRegistered:
    return ModelRegistered(
        model_name=version.name,
        model_version=version.version,
        run_id=version.run_id,
        artifact_uri=version.source,
        trigger=Trigger(kind=FOUND, reason="found in MLflow without an event"),
    )
