"""A new database: what its predecessor had read of the compacted topics is read again.

Consumer groups keep their offsets in Kafka. After a database was lost, they would go on behind promotions and rollouts
that are still in force, and which nobody repeats. Handlers are idempotent, so reading too much changes nothing.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from chassis.database import Database
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from chassis.topic_history import forget_offsets
from contracts import Promoted, RolloutChanged
from drift.database.store import insert_into
from drift.database.tables import BirthRow

log = get_logger(__name__)


class Birth:
    """A Part, between the schema and the bus."""

    name = "birth"

    def __init__(self, database: Database, settings: ServiceSettings, service: str) -> None:
        self._database = database
        self._settings = settings
        self._service = service

    async def start(self) -> None:
        """Raises Transient when the broker cannot be reached."""
        await asyncio.to_thread(self._begin)

    async def stop(self) -> None:
        return None

    def _begin(self) -> None:
        with self._database.reading() as session:
            if session.get(BirthRow, 1) is not None:
                return
        with self._database.transaction() as session:
            row = {"key": 1, "born_at": datetime.now(UTC)}
            # RETURNING waits for another process that does the same, and is then empty.
            marked = insert_into(session, BirthRow).values(row).on_conflict_do_nothing().returning(BirthRow.key)
            if session.scalar(marked) is not None and (
                topics := forget_offsets(self._settings, self._service, [Promoted, RolloutChanged])
            ):
                log.warning("the database is new: topics are read again from their beginning", topics=topics)
