"""From events to messages: reads the log of events, and writes who is to be told what, with the cursor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from chassis.background import Periodic
from chassis.database import Database
from chassis.telemetry import get_logger
from contracts.durations import about
from contracts.notification_settings import Severity, Subscription
from gatekeeper.database import event_log, rollouts
from gatekeeper.database import notification_planning as planning
from gatekeeper.database import notifications as stored
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.rollout_tables import GIVEN
from gatekeeper.notifications.configuration import NotificationsFile, Subscriptions
from gatekeeper.policy.notifications import escalation, wording
from gatekeeper.policy.notifications.escalation import Pending, escalated
from gatekeeper.policy.notifications.matching import is_news, recipients
from gatekeeper.policy.notifications.scheduling import Join, New, Waiting, placed
from gatekeeper.policy.notifications.severity import severity_of
from gatekeeper.policy.notifications.wording import Said

EVERY = timedelta(seconds=0.25)
AT_A_TIME = 200
"""Events in one transaction, which blocks the other writers of a SQLite file."""
PRUNED_EVERY = timedelta(hours=1)

log = get_logger(__name__)


@dataclass(frozen=True)
class _Fact:
    """Something to be told: an event of the log, or an approval that expires."""

    source: str
    event_id: str
    type: str
    model_name: str
    model_version: int | None
    at: datetime
    severity: Severity
    said: Said


@dataclass
class _Round:
    """One transaction: what it has read once, and keeps up to date."""

    session: Session
    now: datetime
    in_force: Subscriptions
    waiting: dict[tuple[str, str], list[Waiting]] = field(default_factory=dict)
    dues: dict[tuple[str, str, bool], list[datetime]] = field(default_factory=dict)
    added: int = 0


class Planner(Periodic):
    """A Part. Two gatekeepers on one database take turns: each locks the cursor for a transaction."""

    name = "notifications"
    waits = failed = "no notification was planned"

    def __init__(
        self,
        database: Database,
        file: NotificationsFile,
        on_new: Callable[[], None] = lambda: None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`on_new` is called in the thread of a round that has added messages."""
        super().__init__(EVERY)
        self._database = database
        self._file = file
        self._on_new = on_new
        self._clock = clock
        self._known: frozenset[str] | None = None
        """Names of the subscriptions whose begin is stored; None before the first round."""
        self._pruned_at: datetime | None = None

    def once(self) -> int:
        """Plan until the log is read to its end; return how many notifications were added."""
        in_force = self._file.value
        names = frozenset(each.name for each in in_force.settings.subscriptions)
        if not names:
            self._off()
            return 0
        added = 0
        while self._is_due(in_force, names):
            count, more = self._plan(in_force, names)
            added += count
            if count:
                self._on_new()
            if not more:
                break
        self._prune()
        return added

    def _off(self) -> None:
        if self._known != frozenset():
            with self._database.transaction() as session:
                planning.forget_begin(session)
            self._known = frozenset()

    def _is_due(self, in_force: Subscriptions, names: frozenset[str]) -> bool:
        """Look without a lock: mostly there is nothing to do."""
        if self._known != names:
            return True
        with self._database.reading() as session:
            if event_log.newest_id(session) != planning.position(session):
                return True
            return any(True for _ in self._expiring(session, in_force, self._clock()))

    def _plan(self, in_force: Subscriptions, names: frozenset[str]) -> tuple[int, bool]:
        """Return how many notifications were added, and whether there may be more to read."""
        with self._database.transaction() as session:
            cursor = planning.lock_cursor(session)
            now = self._clock()
            begins = planning.begins(session, names, now)
            if event_log.newest_id(session) < cursor.event_log_id:
                cursor.event_log_id = (
                    0  # the log was emptied; what was told already is known, and what is old is no news
                )
            rows = event_log.after(session, cursor.event_log_id, AT_A_TIME)
            turn = _Round(session, now, in_force)
            for row in rows:
                self._event(turn, row, begins)
            for pending, subscription, target in self._expiring(session, in_force, now):
                self._add(turn, _fact_of(pending, now), subscription, target)
            if rows:
                cursor.event_log_id = rows[-1].id
        self._known = names
        return turn.added, len(rows) == AT_A_TIME

    def _event(self, turn: _Round, row: EventLogRow, begins: Any) -> None:
        try:
            severity = severity_of(row.type, row.data)
            if severity is None:
                return
            found = [
                each
                for each in turn.in_force.settings.subscriptions
                if each.name in begins and is_news(row.at, begins[each.name], turn.now)
            ]
            wanted = recipients(found, row.type, row.model_name, severity)
            if not wanted:
                return
            said = wording.said(row.type, row.data)
        except Exception:  # of one event that is not what this build expects; the others go on
            log.exception("event cannot be told", event_id=row.event_id, type=row.type)
            return
        fact = _Fact(row.source, row.event_id, row.type, row.model_name, row.model_version, row.at, severity, said)
        for subscription in wanted:
            self._add(turn, fact, subscription, subscription.target)

    def _add(self, turn: _Round, fact: _Fact, subscription: Subscription, target: str) -> None:
        session = turn.session
        if planning.is_known(session, fact.source, fact.event_id, target):
            return
        planning.add_notification(
            session,
            self._message(turn, fact, subscription, target),
            target,
            source=fact.source,
            event_id=fact.event_id,
            event_type=fact.type,
            model_name=fact.model_name,
            model_version=fact.model_version,
            severity=fact.severity,
            at=fact.at,
            words=fact.said,
        )
        session.flush()
        turn.added += 1

    def _message(self, turn: _Round, fact: _Fact, subscription: Subscription, target: str) -> str:
        """Return the id of the message that tells the fact: one that waits, or a new one."""
        critical = fact.severity is Severity.CRITICAL
        key = (subscription.name, target)
        if key not in turn.waiting:
            turn.waiting[key] = planning.joinable(turn.session, *key, turn.now)
        if (*key, critical) not in turn.dues:
            turn.dues[*key, critical] = _dues(turn, subscription, target, critical)
        waiting, dues = turn.waiting[key], turn.dues[*key, critical]
        place = self._placed(turn, fact, subscription, waiting, dues)
        while isinstance(place, Join):
            joined = place.message_id
            if planning.join(turn.session, joined, turn.now, fact.model_name):
                return joined
            waiting[:] = [each for each in waiting if each.id != joined]  # another gatekeeper is sending it
            place = self._placed(turn, fact, subscription, waiting, dues)
        message_id = planning.add_message(
            turn.session,
            subscription=subscription.name,
            target=target,
            group=place.group,
            critical=critical,
            title=fact.said.title,
            model_name=fact.model_name,
            now=turn.now,
            due_at=place.due_at,
        )
        dues.append(place.due_at)
        if place.group is not None:
            waiting.append(Waiting(message_id, place.group, place.due_at))
        return message_id

    def _placed(
        self,
        turn: _Round,
        fact: _Fact,
        subscription: Subscription,
        waiting: Sequence[Waiting],
        dues: Sequence[datetime],
    ) -> Join | New:
        zone = turn.in_force.zone(subscription)
        return placed(subscription, fact.model_name, fact.severity, turn.now, zone=zone, waiting=waiting, dues=dues)

    def _expiring(self, session: Session, in_force: Subscriptions, now: datetime) -> Any:
        """The approvals that expire soon, of which whoever is to be told has not been told."""
        escalating = [each for each in in_force.settings.subscriptions if each.escalate is not None]
        if not escalating:
            return
        for pending, subscription, target in escalated(escalating, _pending(session), now):
            if not planning.is_known(session, escalation.SOURCE, pending.event_id, target):
                yield pending, subscription, target

    def _prune(self) -> None:
        now = self._clock()
        if self._pruned_at is not None and now - self._pruned_at < PRUNED_EVERY:
            return
        self._pruned_at = now
        deleted = True
        while deleted:
            with self._database.transaction() as session:
                deleted = stored.prune(session, now) > 0


