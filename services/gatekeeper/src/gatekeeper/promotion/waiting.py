"""Resume the versions that wait for a policy, golden rows or the end of their run, once these are there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chassis.database import Database
from chassis.errors import Permanent
from chassis.jobs import Jobs
from chassis.policy_store import PolicyStore
from chassis.registry import Registry
from chassis.telemetry import get_logger
from contracts import Envelope, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets, queries, registrations
from gatekeeper.database.tables import WAITING
from gatekeeper.evaluation.completeness import missing, policy_of
from gatekeeper.evaluation.lineage import trace

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 300.0
"""Between two looks into MLflow for one version: doubled each time."""
MOST_A_ROUND = 20
"""Versions that are looked up in MLflow in one round."""

log = get_logger(__name__)


@dataclass(frozen=True)
class _Seen:
    """What was known here at the last look; `again_at` is on the clock of `WaitingVersions`."""

    here: tuple[str | None, int | None]
    again_at: float
    delay: float


@dataclass(frozen=True)
class _Waiting:
    candidate_id: str
    model_name: str
    reason: str | None
    event: dict[str, Any]
    """Its envelope."""
    here: tuple[str | None, int | None]
    """Digest of its policy, and number of the newest golden dataset."""


class WaitingVersions:
    """Policies and golden datasets are compared in each round; MLflow is read only after these change, or rarely."""

    def __init__(
        self,
        database: Database,
        registry: Registry,
        jobs: Jobs,
        policies: PolicyStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._registry = registry
        self._jobs = jobs
        self._policies = policies
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def round(self) -> None:
        """Look at each waiting version that is due. Raises Transient when the database or MLflow is unavailable."""
        waiting = self._read()
        self._seen = {each.candidate_id: seen for each in waiting if (seen := self._seen.get(each.candidate_id))}
        now, looked = self._clock(), 0
        for each in waiting:
            seen = self._seen.get(each.candidate_id)
            unchanged = seen is not None and seen.here == each.here
            if unchanged and seen is not None and now < seen.again_at:
                continue
            policy = self._policies.get(each.model_name)
            if policy is None:
                self._still(each, policy_of(each.model_name, self._policies))
                continue
            if looked == MOST_A_ROUND:
                return
            looked += 1
            delay = min(seen.delay * 2, LONGEST_SECONDS) if unchanged and seen is not None else FIRST_SECONDS
            self._seen[each.candidate_id] = _Seen(each.here, now + delay, delay)
            self._look(each, policy)

    def _read(self) -> list[_Waiting]:
        with self._database.reading() as session:
            rows = registrations.waiting(session)
            names = {row.model_name for row in rows}
            newest = {name: golden_datasets.newest(session, name) for name in names & self._policies.keys()}
        found = []
        for row in rows:
            policy, golden = self._policies.get(row.model_name), newest.get(row.model_name)
            here = (policy.digest if policy else None, golden.number if golden else None)
            found.append(_Waiting(row.id, row.model_name, row.reason, row.event, here))
        return found

    def _look(self, each: _Waiting, policy: ModelPolicy) -> None:
        try:
            found = trace(self._registry, Envelope[ModelRegistered].model_validate(each.event).data)
        except Permanent as error:  # of this version; the others go on
            log.warning("a waiting version cannot be looked up", candidate=each.candidate_id, error=str(error))
            return
        with self._database.reading() as session:
            lacking = missing(session, found, policy)
        if lacking is not None:
            self._still(each, lacking)
            return
        with self._database.transaction() as session:
            queries.lock(session, each.model_name)
            if (row := queries.candidate_by_id(session, each.candidate_id)) is not None:
                registrations.resume(session, self._jobs, row)

    def _still(self, each: _Waiting, what: str) -> None:
        """Record what it waits for now, if that is another thing."""
        if each.reason == f"waiting for: {what}":
            return
        with self._database.transaction() as session:
            queries.lock(session, each.model_name)
            row = queries.candidate_by_id(session, each.candidate_id)
            if row is not None and row.state == WAITING:
                registrations.wait(session, row, what)
