"""The file of subscriptions to notifications (GATEKEEPER_NOTIFICATIONS_FILE)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

from chassis.yaml_file import YamlError, YamlFile, located_yaml, nearest
from contracts.notification_settings import NotificationSettings


def parse_notifications(content: bytes, path: Path) -> NotificationSettings:
    """Return targets and subscriptions. Raises YamlError, which names line, key, value and the nearest word."""
    file, settings = located_yaml(content, path, NotificationSettings, "file of notifications", "targets:")
    if problems := [f"{path}:{file.line(where)}: {what}" for where, what in _problems(settings, file)]:
        raise YamlError("\n".join(problems))
    return settings


def load_notifications(path: Path) -> NotificationSettings:
    """Return the file. Raises YamlError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise YamlError(f"{path}: {error.strerror or error}") from error
    return parse_notifications(content, path)


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone. Raises ValueError for a name that the database of time zones does not have."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(f"no time zone {name!r}; expected for example Europe/Berlin or UTC") from error


def _problems(settings: NotificationSettings, file: YamlFile) -> Iterator[tuple[tuple[str | int, ...], str]]:
    names: set[str] = set()
    for number, each in enumerate(settings.subscriptions):
        place: tuple[str | int, ...] = ("subscriptions", number)
        if each.name in names:
            yield (*place, "name"), f"subscriptions.{number}.name: a second subscription is called {each.name!r}"
        names.add(each.name)
        used: list[tuple[tuple[str | int, ...], str]] = [((*place, "target"), each.target)]
        if each.escalate is not None:
            used.append(((*place, "escalate", "target"), each.escalate.target))
        for where, target in used:
            if target not in settings.targets:
                near = nearest(target, list(settings.targets)) or f"; known: {', '.join(settings.targets) or 'none'}"
                yield where, f"{'.'.join(map(str, where))}: no target {target!r}{near}"
        if each.quiet_hours is not None:
            where = (*place, "quiet_hours", "time_zone")
            try:
                zone_of(each.quiet_hours.time_zone)
            except ValueError as error:
                yield where, f"{'.'.join(map(str, where))}: {error}"
