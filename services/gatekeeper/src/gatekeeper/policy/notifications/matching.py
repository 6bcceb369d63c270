"""Which subscriptions an event is for: one a target, so that nobody is told twice."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from contracts.notification_settings import Severity, Subscription

NEWS = timedelta(days=7)
"""An event that is older is no news: it is not sent when a log of events is filled again."""


def recipients(
    subscriptions: Iterable[Subscription], event_type: str, model_name: str, severity: Severity
) -> tuple[Subscription, ...]:
    """Return the subscriptions that the event is for; of those with one target, the first of the file."""
    found: dict[str, Subscription] = {}
    for each in subscriptions:
        if each.target not in found and _wants(each, event_type, model_name, severity):
            found[each.target] = each
    return tuple(found.values())


def is_news(happened_at: datetime, began_at: datetime, now: datetime) -> bool:
    """Whether an event belongs to a subscription that began at `began_at`: the past before it is not sent."""
    return happened_at >= max(began_at, now - NEWS)


def concerns(subscription: Subscription, model_name: str) -> bool:
    return any(fnmatchcase(model_name, pattern) for pattern in subscription.models)


def _wants(subscription: Subscription, event_type: str, model_name: str, severity: Severity) -> bool:
    named = subscription.events is None or event_type in subscription.events
    return named and severity.rank >= subscription.severity.rank and concerns(subscription, model_name)
