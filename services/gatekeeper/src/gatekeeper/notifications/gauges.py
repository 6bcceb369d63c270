"""The metrics on which alerts are set: what waits for each target, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from chassis.background import Periodic
from chassis.database import Database
from gatekeeper.database import notifications as stored
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.telemetry import (
    NOTIFICATION_ATTEMPTS_FAILED,
    NOTIFICATIONS_FAILED,
    NOTIFICATIONS_OLDEST,
    NOTIFICATIONS_SENT,
    NOTIFICATIONS_WAITING,
)

PAUSE = timedelta(seconds=5)


class NotificationGauges(Periodic):
    """A Part. Read from the database, so that they outlive a restart and are the same on every replica."""

    name = "metrics of notifications"
    waits, failed = "the metrics of notifications wait", "the metrics of notifications are not known"

    def __init__(self, database: Database, file: NotificationsFile) -> None:
        super().__init__(PAUSE)
        self._database = database
        self._file = file
        self._shown: set[str] = set()

    def once(self) -> None:
        targets = set(self._file.value.settings.targets)
        if not targets and not self._shown:
            return
        with self._database.reading() as session:
            unsent = stored.unsent(session)
        now = datetime.now(UTC)
        self._shown |= targets | set(unsent)
        for target in self._shown:
            count, since = unsent.get(target, (0, now))
            NOTIFICATIONS_WAITING.labels(target).set(count)
            NOTIFICATIONS_OLDEST.labels(target).set(max(0.0, (now - since).total_seconds()))
            for counter in (NOTIFICATIONS_SENT, NOTIFICATIONS_FAILED, NOTIFICATION_ATTEMPTS_FAILED):
                counter.labels(target)  # 0 from the start on: a rate has something to begin with
