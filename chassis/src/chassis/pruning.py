"""Deletes what is no longer needed to know duplicates: rows of the inbox, and jobs that have ended.

An event can arrive again for as long as its topic keeps it. Compacted topics keep theirs for ever, so their events are
never forgotten, but for events that are totals: handled again, they change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, select, tuple_

from chassis.background import Periodic
from chassis.database import Database
from chassis.inbox import InboxRow
from chassis.jobs import DONE, FAILED, JobRow
from chassis.telemetry import get_logger
from chassis.topics import LONGEST_KEPT, kept_for
from contracts import EVENTS, Event, RolloutMeasured

EVERY = timedelta(days=1)
MARGIN = timedelta(days=14)
"""A broker deletes whole segments, which a record may outlive its retention in."""
TOTALS: tuple[type[Event], ...] = (RolloutMeasured,)
"""Cumulative events: a reader ignores totals that are not larger than those it has. They come each second."""
AT_A_TIME = 500
"""Rows deleted in one transaction: it blocks the other writers of a SQLite file."""

log = get_logger(__name__)


class Pruning(Periodic):
    """A Part. Several replicas may run it concurrently; each deletes what is left."""

    name = "pruning"
    waits = failed = "nothing pruned"

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        more: Sequence[Callable[[datetime, int], int]] = (),
    ) -> None:
        """`more`: each deletes rows of the service's own that are no longer needed, at most the number that it is
        given, and returns how many it deleted; it is given the time first."""
        super().__init__(EVERY)
        self._database = database
        self._clock = clock
        self._more = tuple(more)

    def once(self) -> int:
        return self.prune()

    def prune(self) -> int:
        """Delete all rows that are old enough; return how many."""
        count = 0
        while deleted := self._some_events() + self._some_jobs() + self._some_more():
            count += deleted
        if count:
            log.info("pruned", rows=count)
        return count

    def _some_events(self) -> int:
        now, count = self._clock(), 0
        for event in EVENTS:
            needed = _needed_for(event)
            if needed is None:
                continue
            key = (InboxRow.source, InboxRow.event_id)
            old = select(*key).where(InboxRow.type == event.type, InboxRow.handled_at < now - needed)
            with self._database.reading() as session:
                rows = [tuple(row) for row in session.execute(old.limit(AT_A_TIME))]
            if rows:
                with self._database.transaction() as session:
                    session.execute(delete(InboxRow).where(tuple_(*key).in_(rows)))
            count += len(rows)
        return count

    def _some_jobs(self) -> int:
        old = select(JobRow.sequence).where(
            JobRow.state.in_((DONE, FAILED)), JobRow.ended_at < self._clock() - LONGEST_KEPT - MARGIN
        )
        with self._database.reading() as session:
            rows = list(session.scalars(old.limit(AT_A_TIME)))
        if rows:
            with self._database.transaction() as session:
                session.execute(delete(JobRow).where(JobRow.sequence.in_(rows)))
        return len(rows)

    def _some_more(self) -> int:
        return sum(some(self._clock(), AT_A_TIME) for some in self._more)


def _needed_for(event: type[Event]) -> timedelta | None:
    """Return how long an event must be remembered as handled; None: for ever."""
    if event in TOTALS:
        return EVERY
    kept = kept_for(event.topic)
    return None if kept is None else kept + MARGIN