def _dues(turn: _Round, subscription: Subscription, target: str, critical: bool) -> list[datetime]:
    if subscription.rate is None:
        return []
    since = turn.now - subscription.rate.per
    return planning.dues(turn.session, subscription.name, target, critical, since)


def _pending(session: Session) -> list[Pending]:
    found = []
    for row in rollouts.waiting_for_people(session):
        step = rollouts.step_of(row)
        given = [each for each in rollouts.approvals(session, row.id, row.verdict_digest) if each.decision == GIVEN]
        expires_at = rollouts.expires_at(row)
        assert expires_at is not None, "an approval has a limit"
        found.append(
            Pending(
                rollout_id=row.id,
                verdict_digest=row.verdict_digest,
                model_name=row.model_name,
                model_version=row.model_version,
                people=max(0, step.people - len(given)),
                expires_at=expires_at,
            )
        )
    return found


def _fact_of(pending: Pending, now: datetime) -> _Fact:
    left = about((pending.expires_at - now).total_seconds())
    return _Fact(
        source=escalation.SOURCE,
        event_id=pending.event_id,
        type=escalation.EXPIRING,
        model_name=pending.model_name,
        model_version=pending.model_version,
        at=now,
        severity=Severity.CRITICAL,
        said=wording.expiring(pending.model_name, pending.model_version, left, pending.people),
    )
