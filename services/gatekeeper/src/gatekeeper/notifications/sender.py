"""From messages to targets: claims what is due, sends it, and records what became of it.

A claim is taken before a message is sent, and what became of it is recorded afterwards. If the gatekeeper is killed in
between, the message is sent again when the claim has run out: at least once, with the same id.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

from chassis.background import Background
from chassis.database import Database
from chassis.errors import Transient
from chassis.telemetry import get_logger
from gatekeeper.database import notifications as stored
from gatekeeper.database.notification_tables import FAILED, SENT, NotificationMessageRow
from gatekeeper.notifications.channels import Channels
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.messages import Message, Reply
from gatekeeper.policy.notifications.rendering import content_of
from gatekeeper.policy.notifications.retrying import is_given_up, pause_after
from gatekeeper.policy.notifications.scheduling import sendable
from gatekeeper.telemetry import NOTIFICATION_ATTEMPTS_FAILED, NOTIFICATIONS_FAILED, NOTIFICATIONS_SENT

EVERY = 0.25
MARGIN = timedelta(seconds=20)
"""By which a claim is longer than an attempt: for the database, and for clocks that differ."""

log = get_logger(__name__)


class Sender(Background):
    """A Part. One message at a time for each target, each target by itself: none waits for another."""

    name = "notification sender"

    def __init__(
        self,
        database: Database,
        file: NotificationsFile,
        channels: Channels,
        *,
        owner: str,
        public_url: str,
        timeout: float,
        margin: timedelta = MARGIN,
    ) -> None:
        """`timeout`: seconds of one attempt."""
        self._database = database
        self._file = file
        self._channels = channels
        self._owner = owner
        self._public_url = public_url
        self._claim = timedelta(seconds=timeout) + margin
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def wake(self) -> None:
        """There may be something to send. Call it in any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        await super().start()

    async def stop(self) -> None:
        """What is being sent is cut off, and sent again when its claim has run out."""
        await super().stop()
        sending = list(self._busy.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
        await self._channels.stop()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._begin_due()
            except Transient as error:
                log.warning("no notification was sent", error=str(error))
            except Exception:
                log.exception("no notification was sent")
            try:
                await asyncio.wait_for(self._wake.wait(), EVERY)
            except TimeoutError:
                continue

    async def _begin_due(self) -> None:
        busy = set(self._busy)
        for message_id in await asyncio.to_thread(self._due, busy):
            claimed = await asyncio.to_thread(self._claimed, message_id)
            if claimed is None:
                continue
            target = claimed[0].target
            task = asyncio.create_task(self._send(*claimed), name=f"notify {target}")
            self._busy[target] = task
            task.add_done_callback(partial(self._over, target))

    def _over(self, target: str, _task: asyncio.Task[None]) -> None:
        self._busy.pop(target, None)
        self._wake.set()

    def _due(self, busy: set[str]) -> list[str]:
        with self._database.reading() as session:
            return stored.next_due(session, datetime.now(UTC), busy)

    def _claimed(self, message_id: str) -> tuple[NotificationMessageRow, Message] | None:
        now = datetime.now(UTC)
        with self._database.transaction() as session:
            row = stored.claim(session, message_id, self._owner, now, now + self._claim)
            if row is None:
                return None
            content = content_of(stored.items_of(session, message_id), self._public_url)
            return row, Message(row.id, row.created_at, content)

    async def _send(self, row: NotificationMessageRow, message: Message) -> None:
        began = datetime.now(UTC)
        try:
            reply = await self._channels.send(row.target, message)
        except Exception as error:  # a defect of ours: without a record, it would be tried without a pause
            log.exception("notification not sent", message=row.id, target=row.target)
            reply = Reply(False, f"unexpected {type(error).__name__}")
        await asyncio.to_thread(self._record, row, began, reply)

    def _record(self, row: NotificationMessageRow, began: datetime, reply: Reply) -> None:
        now = datetime.now(UTC)
        again = None if reply.delivered else self._again_at(row, now, reply)
        try:
            with self._database.transaction() as session:
                state = stored.record_attempt(
                    session,
                    row.id,
                    self._owner,
                    row.attempts,
                    at=began,
                    seconds=(now - began).total_seconds(),
                    delivered=reply.delivered,
                    reply=reply.text,
                    again_at=again,
                )
        except Transient as error:  # it is sent again when the claim has run out
            log.warning("what became of a notification is not recorded", message=row.id, error=str(error))
            return
        if reply.delivered:
            log.info("notification sent", message=row.id, target=row.target, events=row.events)
        else:
            NOTIFICATION_ATTEMPTS_FAILED.labels(row.target).inc()
            log.warning("notification not taken", message=row.id, target=row.target, reply=reply.text, again_at=again)
        if state == SENT:
            NOTIFICATIONS_SENT.labels(row.target).inc()
        elif state == FAILED:
            NOTIFICATIONS_FAILED.labels(row.target).inc()

    def _again_at(self, row: NotificationMessageRow, now: datetime, reply: Reply) -> datetime | None:
        """Return when the message is sent again, outside of quiet hours; None when it is given up."""
        if reply.final or is_given_up(row.attempts, row.attempts_before):
            return None
        due = now + pause_after(row.id, row.attempts - row.attempts_before)
        in_force = self._file.value
        subscription = in_force.named(row.subscription)
        if subscription is None:
            return due
        bare = subscription.model_copy(update={"rate": None})
        return sendable(bare, due, critical=row.critical, zone=in_force.zone(subscription))
