"""Access control lists as the commands of Apache Kafka, and as the resources of Strimzi."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from chassis.kafka_access import Need

OPERATIONS = {"READ": "Read", "WRITE": "Write", "CREATE": "Create", "DESCRIBE_CONFIGS": "DescribeConfigs"}
LONGEST_LINE = 100


def kafka_acls(
    needs: Mapping[str, Sequence[Need]], purposes: Mapping[str, str], pattern: str, bootstrap_servers: str
) -> Iterator[str]:
    """Yield lines of a shell script. `pattern`: of the principals, with `{name}`."""
    connects = f"kafka-acls.sh --bootstrap-server {shlex.quote(bootstrap_servers)} --command-config admin.properties"
    for name, of_one in needs.items():
        yield f"# {name}: {purposes.get(name, 'a service')}"
        principal = shlex.quote(pattern.format(name=name))
        for (resource, operations), names in _grouped(of_one).items():
            yield f"{connects} --add --allow-principal {principal} \\"
            yield f"  {' '.join(f'--operation {OPERATIONS[operation]}' for operation in operations)} \\"
            yield f"  {' '.join(f'--{resource} {shlex.quote(name)}' for name in names)}"
        yield ""


def strimzi(
    needs: Mapping[str, Sequence[Need]], purposes: Mapping[str, str], pattern: str, cluster: str, authentication: str
) -> str:
    """Return KafkaUser resources as YAML, each named as its principal, without `User:` and `CN=`."""
    resources = []
    for name, of_one in needs.items():
        user = pattern.format(name=name).removeprefix("User:").removeprefix("CN=")
        acls = [
            {
                "resource": {"type": resource, "name": one, "patternType": "literal"},
                "operations": [OPERATIONS[operation] for operation in operations],
                "host": "*",
            }
            for (resource, operations), names in _grouped(of_one).items()
            for one in names
        ]
        resource: dict[str, Any] = {
            "apiVersion": "kafka.strimzi.io/v1",
            "kind": "KafkaUser",
            "metadata": {
                "name": user,
                "labels": {"strimzi.io/cluster": cluster},
                "annotations": {"description": purposes.get(name, "a service")},
            },
            "spec": {
                "authentication": {"type": authentication},
                "authorization": {"type": "simple", "acls": acls},
            },
        }
        resources.append(resource)
    return yaml.safe_dump_all(resources, sort_keys=False, width=LONGEST_LINE)


def _grouped(needs: Sequence[Need]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Return the names of the resources by type and operations."""
    operations: dict[tuple[str, str], list[str]] = defaultdict(list)
    for need in needs:
        operations[need.resource, need.name].append(need.operation)
    found: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for (resource, name), of_one in sorted(operations.items()):
        found[resource, tuple(sorted(of_one))].append(name)
    return dict(found)
