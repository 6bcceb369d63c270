"""The file of notifications in force, with what it refers to: time zones and secrets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from chassis.errors import Permanent
from chassis.notifications_file import parse_notifications, zone_of
from chassis.watched_file import WatchedFile
from contracts.notification_settings import NotificationSettings, Secret, Subscription, Target

LARGEST_SECRET = 16 * 1024


@dataclass(frozen=True)
class Subscriptions:
    """What the file holds. `zones`: of the quiet hours, by name."""

    settings: NotificationSettings = field(default_factory=NotificationSettings)
    zones: dict[str, ZoneInfo] = field(default_factory=dict)

    def zone(self, subscription: Subscription) -> ZoneInfo | None:
        quiet = subscription.quiet_hours
        return None if quiet is None else self.zones[quiet.time_zone]

    def named(self, name: str) -> Subscription | None:
        return next((each for each in self.settings.subscriptions if each.name == name), None)


class NotificationsFile(WatchedFile[Subscriptions]):
    """A Part. Without a file, nobody is told anything; a file that cannot be used at the start hinders no decision."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _parse, "notifications", absent=Subscriptions())

    def target(self, name: str) -> Target:
        """Raises Permanent for a name that is no target of the file."""
        targets = self.value.settings.targets
        if name not in targets:
            raise Permanent(f"no target {name!r} in {self.path}; known: {', '.join(targets) or 'none'}")
        return targets[name]

    def secret(self, where: Secret) -> str:
        """Return a secret, read anew, so that a changed one is used. Raises Permanent; the error does not show it."""
        if where.env is not None:
            found = os.environ.get(where.env, "").strip()
            if not found:
                raise Permanent(f"the environment variable {where.env} of the gatekeeper is not set")
            return found
        file = self.path.parent / str(where.file)
        try:
            with file.open("rb") as opened:
                found = opened.read(LARGEST_SECRET).decode().strip()
        except (OSError, ValueError) as error:
            what = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Permanent(f"{file}: {what}") from None
        if not found:
            raise Permanent(f"{file} is empty")
        return found


def _parse(content: bytes, path: Path) -> Subscriptions:
    settings = parse_notifications(content, path)
    zones = {each.quiet_hours.time_zone for each in settings.subscriptions if each.quiet_hours is not None}
    return Subscriptions(settings, {name: zone_of(name) for name in zones})
