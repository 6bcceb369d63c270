"""Who needs what on Kafka: the services, as they declare it, and the people and jobs that use the command line.

Pure: from the needs of the services, and from the events that the commands publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from chassis.kafka_access import Need
from chassis.topics import DEAD_LETTERS, topic_specs
from contracts import Event

PURPOSES = {
    "training-job": "a job or a person that publishes `gauntlet train` and `gauntlet register`",
    "viewer": "a person that reads: `gauntlet topics`, `events tail`, `dead-letters list`",
    "operator": "a person that reads and publishes: viewer and training-job",
    "recovery": "a person that replays or discards dead letters, which is to write as the services do: grant it for as"
    " long as that takes",
}
"""Of the principals that are no services."""

Needs = dict[str, tuple[Need, ...]]


def principals(services: Mapping[str, Sequence[Need]], published: Iterable[type[Event]], prefix: str) -> Needs:
    """Return the needs by principal. `published`: the events of the commands."""
    named = [prefix + spec.name for spec in topic_specs()]
    reads = [Need("topic", name, operation) for name in named for operation in ("READ", "DESCRIBE_CONFIGS")]
    publishes = [Need("topic", prefix + event.topic, "WRITE") for event in published]
    letters = prefix + DEAD_LETTERS
    replays = [Need("topic", name, "WRITE") for name in (letters, *_replayable(services))]
    people = {
        "training-job": publishes,
        "viewer": reads,
        "operator": [*reads, *publishes],
        "recovery": [Need("topic", letters, "READ"), *replays],
    }
    return {name: tuple(sorted(set(needs))) for name, needs in {**services, **people}.items()}


def creating(needs: Sequence[Need]) -> tuple[Need, ...]:
    """Return needs of a service, and those of creating the topics that it uses."""
    topics = {need.name for need in needs if need.resource == "topic"}
    return tuple(sorted({*needs, *(Need("topic", name, "CREATE") for name in topics)}))


def _replayable(services: Mapping[str, Sequence[Need]]) -> list[str]:
    """Return the topics of which there may be dead letters, but those whose content some service believes as state.

    What is read in a group is an event that is handled, or else a dead letter. What is read without one is the state
    that its only writer published: who may write there decides what is served.
    """
    handled: set[str] = set()
    believed: set[str] = set()
    for needs in services.values():
        groups = tuple(need.name for need in needs if need.resource == "group")
        for need in needs:
            if need.resource == "topic" and need.operation == "READ":
                (handled if any(_is_of(group, need.name) for group in groups) else believed).add(need.name)
    return sorted(handled - believed)


def _is_of(group: str, topic: str) -> bool:
    """Return whether a group is that of a topic: prefix, service, dot, topic without prefix."""
    prefix = next((topic[: -len(spec.name)] for spec in topic_specs() if topic.endswith(spec.name)), "")
    return group.startswith(prefix) and group.endswith(f".{topic.removeprefix(prefix)}")
