"""Publishes the audit trail's head, signed, so that others can keep it where nobody can write who writes the trail."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.background import Periodic
from chassis.database import Database
from chassis.errors import Transient
from chassis.outbox import Outbox
from chassis.telemetry import get_logger
from contracts import AuditHeadSigned, AuditPosition
from contracts.audit import head_key
from gatekeeper.database import kept_events
from gatekeeper.database.tables import AuditHeadRow, AuditRow
from gatekeeper.telemetry import AUDIT_CONTRADICTION

log = get_logger(__name__)


class AuditHeads(Periodic):
    """A Part. Publishes the head at each interval and when the service stops, if it has changed since.

    `outbox` signs it with the key `key_id`. Of several replicas, one publishes each head: the audit trail's head is
    locked meanwhile.
    """

    name = "audit heads"
    waits, failed = "the audit trail's head waits", "the audit trail's head was not published"

    def __init__(self, database: Database, outbox: Outbox, key_id: str, every: timedelta) -> None:
        super().__init__(every)
        self._database = database
        self._outbox = outbox
        self._key_id = key_id

    async def stop(self) -> None:
        await super().stop()
        try:
            await asyncio.to_thread(self.once)
        except Transient as error:
            log.warning(self.waits, error=str(error))

    def once(self) -> bool:
        """Publish the head; False if it is the one that was published last, there is no row yet, or the trail no longer
        has the one that was published last: such a trail is not signed."""
        with self._database.reading() as session:
            if self._unpublished(session, session.scalars(select(AuditHeadRow)).one()) is None:
                return False
        with self._database.transaction() as session:
            query = select(AuditHeadRow).with_for_update().execution_options(populate_existing=True)
            event = self._unpublished(session, session.scalars(query).one())
            if event is None:
                return False
            self._outbox.emit(session, event)
        log.info("audit trail's head published", rows=event.rows, digest=event.digest)
        return True

    def _unpublished(self, session: Session, head: AuditHeadRow) -> AuditHeadSigned | None:
        row = kept_events.newest(session, AuditHeadSigned)
        last = None if row is None else AuditHeadSigned.model_validate_json(row.value)
        if head.count == 0 or (last is not None and last.digest == head.digest):
            return None
        has_last = last is None or _digest_at(session, last.rows) == last.digest
        AUDIT_CONTRADICTION.set(not has_last)
        if last is not None and not has_last:
            log.error(
                "audit trail not signed: it no longer has the head that was published last",
                rows=last.rows,
                digest=last.digest,
                remedy="gauntlet audit verify --heads names the rows",
            )
            return None
        return AuditHeadSigned(
            model_name=head_key(head.count, head.digest),
            rows=head.count,
            digest=head.digest,
            signed_at=datetime.now(UTC),
            key_id=self._key_id,
            previous=None if last is None else AuditPosition(rows=last.rows, digest=last.digest),
        )


def _digest_at(session: Session, rows: int) -> str | None:
    return session.scalar(select(AuditRow.digest).where(AuditRow.sequence == rows))
