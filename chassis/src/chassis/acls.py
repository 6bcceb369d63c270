"""Print what each service needs on Kafka, as JSON: by principal, a list of [resource, name, operation].

Usage: `python -m chassis.acls PREFIX SERVICE...`. A service that runs in several roles is a principal in each.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import get_args

from chassis.asyncapi import build_service
from chassis.kafka_access import Need, needs_of


def needs_by_principal(prefix: str, service: str) -> dict[str, tuple[Need, ...]]:
    """Return the needs of a service as it is built by default, and of its other roles, such as `serving-staging`."""
    field = importlib.import_module(f"{service}.settings").Settings.model_fields.get("role")
    roles = get_args(field.annotation) if field else (None,)
    found = {}
    for role in roles:
        chosen = {} if role is None else {"role": role}
        app = build_service(service, topic_prefix=prefix, **chosen)
        is_default = field is None or role == field.default
        found[service if is_default else f"{service}-{role}"] = needs_of(app.state.parts, prefix)
    return found


def main(prefix: str, services: list[str]) -> None:
    found = {name: needs for service in services for name, needs in needs_by_principal(prefix, service).items()}
    rows = {name: [(need.resource, need.name, need.operation) for need in needs] for name, needs in found.items()}
    print(json.dumps(rows))  # noqa: T201  # the output


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
