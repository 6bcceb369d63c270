"""When an event is sent, and together with which others: groups, quiet hours and bounds."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from contracts.notification_settings import CriticalAtNight, Rate, Severity, Subscription
from gatekeeper.policy.notifications.quiet_hours import quiet_until

ROUNDS = 100
"""Quiet hours and a bound may push a message into each other's; each round is later than the one before."""


@dataclass(frozen=True)
class Waiting:
    """A message of a subscription that is not due yet, and may take in more events."""

    id: str
    group: str
    due_at: datetime


@dataclass(frozen=True)
class Join:
    """Add the event to this message."""

    message_id: str


@dataclass(frozen=True)
class New:
    """Make a message. `group`: which events may join it until it is due; None: it is of this event alone."""

    due_at: datetime
    group: str | None = None


def placed(
    subscription: Subscription,
    model_name: str,
    severity: Severity,
    now: datetime,
    *,
    zone: tzinfo | None,
    waiting: Sequence[Waiting],
    dues: Collection[datetime],
) -> Join | New:
    """Return with what an event is sent.

    `zone`: of the quiet hours; `waiting`: messages of this subscription and target that wait; `dues`: when its messages
    of this kind (critical or not) were or are due, from a `rate.per` ago on.
    """
    critical = severity is Severity.CRITICAL
    group = None if critical or subscription.group is None else f"model {model_name}"
    if group and (found := _open(waiting, group, now)):
        return Join(found.id)
    due = now if group is None or subscription.group is None else now + subscription.group
    later = sendable(subscription, due, critical=critical, zone=zone, dues=dues)
    if later == due:
        return New(due, group)
    held = "held critical" if critical else "held"
    if found := _open(waiting, held, now):
        return Join(found.id)
    return New(later, held)


def sendable(
    subscription: Subscription,
    due: datetime,
    *,
    critical: bool,
    zone: tzinfo | None,
    dues: Collection[datetime] = (),
) -> datetime:
    """Return the first time from `due` on that is not in quiet hours, and at which the bound leaves room."""
    for _ in range(ROUNDS):
        later = _with_room(subscription.rate, _not_quiet(subscription, due, critical, zone), dues)
        if later == due:
            break
        due = later
    return due


def _open(waiting: Sequence[Waiting], group: str, now: datetime) -> Waiting | None:
    return next((each for each in waiting if each.group == group and each.due_at > now), None)


def _not_quiet(subscription: Subscription, due: datetime, critical: bool, zone: tzinfo | None) -> datetime:
    quiet = subscription.quiet_hours
    if quiet is None or zone is None or (critical and quiet.critical is CriticalAtNight.SENT):
        return due
    return quiet_until(due, quiet, zone) or due


def _with_room(rate: Rate | None, due: datetime, dues: Collection[datetime]) -> datetime:
    """Return the first time from `due` on at which no window of length `per` that holds it is full."""
    if rate is None:
        return due
    for _ in range(len(dues) + 1):
        near = sorted(each for each in dues if due - rate.per < each < due + rate.per)
        full = [
            window
            for index in range(len(near) - rate.messages + 1)
            if max((window := near[index : index + rate.messages])[-1], due) - min(window[0], due) < rate.per
        ]
        if not full:
            return due
        due = full[0][0] + rate.per
    return due
