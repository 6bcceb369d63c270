"""`gauntlet acls`: the access control lists that the services and the people need on Kafka, and no more."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from gauntlet.errors import CliError

SERVICES = ("trainer", "gatekeeper", "serving", "drift")


class Format(StrEnum):
    KAFKA_ACLS = "kafka-acls"
    STRIMZI = "strimzi"


class Authentication(StrEnum):
    SCRAM = "scram-sha-512"
    TLS = "tls"


def acls(
    format: Annotated[
        Format, typer.Option(help="Commands of Apache Kafka, or KafkaUser resources of Strimzi.")
    ] = Format.KAFKA_ACLS,
    prefix: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="Of topics and groups; default: TOPIC_PREFIX.")
    ] = None,
    principal_pattern: Annotated[
        str, typer.Option(metavar="PATTERN", help="The principal of {name}, such as User:CN={name},O=ours.")
    ] = "User:{name}",
    topics_exist: Annotated[
        bool, typer.Option("--topics-exist", help="You create the topics: no service may create one.")
    ] = False,
    cluster: Annotated[str, typer.Option(metavar="NAME", help="Strimzi: the Kafka resource.")] = "kafka",
    authentication: Annotated[Authentication, typer.Option(help="Strimzi: how users authenticate.")] = (
        Authentication.SCRAM
    ),
) -> None:
    """Print what each service, and people with this command line, must be allowed on Kafka: no less, and no more.

    The lists follow from what the services declare that they read and write. Nothing is changed: run the output, or
    apply it. Only the gatekeeper may write to the topics of decisions.
    """
    import json

    from chassis.kafka_access import Need
    from gauntlet import modules
    from gauntlet.acl_formats import kafka_acls, strimzi
    from gauntlet.acl_principals import PURPOSES, creating, principals
    from gauntlet.broker import PUBLISHED
    from gauntlet.endpoints import stack_settings

    try:
        if principal_pattern.format(name="a") == principal_pattern.format(name="b"):
            raise ValueError("it has no {name}")
    except (ValueError, KeyError, IndexError) as error:
        raise CliError(f"--principal-pattern {principal_pattern!r}: {error}", "Try: 'User:{name}'") from None
    settings = stack_settings()
    used = settings.topic_prefix if prefix is None else prefix
    declared = json.loads(modules.run(["chassis.acls", used, *SERVICES], {}))
    services = {name: tuple(Need(*need) for need in needs) for name, needs in declared.items()}
    if not topics_exist:
        services = {name: creating(needs) for name, needs in services.items()}
    needs = principals(services, PUBLISHED, used)
    if format is Format.STRIMZI:
        sys.stdout.write(strimzi(needs, PURPOSES, principal_pattern, cluster, authentication.value))
        return
    for line in kafka_acls(needs, PURPOSES, principal_pattern, settings.kafka_bootstrap_servers):
        print(line)  # not by Rich: it is to be run
