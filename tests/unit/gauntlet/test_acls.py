"""Who is allowed what: derived from what the services declare, in both formats."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from chassis.acls import needs_by_principal
from chassis.asyncapi import build_service, emitted_by, received_by
from chassis.kafka_access import Need
from chassis.topics import topic_specs
from contracts import EVENTS, ModelRegistered, TrainingRequested
from gauntlet.acl_formats import kafka_acls, strimzi
from gauntlet.acl_principals import PURPOSES, creating, principals
from gauntlet.broker import PUBLISHED
from support.cli import gauntlet
from support.secured import rules

SERVICES = ("trainer", "gatekeeper", "serving", "drift")
PREFIX = "shop."


@pytest.fixture(scope="module")
def declared() -> dict[str, tuple[Need, ...]]:
    return {name: needs for service in SERVICES for name, needs in needs_by_principal(PREFIX, service).items()}


def may(needs: tuple[Need, ...], operation: str) -> set[str]:
    return {need.name.removeprefix(PREFIX) for need in needs if (need.resource, need.operation) == ("topic", operation)}


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_write_what_it_emits_and_read_what_it_receives(
    declared: dict[str, tuple[Need, ...]], service: str
) -> None:
    app = build_service(service)
    roles = [needs for name, needs in declared.items() if name.partition("-")[0] == service]
    read = set[str]().union(*(may(needs, "READ") for needs in roles))
    assert {event.topic for event in received_by(app)} <= read
    letters = set() if service == "serving" else {"dead-letters"}
    for needs in roles:
        assert may(needs, "WRITE") == {event.topic for event in emitted_by(app)} | letters


def test_a_service_reads_in_its_own_groups_and_serving_in_none(declared: dict[str, tuple[Need, ...]]) -> None:
    for name, needs in declared.items():
        groups = {need.name for need in needs if need.resource == "group"}
        assert all(group.startswith(f"{PREFIX}{name}.") for group in groups)
        assert bool(groups) == (not name.startswith("serving"))


def test_what_serving_believes_is_written_by_the_gatekeeper_alone(declared: dict[str, tuple[Need, ...]]) -> None:
    believed = may(declared["serving"], "READ") | may(declared["serving-staging"], "READ")
    assert {"promoted", "gate-passed", "rollouts"} <= believed
    for name, needs in principals(declared, PUBLISHED, PREFIX).items():
        assert not may(needs, "WRITE") & believed or name == "gatekeeper"


def test_every_topic_has_a_principal_that_writes_it(declared: dict[str, tuple[Need, ...]]) -> None:
    written = set[str]().union(*(may(needs, "WRITE") for needs in principals(declared, PUBLISHED, PREFIX).values()))
    assert written == {spec.name for spec in topic_specs()} >= {event.topic for event in EVENTS}


def test_people_publish_what_the_commands_publish_and_read_everything(declared: dict[str, tuple[Need, ...]]) -> None:
    found = principals(declared, PUBLISHED, PREFIX)
    events = {ModelRegistered.topic, TrainingRequested.topic}
    assert may(found["training-job"], "WRITE") == may(found["operator"], "WRITE") == events
    assert may(found["viewer"], "WRITE") == set()
    assert may(found["viewer"], "READ") == {spec.name for spec in topic_specs()}


def test_topics_are_created_by_those_who_use_them_or_by_nobody(declared: dict[str, tuple[Need, ...]]) -> None:
    for needs in declared.values():
        assert may(needs, "CREATE") == set()
        used = may(needs, "READ") | may(needs, "WRITE")
        assert may(creating(needs), "CREATE") == may(creating(needs), "DESCRIBE_CONFIGS") == used


def test_both_formats_say_the_same(declared: dict[str, tuple[Need, ...]]) -> None:
    needs = principals({name: creating(needs) for name, needs in declared.items()}, PUBLISHED, PREFIX)
    commands = "\n".join(kafka_acls(needs, PURPOSES, "User:CN={name},O=A B", "kafka:9092"))
    names = {"READ": "Read", "WRITE": "Write", "CREATE": "Create", "DESCRIBE_CONFIGS": "DescribeConfigs"}
    expected = {
        (name, names[need.operation], need.resource, need.name) for name, of_one in needs.items() for need in of_one
    }
    assert {
        (rule[0].removeprefix("User:CN=").removesuffix(",O=A B"), *rule[1:]) for rule in rules(commands)
    } == expected
    users = list(yaml.safe_load_all(strimzi(needs, PURPOSES, "User:CN={name}", "ours", "tls")))
    assert {user["metadata"]["labels"]["strimzi.io/cluster"] for user in users} == {"ours"}
    assert {
        (user["metadata"]["name"], operation, acl["resource"]["type"], acl["resource"]["name"])
        for user in users
        for acl in user["spec"]["authorization"]["acls"]
        for operation in acl["operations"]
    } == expected


@pytest.mark.parametrize("pattern", ["User:all", "User:{other}", "User:{"])
def test_a_pattern_that_names_no_principal_is_refused(pattern: str, tmp_path: Path) -> None:
    ended = gauntlet("acls", "--principal-pattern", pattern)
    assert ended.code == 1
    assert "--principal-pattern" in ended.err
