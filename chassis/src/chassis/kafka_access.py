"""What a program needs to be allowed on Kafka, as its parts declare it, and whether the broker allows it.

Clients meet a missing permission each in its own way: one raises, one tries again in silence, one reports a timeout. So
a service does not wait for them: it asks the broker which operations it may do, and compares (KIP-430).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal, get_args

from kafka import KafkaAdminClient
from kafka.errors import (
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    NoError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from chassis.errors import Transient
from chassis.kafka import kafka_python_options
from chassis.kafka_problem import explained, principal
from chassis.settings import KafkaSettings

Operation = Literal["READ", "WRITE", "CREATE", "DESCRIBE_CONFIGS"]
"""Each of READ and WRITE includes DESCRIBE. WRITE on any topic allows an idempotent producer (KIP-679)."""
SHOWN = 5
AGAIN_SECONDS = 15.0
ASKED_MS = 2_000


@dataclass(frozen=True, order=True)
class Need:
    """An operation on the topic or the group of that name, prefix included."""

    resource: Literal["topic", "group"]
    name: str
    operation: Operation

    def __str__(self) -> str:
        return f"{self.operation} on {self.resource} {self.name!r}"


class KafkaAccess:
    """Whether a running program is still allowed what it needs. The broker is asked at most every AGAIN_SECONDS."""

    def __init__(self, settings: KafkaSettings, needs: Sequence[Need]) -> None:
        self._settings = settings
        self._needs = needs
        self._asked = float("-inf")
        self._problem: str | None = None
        self._asking = threading.Lock()

    def check(self) -> None:
        """Raise Transient with the sentence when something is not allowed. Blocks."""
        with self._asking:
            if is_secured(self._settings) and time.monotonic() > self._asked + AGAIN_SECONDS:
                self._problem = self._found()
                self._asked = time.monotonic()
            if self._problem:
                raise Transient(self._problem)

    def _found(self) -> str | None:
        try:
            with closing(KafkaAdminClient(**kafka_python_options(self._settings, ASKED_MS))) as admin:
                lacking = missing(admin, self._needs)
        except KafkaError as error:
            return explained(self._settings, error)
        return not_allowed(self._settings, lacking) if lacking else None


def needs_of(parts: Iterable[Any], prefix: str) -> tuple[Need, ...]:
    """Return what the parts of a service need: their `needs`, and to write what they emit.

    Of each topic that it uses, a service verifies the configuration.
    """
    found: set[Need] = set()
    for part in parts:
        found.update(getattr(part, "needs", ()))
        found.update(Need("topic", prefix + event.topic, "WRITE") for event in getattr(part, "emits", ()))
    topics = {need.name for need in found if need.resource == "topic"}
    return tuple(sorted(found | {Need("topic", name, "DESCRIBE_CONFIGS") for name in topics}))


def is_secured(settings: KafkaSettings) -> bool:
    """Return whether the broker knows who connects."""
    return settings.kafka_security_protocol != "PLAINTEXT"


def require(admin: Any, settings: KafkaSettings, needs: Sequence[Need]) -> None:
    """Raise Transient when the broker does not allow one of these; the topics exist."""
    if needs and (lacking := missing(admin, needs)):
        raise Transient(not_allowed(settings, lacking))


def missing(admin: Any, needs: Sequence[Need]) -> list[Need]:
    """Return the needs that the broker does not allow. Raises KafkaError when it does not respond."""
    allowed = _on_topics(admin, sorted({need.name for need in needs if need.resource == "topic"}))
    for group in sorted({need.name for need in needs if need.resource == "group"}):
        allowed |= {("group", group, operation) for operation in _on_group(admin, group)}
    return [need for need in needs if (need.resource, need.name, need.operation) not in allowed]


def not_allowed(settings: KafkaSettings, lacking: Sequence[Need]) -> str:
    """Return the sentence about what is missing, with the remedy."""
    shown = ", ".join(map(str, lacking[:SHOWN]))
    more = f", and {len(lacking) - SHOWN} more" if len(lacking) > SHOWN else ""
    return (
        f"Kafka at {settings.kafka_bootstrap_servers} does not allow {principal(settings)}: {shown}{more}."
        " `gauntlet acls` prints what each service needs"
    )


def _on_topics(admin: Any, names: Sequence[str]) -> set[tuple[str, str, str]]:
    allowed: set[tuple[str, str, str]] = set()
    for topic in admin.describe_topics(list(names)) if names else ():
        error = for_code(topic["error_code"])
        if error is TopicAuthorizationFailedError:  # not even to know that it exists; of this one, nothing is known
            allowed.add(("topic", topic["name"], "DESCRIBE_CONFIGS"))
            continue
        if error is UnknownTopicOrPartitionError:  # that it does not exist is for others to say
            allowed |= {("topic", topic["name"], operation) for operation in get_args(Operation)}
            continue
        if error is not NoError:
            raise error(topic["name"])
        allowed |= {("topic", topic["name"], operation) for operation in topic["authorized_operations"]}
    return allowed


def _on_group(admin: Any, group: str) -> Sequence[str]:
    """Return what is allowed on a group, which need not exist."""
    try:
        found = admin.describe_groups([group])[group]
    except GroupAuthorizationFailedError:
        return ()
    except CoordinatorNotAvailableError:  # of a new cluster; who must not use the group is refused before that
        return ("READ",)
    return () if "GroupAuthorizationFailed" in (found["error"] or "") else ("READ",)
