"""The HTTP API of notifications: what was sent to whom, a test message, and sending again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from contracts.notification_settings import Severity
from gatekeeper.api.models import Limit
from gatekeeper.database import notifications as stored
from gatekeeper.database.notification_tables import SENT, NotificationMessageRow
from gatekeeper.notifications.channels import Channels
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.messages import Message
from gatekeeper.policy.notifications.rendering import Item, content_of

TEST = "NotificationTest"


class AttemptView(BaseModel):
    attempt: int = Field(description="Counts the attempts, from 1")
    at: datetime
    seconds: float = Field(description="How long it took")
    delivered: bool
    reply: str = Field(description="What the target replied, or why there was no reply; secrets are masked")


class NotificationView(BaseModel):
    id: str = Field(description="Of the message; receivers see it, and it is the same for every attempt")
    subscription: str
    target: str
    title: str = Field(description="Of its first event")
    model_name: str | None = Field(description="null: it is about several models")
    events: int = Field(description="Number of events that it tells of")
    critical: bool
    state: Literal["waiting", "sent", "failed"] = Field(description="failed: given up, until somebody sends it again")
    created_at: datetime
    due_at: datetime = Field(description="When it is, or was, sent or sent again")
    ended_at: datetime | None = Field(description="When it was sent, or given up")
    attempts: int
    last_reply: str | None


class NotificationDetailView(NotificationView):
    log: list[AttemptView] = Field(description="Every attempt")


class TargetView(BaseModel):
    name: str
    kind: Literal["apprise", "webhook"]
    waiting: int = Field(description="Messages that wait")


class NotificationsView(BaseModel):
    file: str = Field(description="Where the subscriptions are")
    problem: str | None = Field(description="Why the file is not in force as it is now")
    targets: list[TargetView]
    notifications: list[NotificationView] = Field(description="The newest first")


class TestResult(BaseModel):
    target: str
    delivered: bool
    reply: str = Field(description="What the target replied, or why there was no reply; secrets are masked")
    seconds: float


def notifications_router(database: Database, file: NotificationsFile, channels: Channels, public_url: str) -> APIRouter:
    """Messages may be about several models, so that a role for all models is needed."""
    router = guarded_router(tags=["notifications"])

    @router.get("/notifications", openapi_extra=allowed(Action.READ, Scope.ALL))
    def list_notifications(
        state: Annotated[Literal["waiting", "sent", "failed"] | None, Query(description="Only in this state")] = None,
        target: Annotated[str | None, Query(max_length=100, description="Only to this target")] = None,
        limit: Limit = 100,
    ) -> NotificationsView:
        """Messages to people: what was sent, what waits, and what was given up. No address and no secret is shown."""
        with database.reading() as session:
            rows = stored.newest(session, state, target, limit)
            return NotificationsView(
                file=str(file.path),
                problem=file.details()["problem"],
                targets=_targets(session, file),
                notifications=[notification_view(row) for row in rows],
            )

    @router.get(
        "/notifications/{notification_id}", openapi_extra=allowed(Action.READ, Scope.ALL), responses=problems(404)
    )
    def show_notification(notification_id: str) -> NotificationDetailView:
        """One message, with every attempt."""
        with database.reading() as session:
            row = stored.by_id(session, notification_id)
            if row is None:
                raise _unknown(notification_id)
            return _detail(session, row)

    @router.post(
        "/notifications/{notification_id}/retry",
        openapi_extra=allowed(Action.OPERATE, Scope.ALL),
        responses=problems(404, 409, 503),
    )
    def retry(notification_id: str) -> NotificationDetailView:
        """Send a message that was given up, or that waits, again now, with as many attempts as at first."""
        with database.transaction() as session:
            row = stored.by_id(session, notification_id)
            if row is None:
                raise _unknown(notification_id)
            if row.state == SENT:
                raise Problem(409, "already sent", f"{notification_id} was taken by {row.target} at {row.ended_at}")
            again = stored.send_again(session, notification_id, datetime.now(UTC))
            if again is None:
                raise Problem(409, "already sent", f"{notification_id} was sent just now")
            return _detail(session, again)

    @router.post(
        "/notifications/targets/{target}/test",
        openapi_extra=allowed(Action.OPERATE, Scope.ALL),
        responses=problems(404),
    )
    async def test(target: str, caller: CallerOf) -> TestResult:
        """Send a real message to a target, once, and say what it replied."""
        known = file.value.settings.targets
        if target not in known:
            names = ", ".join(known) or "none"
            raise Problem(404, "no such target", f"{target!r} is no target of {file.path}; known: {names}")
        began = time.perf_counter()
        reply = await channels.send(target, _test_message(target, _who(caller), public_url))
        seconds = time.perf_counter() - began
        return TestResult(target=target, delivered=reply.delivered, reply=reply.text, seconds=seconds)

    return router


def notification_view(row: NotificationMessageRow) -> NotificationView:
    return NotificationView(**_fields(row))


def _fields(row: NotificationMessageRow) -> dict[str, object]:
    return {name: getattr(row, name) for name in NotificationView.model_fields}


def _detail(session: Session, row: NotificationMessageRow) -> NotificationDetailView:
    attempts = [
        AttemptView(**{name: getattr(each, name) for name in AttemptView.model_fields})
        for each in stored.attempts_of(session, row.id)
    ]
    return NotificationDetailView.model_validate(_fields(row) | {"log": attempts})


def _targets(session: Session, file: NotificationsFile) -> Sequence[TargetView]:
    unsent = stored.unsent(session)
    return [
        TargetView(
            name=name,
            kind="apprise" if target.apprise is not None else "webhook",
            waiting=unsent.get(name, (0,))[0],
        )
        for name, target in file.value.settings.targets.items()
    ]


def _who(caller: Caller) -> str:
    return caller.identity.subject if caller.authenticated else "somebody"


def _unknown(notification_id: str) -> Problem:
    return Problem(404, "no such notification", f"{notification_id!r} is no id; GET /notifications lists them")


def _test_message(target: str, actor: str, public_url: str) -> Message:
    now, message_id = datetime.now(UTC), f"msg_{uuid4().hex}"
    item = Item(
        source="gatekeeper/notifications",
        event_id=message_id,
        type=TEST,
        model_name="gauntlet",
        model_version=None,
        severity=Severity.INFO,
        at=now,
        title=f"test of the target {target}",
        reason=f"{actor} tests whether messages arrive. Nothing has happened.",
        figures=(),
        badness=0.0,
        path="/",
    )
    return Message(message_id, now, content_of([item], public_url))
