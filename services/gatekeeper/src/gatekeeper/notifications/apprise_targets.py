"""Mail, Slack, Teams and a hundred other services, by apprise. In a thread: it waits for its targets."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from contracts.notification_settings import Severity
from gatekeeper.notifications.masking import masked
from gatekeeper.notifications.messages import Message, Reply
from gatekeeper.policy.notifications.rendering import Format, body_of

KINDS = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}
LOGGER = "apprise"


def send(url: str, message: Message) -> Reply:
    """Send a message; blocks until the target has replied, or apprise's own time limits are over."""
    import apprise  # 0.1 s and 60 MB of plugins: only where a target needs it

    with _said() as lines:
        try:
            target = apprise.Apprise.instantiate(url, suppress_exceptions=True)
            if target is None:
                why = "; ".join(lines) or "see https://github.com/caronc/apprise/wiki for the URL of each service"
                return Reply(False, masked(f"apprise does not know this URL: {why}", url))
            form = _format(str(target.resolve_format().value))
            taken = target.notify(
                title=message.content.title,
                body=body_of(message.content, form),
                notify_type=KINDS[message.content.severity],
                body_format=form.value,
            )
        except Exception as error:  # of a plugin
            return Reply(False, masked(f"{type(error).__name__}: {error}", url))
    name = str(getattr(target, "service_name", "") or type(target).__name__)
    if taken:
        return Reply(True, masked(f"{name}: taken", url))
    return Reply(False, masked(f"{name}: {'; '.join(lines) or 'not taken'}", url))


def _format(name: str) -> Format:
    """Return the format that a target shows by itself, or that its URL wants (`?format=`)."""
    return Format(name) if name in set(Format) else Format.TEXT


@contextmanager
def _said() -> Iterator[list[str]]:
    """Collect the warnings that apprise logs in this thread; they are not logged elsewhere: they may hold secrets."""
    lines: list[str] = []
    logger = logging.getLogger(LOGGER)
    logger.propagate = False
    logger.setLevel(logging.WARNING)
    handler = _Collecting(lines)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)


class _Collecting(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__()
        self._lines = lines
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._lines.append(record.getMessage())
