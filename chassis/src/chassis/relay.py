"""The relay: publishes the outbox in order and marks a row only after the broker acknowledges it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from aiokafka.errors import KafkaError
from prometheus_client import Counter, Gauge
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from chassis import tracing
from chassis.database import Database
from chassis.errors import Transient
from chassis.idempotent_producer import IdempotentProducer
from chassis.kafka import LARGEST_MESSAGE, aiokafka_options
from chassis.kafka_problem import described, explain
from chassis.leases import hold, release
from chassis.outbox import OutboxRow
from chassis.settings import KafkaSettings
from chassis.telemetry import get_logger
from chassis.waiting import set_within

PUBLISHED = Counter("gauntlet_outbox_published_total", "Events published from the outbox", ["topic"])
BATCH = 500
WAITING = Gauge("gauntlet_outbox_waiting", f"Events that the relay found unpublished, up to {BATCH} at a look")
OLDEST = Gauge(
    "gauntlet_outbox_oldest_timestamp_seconds",
    "When the oldest event was written that the relay found unpublished, in seconds since 1970; 0: there was none",
)

POLL_SECONDS = 1.0
LEASE = timedelta(seconds=5)
KEEP_PUBLISHED = timedelta(days=1)
LEASE_NAME = "relay"

log = get_logger(__name__)


class Relay:
    """A Part that publishes until stopped. Of several relays on one database, only the lease holder publishes."""

    name = "relay"

    def __init__(self, settings: KafkaSettings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid4().hex[:8]}"
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._producer: IdempotentProducer | None = None
        self._renew_at = 0.0
        self._last_prune = datetime.min.replace(tzinfo=UTC)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._database.after_commit(lambda: self._wake_from(loop))
        self._producer = await self._connect()
        self._task = asyncio.create_task(self._run(), name="relay")

    async def stop(self) -> None:
        """Publish committed events if the broker responds within seconds, then release the lease."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=5)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._producer is not None:
            await self._producer.stop()
        try:
            await asyncio.to_thread(self._release)
        except Transient as error:
            log.warning("relay lease not released; it runs out by itself", error=str(error))

    def _wake_from(self, loop: asyncio.AbstractEventLoop) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(self._wake.set)

    async def _connect(self) -> IdempotentProducer:
        producer = IdempotentProducer(aiokafka_options(self._settings) | {"max_request_size": LARGEST_MESSAGE})
        try:
            await producer.start()
        except KafkaError as error:
            raise Transient(await explain(self._settings, error)) from error
        return producer

    async def _run(self) -> None:
        failures = 0
        while True:
            self._wake.clear()
            try:
                published = await self._publish_batch()
                failures = 0
            except (Transient, KafkaError) as error:
                failures += 1
                published = 0
                reason = described(self._settings, error) if isinstance(error, KafkaError) else str(error)
                log.warning("outbox waits", error=reason, attempt=failures)
                if isinstance(error, KafkaError) and self._producer is not None:
                    await self._producer.recover(error)
                await asyncio.sleep(min(0.1 * 2**failures, 5.0))
            if published:
                continue
            if self._stopping:
                return
            await set_within(self._wake, POLL_SECONDS)

    async def _publish_batch(self) -> int:
        rows = await asyncio.to_thread(self._claim)
        if not rows:
            return 0
        assert self._producer is not None
        sent = [await self._send(row) for row in rows]
        await asyncio.gather(*sent)
        await asyncio.to_thread(self._mark, [row.id for row in rows])
        for row in rows:
            PUBLISHED.labels(row.topic).inc()
        return len(rows)

    async def _send(self, row: OutboxRow) -> asyncio.Future[Any]:
        assert self._producer is not None
        headers = [(name, value.encode()) for name, value in row.headers]
        topic = self._settings.topic_prefix + row.topic
        span = tracing.sending(topic, {each[0]: each[1] for each in row.headers})
        try:
            sent = await self._producer.send(topic, key=row.key, value=row.value, headers=headers)
        except BaseException as error:
            tracing.sent(span, error)
            raise
        if span is not None:
            sent.add_done_callback(lambda done: tracing.sent(span, None if done.cancelled() else done.exception()))
        return sent

    def _claim(self) -> list[OutboxRow]:
        # Check first: an idle service must not write every second to renew a lease it does not need.
        rows = self._unpublished()
        WAITING.set(len(rows))
        OLDEST.set(rows[0].created_at.timestamp() if rows else 0)
        if rows and time.monotonic() >= self._renew_at:
            # Read again under the lease: rows that another relay has published meanwhile must not be published again.
            rows = self._unpublished() if self._take_lease() else []
        return rows

    def _unpublished(self) -> list[OutboxRow]:
        query = select(OutboxRow).where(OutboxRow.published_at.is_(None)).order_by(OutboxRow.id).limit(BATCH)
        with self._database.reading() as session:
            return list(session.scalars(query))

    def _take_lease(self) -> bool:
        """Take or renew the lease, which is renewed after half its duration so that not every event pays for it."""
        asked = time.monotonic()
        with self._database.transaction() as session:
            if not hold(session, LEASE_NAME, self._holder, LEASE):
                return False
            self._prune(session)
        self._renew_at = asked + LEASE.total_seconds() / 2
        return True

    def _mark(self, ids: list[int]) -> None:
        with self._database.transaction() as session:
            session.execute(update(OutboxRow).where(OutboxRow.id.in_(ids)).values(published_at=datetime.now(UTC)))

    def _prune(self, session: Session) -> None:
        now = datetime.now(UTC)
        if now - self._last_prune > timedelta(hours=1):
            session.execute(delete(OutboxRow).where(OutboxRow.published_at < now - KEEP_PUBLISHED))
            self._last_prune = now

    def _release(self) -> None:
        with self._database.transaction() as session:
            release(session, LEASE_NAME, self._holder)
