"""Which of two signed decisions about a model is in force: a pure function of what is signed.

Without keys the later record on the topic is: of one epoch, what compaction keeps. With keys that must not be so: then
whoever can write to the topic could put an earlier decision of the same epoch, whose signature is valid, behind the
present one. The signed time decides instead, and then the id, so that all readers that have seen both agree.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from chassis.artifact_cache import DIGEST
from contracts import Envelope, GatePassed, Promoted, RolloutChanged

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """Of a decision among those of its type and model; the greatest is in force."""

    number: int
    """The epoch of a promotion, the revision of a rollout; 0 for a verdict, which has none."""
    time: int
    """When it was made, as signed; microseconds since 1970."""
    event_id: str


def place_of(envelope: Envelope[Any]) -> Place:
    event = envelope.data
    number = event.epoch if isinstance(event, Promoted) else event.revision if isinstance(event, RolloutChanged) else 0
    return Place(number, microseconds(envelope.time), envelope.id)


def microseconds(when: datetime) -> int:
    """Since 1970."""
    return (when - _EPOCH) // timedelta(microseconds=1)


def unbound(envelope: Envelope[Any]) -> str | None:
    """Return what is wrong with a decision that does not say, by digest, which bytes it is about; None if it does."""
    event = envelope.data
    if isinstance(event, RolloutChanged):
        digest: str | None = event.tried.artifact_digest
    elif isinstance(event, Promoted | GatePassed):
        digest = event.artifact_digest
    else:
        return None
    if digest is not None and DIGEST.fullmatch(digest):
        return None
    return f"its artifact's digest is {str(digest)[:80]!r}: what is at the URI could be exchanged"
