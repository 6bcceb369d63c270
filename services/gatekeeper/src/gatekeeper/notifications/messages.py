"""A message as a target gets it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gatekeeper.policy.notifications.rendering import Content, Format, Item, body_of

TYPE = "gauntlet.Notification.v1"
MOST_EVENTS = 200
"""Events that a webhook's body lists; `count` is of all."""


@dataclass(frozen=True)
class Reply:
    """What a target replied to one attempt, or why there was no reply; no secret is in it."""

    delivered: bool
    text: str
    final: bool = False
    """The target wants no further attempt."""


@dataclass(frozen=True)
class Message:
    """`id` is the same over all attempts."""

    id: str
    time: datetime
    content: Content

    def json_body(self) -> bytes:
        """Return the body of a webhook: what CloudEvents name so is named so."""
        content = self.content
        document: dict[str, Any] = {
            "id": self.id,
            "type": TYPE,
            "time": _time(self.time),
            "severity": content.severity.value,
            "model_name": content.model_name,
            "model_version": content.worst.model_version if content.model_name else None,
            "title": content.title,
            "text": body_of(content, Format.TEXT),
            "link": content.link,
            "count": len(content.items),
            "events": [_event(item) for item in content.items[-MOST_EVENTS:]],
        }
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _event(item: Item) -> dict[str, Any]:
    return {
        "id": item.event_id,
        "source": item.source,
        "type": item.type,
        "time": _time(item.at),
        "severity": item.severity.value,
        "model_name": item.model_name,
        "model_version": item.model_version,
        "title": item.title,
        "reason": item.reason,
        "figures": [{"name": name, "value": value} for name, value in item.figures],
    }


def _time(when: datetime) -> str:
    return when.astimezone(UTC).isoformat()
