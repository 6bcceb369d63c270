"""A file of subscriptions in words."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.durations import written
from contracts.notification_settings import (
    CriticalAtNight,
    NotificationSettings,
    Secret,
    Severity,
    Subscription,
    Target,
)


def in_words(settings: NotificationSettings) -> list[tuple[str, str]]:
    """Return what each target and each subscription does: its name, and sentences."""
    words = [(f"target {name}", _target(target)) for name, target in settings.targets.items()]
    words += [(f"subscription {each.name}", " ".join(_subscription(each))) for each in settings.subscriptions]
    used = {each.target for each in settings.subscriptions}
    used |= {each.escalate.target for each in settings.subscriptions if each.escalate is not None}
    words += [(f"target {name}", "No subscription uses it.") for name in settings.targets if name not in used]
    return words or [("", "Nobody is told anything: there are no subscriptions.")]


def _target(target: Target) -> str:
    if target.apprise is not None:
        return f"Messages go to the apprise URL {_place(target.apprise)}."
    assert target.secret is not None
    return f"Messages are posted to {target.webhook}, signed with the secret {_place(target.secret)}."


def _place(secret: Secret) -> str:
    if secret.env is not None:
        return f"in the gatekeeper's environment variable {secret.env}"
    return f"in the file {secret.file}"


def _subscription(each: Subscription) -> Iterator[str]:
    events = "all events" if each.events is None else ", ".join(each.events)
    models = "all models" if each.models == ("*",) else f"models {', '.join(each.models)}"
    least = "" if each.severity is Severity.INFO else f" that are {each.severity} at least"
    yield f"{each.target} is told of {events} of {models}{least}."
    if each.group is not None:
        yield f"Events of a model within {written(each.group)} come as one message; critical ones come at once."
    if each.quiet_hours is not None:
        quiet = each.quiet_hours
        through = ", except critical ones" if quiet.critical is CriticalAtNight.SENT else ", critical ones too"
        yield (
            f"From {quiet.from_:%H:%M} to {quiet.to:%H:%M} ({quiet.time_zone}) messages are held{through};"
            " what was held comes at the end as one message."
        )
    if each.rate is not None:
        yield (
            f"At most {each.rate.messages} messages in {written(each.rate.per)}, critical ones counted by themselves;"
            " more are held and come together."
        )
    if each.escalate is not None:
        yield f"{each.escalate.target} is told {written(each.escalate.before)} before an approval expires."
