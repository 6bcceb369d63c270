"""Time in rollouts: bake times, expiry and the end of a watch; and challengers that waited for the end of one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from chassis.background import Periodic
from chassis.database import Database
from chassis.errors import Transient
from chassis.telemetry import get_logger
from gatekeeper.database import queries, rollouts
from gatekeeper.rollout.decisions import RolloutDecisions
from gatekeeper.rollout.waiting import WaitingChallengers

EVERY = timedelta(seconds=1)

log = get_logger(__name__)


class RolloutClock(Periodic):
    """A Part: looks at every running rollout, and at waiting challengers. Idempotent, and safe to run twice."""

    name = "rollout clock"
    waits = "rollouts were not looked at"
    failed = "rollouts were not looked at"

    def __init__(
        self,
        database: Database,
        decisions: RolloutDecisions,
        waiting: WaitingChallengers,
        every: timedelta = EVERY,
    ) -> None:
        super().__init__(every)
        self._database = database
        self._decisions = decisions
        self._waiting = waiting

    def once(self) -> None:
        """Raises Transient when the database is unavailable."""
        with self._database.reading() as session:
            running, waiting = rollouts.running_ids(session), rollouts.all_waiting(session)
        for model_name, rollout_id in running:
            self._guarded(model_name, partial(self._look, model_name, rollout_id))
        for model_name in waiting:
            self._guarded(model_name, partial(self._waiting.begin, model_name))

    def _guarded(self, model_name: str, work: Callable[[], None]) -> None:
        try:
            work()
        except Transient:
            raise
        except Exception:  # of one model; the others go on
            log.exception("rollout was not looked at", model_name=model_name)

    def _look(self, model_name: str, rollout_id: str) -> None:
        with self._database.reading() as session:  # without a lock: mostly there is nothing to do
            row = rollouts.running(session, model_name)
            if row is None or self._decisions.goes_on(session, row, datetime.now(UTC)):
                return
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            row = rollouts.running(session, model_name)
            if row is not None and row.id == rollout_id:
                self._decisions.go_on(session, row, datetime.now(UTC))
