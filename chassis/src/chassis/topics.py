"""The topics: their configuration, their creation, and a report of misconfigured ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError, NoError, TopicAlreadyExistsError, TopicAuthorizationFailedError, for_code

from chassis.errors import Transient
from chassis.kafka import LARGEST_MESSAGE, kafka_python_options
from chassis.kafka_access import Need, is_secured, not_allowed, require
from chassis.kafka_problem import described, explained, refusal
from chassis.settings import KafkaSettings
from contracts import (
    EVENTS,
    AuditHeadSigned,
    GatePassed,
    GroundTruthReceived,
    PredictionMade,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
)

DEAD_LETTERS = "dead-letters"
VISIBLE_SECONDS = 10.0
DAY_MS = 24 * 3600 * 1000
COMPACTED = {"cleanup.policy": "compact", "retention.ms": "-1"}
STREAM = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)}
LIFECYCLE = {"cleanup.policy": "delete", "retention.ms": str(90 * DAY_MS)}

LONGEST_KEPT = timedelta(milliseconds=int(LIFECYCLE["retention.ms"]))
"""Of topics that are not compacted."""


@dataclass(frozen=True)
class TopicSpec:
    """The required configuration of a topic; `name` without prefix."""

    name: str
    config: dict[str, str] = field(default_factory=dict)


def topic_specs() -> tuple[TopicSpec, ...]:
    special = {
        Promoted.topic: COMPACTED,
        GatePassed.topic: COMPACTED,
        RolloutChanged.topic: COMPACTED,
        RolloutMeasured.topic: COMPACTED,
        AuditHeadSigned.topic: COMPACTED,
        DEAD_LETTERS: COMPACTED,
        PredictionMade.topic: STREAM,
        GroundTruthReceived.topic: STREAM,
    }
    names = [*dict.fromkeys(event.topic for event in EVENTS), DEAD_LETTERS]
    size = {"max.message.bytes": str(LARGEST_MESSAGE)}
    return tuple(TopicSpec(name, special.get(name, LIFECYCLE) | size) for name in names)


def kept_for(topic: str) -> timedelta | None:
    """Return how long a topic keeps its records, without prefix; None: for ever."""
    [retention] = [int(spec.config["retention.ms"]) for spec in topic_specs() if spec.name == topic]
    return None if retention < 0 else timedelta(milliseconds=retention)


def ensure_topics(settings: KafkaSettings, needs: Sequence[Need] = ()) -> tuple[str, ...]:
    """Create missing topics. Returns one sentence per misconfigured topic; existing topics are not changed.

    With `needs`, where brokers know who connects: only the topics that are used, and Transient is raised when the
    broker does not allow one of the needs. Raises Transient when the broker cannot be reached.
    """
    if refused := refusal(settings):  # which the client would report as a timeout, after ten seconds
        raise Transient(refused)
    try:
        admin = KafkaAdminClient(**kafka_python_options(settings))
    except KafkaError as error:
        raise Transient(explained(settings, error)) from error
    try:
        return _ensure(admin, settings, needs if is_secured(settings) else ())
    except KafkaError as error:
        raise Transient(described(settings, error)) from error
    finally:
        admin.close()


def _ensure(admin: Any, settings: KafkaSettings, needs: Sequence[Need]) -> tuple[str, ...]:
    used = {need.name for need in needs if need.resource == "topic"}
    specs = [spec for spec in topic_specs() if not used or settings.topic_prefix + spec.name in used]
    existing = set(admin.list_topics())
    missing = [spec for spec in specs if settings.topic_prefix + spec.name not in existing]
    if missing and (denied := _create(admin, settings, missing)):
        # One that exists and must not be seen is missing, too.
        needed = [Need("topic", name, "CREATE") for name in denied] + [need for need in needs if need.name in denied]
        raise Transient(not_allowed(settings, needed))
    if needs:  # before the wait: what must not be seen does not become visible
        require(admin, settings, needs)
    if missing:
        _await_visible(admin, {settings.topic_prefix + spec.name for spec in missing})
        require(admin, settings, needs)  # of those that were not known at first, too
    present = [spec for spec in specs if spec not in missing]
    return misconfigured(present, _configs(admin, settings, present), settings)


def _create(admin: Any, settings: KafkaSettings, specs: Sequence[TopicSpec]) -> list[str]:
    """Create all of them by one request, which takes the broker a fraction of the time of one each.

    Return the names of those that must not be created.
    """
    denied: list[str] = []
    new = [
        NewTopic(
            name=settings.topic_prefix + spec.name,
            num_partitions=settings.kafka_partitions,
            replication_factor=settings.kafka_replication_factor,
            topic_configs=spec.config,
        )
        for spec in specs
    ]
    for topic in admin.create_topics(new, raise_errors=False)["topics"]:
        error = for_code(topic["error_code"])
        if error is TopicAuthorizationFailedError:
            denied.append(topic["name"])
        elif error not in (NoError, TopicAlreadyExistsError):  # another service may have created it first
            raise error(f"{topic['name']}: {topic['error_message']}")
    return denied


def _await_visible(admin: Any, names: set[str]) -> None:
    """Wait for created topics to reach the broker's metadata: an earlier subscriber may wait minutes for them."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while missing := names - set(admin.list_topics()):
        if time.monotonic() > deadline:
            raise Transient(f"topics {sorted(missing)} were created, and are not visible yet")
        time.sleep(0.05)


def misconfigured(
    specs: Sequence[TopicSpec], actual: dict[str, dict[str, str]], settings: KafkaSettings
) -> tuple[str, ...]:
    """Describe how each topic's configuration differs from the required one, with the command that fixes it."""
    wrong: list[str] = []
    for spec in specs:
        name = settings.topic_prefix + spec.name
        for key, needed in spec.config.items():
            found = actual.get(name, {}).get(key)
            if key != "retention.ms" and found is not None and not _is_enough(key, found, needed):
                wrong.append(
                    f"topic {name!r} has {key}={found}, needed {needed}: "
                    f"kafka-configs.sh --alter --entity-type topics --entity-name {name} --add-config {key}={needed}"
                )
    return tuple(wrong)


def _is_enough(key: str, found: str, needed: str) -> bool:
    return int(found) >= int(needed) if key == "max.message.bytes" else found == needed


def _configs(admin: Any, settings: KafkaSettings, specs: Sequence[TopicSpec]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, settings.topic_prefix + spec.name) for spec in specs]
    if not resources:
        return {}
    found = admin.describe_configs(resources, config_filter="all")["topic"]
    return {topic: {key: str(entry["value"]) for key, entry in config.items()} for topic, config in found.items()}
