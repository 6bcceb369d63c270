"""Approvals that are about to expire, and who is told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from contracts.notification_settings import Subscription
from gatekeeper.policy.notifications.matching import concerns

EXPIRING = "ApprovalExpiring"
"""Name of what is said; no event of the bus: it is the time that makes it."""
SOURCE = "gatekeeper/approvals"


@dataclass(frozen=True)
class Pending:
    """An approval that people were asked for."""

    rollout_id: str
    verdict_digest: str
    model_name: str
    model_version: int
    people: int
    """Who must still approve."""
    expires_at: datetime

    @property
    def event_id(self) -> str:
        """The identity of what is said: once for this evidence, and again when it has changed."""
        return f"{self.rollout_id} {self.verdict_digest} {self.expires_at.isoformat()}"


def escalated(
    subscriptions: Iterable[Subscription], pending: Iterable[Pending], now: datetime
) -> Iterator[tuple[Pending, Subscription, str]]:
    """Return whose approval expires soon, the subscription that says so, and the target that is told, once each."""
    known = tuple(subscriptions)
    for each in pending:
        told: set[str] = set()
        for subscription in known:
            rule = subscription.escalate
            if rule is None or rule.target in told or not concerns(subscription, each.model_name):
                continue
            if each.expires_at - rule.before <= now < each.expires_at:
                told.add(rule.target)
                yield each, subscription, rule.target
