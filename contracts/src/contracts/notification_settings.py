"""Who is told what: the file of subscriptions. Like a policy, an unknown key is an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from contracts.durations import Duration
from contracts.section import Section

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]
OF_DAY = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


class Severity(StrEnum):
    """How much a message matters, the least first."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(Severity).index(self)


class Notified(StrEnum):
    """The events that a subscription may name; each is a class of `contracts`."""

    TRAINING_REQUESTED = "TrainingRequested"
    TRAINING_FAILED = "TrainingFailed"
    MODEL_REGISTERED = "ModelRegistered"
    GATE_PASSED = "GatePassed"
    GATE_FAILED = "GateFailed"
    PROMOTED = "Promoted"
    MODEL_LOADED = "ModelLoaded"
    MODEL_LOAD_FAILED = "ModelLoadFailed"
    DRIFT_DETECTED = "DriftDetected"
    ROLLOUT_CHANGED = "RolloutChanged"
    APPROVAL_REQUESTED = "ApprovalRequested"
    APPROVAL_GIVEN = "ApprovalGiven"
    APPROVAL_REFUSED = "ApprovalRefused"
    BENCHMARK_DUE = "BenchmarkDue"
    BENCHMARK_COMPLETED = "BenchmarkCompleted"


class CriticalAtNight(StrEnum):
    """What quiet hours do with a critical message."""

    SENT = "sent"
    HELD = "held"


def _time_of_day(value: Any) -> Any:
    if isinstance(value, time):
        return value
    if isinstance(value, str) and (found := OF_DAY.fullmatch(value.strip())):
        return time(int(found[1]), int(found[2]))
    # YAML 1.1 reads 22:00 without quotes as the number 1320
    raise ValueError('not a time of day in quotes; expected for example "22:00"')


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class Secret(Section):
    """Where a secret is: in an environment variable of the gatekeeper, or in a file. Never in the file itself."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,199}$")] | None = Field(
        default=None, description="Name of an environment variable of the gatekeeper"
    )
    file: Annotated[str, StringConstraints(min_length=1)] | None = Field(
        default=None, description="A file; a relative path is from the folder of this file"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret is in one place: either env or file")
        return self


class Target(Section):
    """Where messages go: a service that apprise knows, or a webhook."""

    apprise: Secret | None = Field(
        default=None, description="Where the URL of apprise is, such as mailto://… or slack://…"
    )
    webhook: str | None = Field(default=None, max_length=2000, description="URL that is sent a signed POST")
    secret: Secret | None = Field(
        default=None,
        description="webhook: where the key of its signature is, whsec_ and base64; a line each while two hold",
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.apprise is None) == (self.webhook is None):
            raise ValueError("a target is either apprise or webhook")
        if (self.webhook is None) != (self.secret is None):
            raise ValueError("a webhook needs a secret, and nothing else has one")
        if self.webhook is not None:
            _require_url(self.webhook)
        return self


def _require_url(url: str) -> None:
    authority = re.match(r"https?://([^/?#\\\s]+)", url)
    if authority is None or not url.isprintable() or " " in url:
        raise ValueError("a webhook is a URL that begins with https:// (or http://) and a host")
    if "@" in authority[1] or "#" in url:
        raise ValueError("the URL of a webhook has no user, password or fragment; its messages are signed")


class QuietHours(Section):
    """From when to when messages wait; what was held is sent at the end, as one message."""

    from_: TimeOfDay = Field(alias="from", description='Local time, such as "22:00"')
    to: TimeOfDay = Field(description='Local time, such as "07:00"; before `from`: on the next day')
    time_zone: str = Field(min_length=1, max_length=100, description="IANA name, such as Europe/Berlin or UTC")
    critical: CriticalAtNight = Field(default=CriticalAtNight.SENT, description="What happens with critical messages")

    @model_validator(mode="after")
    def _some(self) -> Self:
        if self.from_ == self.to:
            raise ValueError("from and to are the same time: nothing would ever be sent, or nothing held")
        return self


class Escalation(Section):
    """Who is told when an approval is about to expire."""

    before: Annotated[Duration, Field(gt=timedelta(0))] = Field(description="How long before, such as 2h")
    target: Name = Field(description="Which target is told; it may be another than the subscription's")


class Rate(Section):
    """At most so many messages; more are held and sent together. Critical messages are counted by themselves."""

    messages: int = Field(ge=1, le=10_000, description="Number of messages")
    per: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=7))] = Field(
        description="In which time, such as 1h"
    )


class Subscription(Section):
    """Which events reach which target, and when."""

    name: Name = Field(description="What it is called in listings")
    target: Name = Field(description="One of the targets")
    events: tuple[Notified, ...] | None = Field(default=None, min_length=1, description="Types of events; default: all")
    models: tuple[Pattern, ...] = Field(default=("*",), min_length=1, description="Names or glob patterns of models")
    severity: Severity = Field(default=Severity.WARNING, description="The least severity that is sent")
    quiet_hours: QuietHours | None = Field(default=None, description="When messages wait")
    group: Annotated[Duration, Field(gt=timedelta(0), le=timedelta(days=1))] | None = Field(
        default=None,
        description="One message for all events of a model within this time, except critical ones; default: one each",
    )
    escalate: Escalation | None = Field(default=None, description="Tell somebody when an approval is about to expire")
    rate: Rate | None = Field(default=None, description="A bound on the number of messages")


class NotificationSettings(Section):
    """The whole file."""

    targets: Mapping[Name, Target] = Field(default={}, max_length=100, description="Where messages go, by name")
    subscriptions: tuple[Subscription, ...] = Field(default=(), max_length=200, description="Who is told what")
