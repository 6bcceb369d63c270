"""What of messages needs somebody: those that a service could not handle, and those that did not reach people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from contracts.event_summaries import one_line
from gatekeeper.policy.attention import Item, Kind, Severity

MOST = 500
"""Letters and messages that are read, the newest first: of as many, there may be more."""
LONGEST_REASON = 300

_Each = TypeVar("_Each")


@dataclass(frozen=True)
class Letter:
    """A message that `service` gave up on. `model_name`: None where its key is no model's name."""

    model_name: str | None
    service: str
    topic: str
    at: datetime
    error: str


@dataclass(frozen=True)
class GivenUp:
    """A notification that did not reach its target. `reply`: the last one of the target."""

    target: str
    title: str
    critical: bool
    at: datetime
    reply: str | None


def letters(found: Sequence[Letter]) -> list[Item]:
    """Return an item for each model, and one for letters of none: each letter waits until it is replayed or discarded.

    `found`: newest first.
    """
    items = []
    for name, some in _by((each.model_name or "", each) for each in found).items():
        last = some[0]
        count = _count(len(some), "message", cut=len(found) >= MOST)
        error = one_line(last.error, LONGEST_REASON)
        reason = f"{count} could not be handled, the last by {last.service}, from {last.topic}: {error}"
        items.append(Item(Kind.DEAD_LETTERS, Severity.DECIDE, name, None, last.at, reason))
    return items


def notifications(found: Sequence[GivenUp]) -> list[Item]:
    """Return an item for each target that messages did not reach. `found`: newest first."""
    items = []
    for target, some in _by((each.target, each) for each in found).items():
        last = some[0]
        severity = Severity.DECIDE if any(each.critical for each in some) else Severity.LOOK
        count = _count(len(some), "message", cut=len(found) >= MOST)
        reply = one_line(last.reply or "no reply", LONGEST_REASON)
        reason = f"{count} did not reach {target}, the last “{last.title}”: {reply}"
        items.append(Item(Kind.NOTIFICATIONS, severity, "", None, last.at, reason, target))
    return items


def _by(pairs: Iterable[tuple[str, _Each]]) -> Mapping[str, list[_Each]]:
    found: dict[str, list[_Each]] = defaultdict(list)
    for key, each in pairs:
        found[key].append(each)
    return found


def _count(number: int, what: str, *, cut: bool) -> str:
    return f"{'at least ' if cut else ''}{number} {what}{'' if number == 1 else 's'}"
