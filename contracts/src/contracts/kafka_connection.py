"""How to reach Kafka: one set of variables for services, commands and clients, and what a client library takes."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field


class KafkaConnection(BaseModel):
    """The brokers, how connections to them are secured, and the prefix of names there."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    kafka_bootstrap_servers: str = Field(
        "127.0.0.1:9092",
        alias="KAFKA_BOOTSTRAP_SERVERS",
        description="Brokers to connect to first: host:port, comma separated",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", alias="KAFKA_SECURITY_PROTOCOL", description="How connections to the brokers are secured"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", alias="KAFKA_SASL_MECHANISM", description="With SASL_*: the mechanism"
    )
    kafka_sasl_username: str | None = Field(None, alias="KAFKA_SASL_USERNAME", description="With SASL_*: the user")
    kafka_sasl_password: str | None = Field(
        None, alias="KAFKA_SASL_PASSWORD", description="With SASL_*: the password", repr=False
    )
    kafka_ssl_cafile: Path | None = Field(
        None, alias="KAFKA_SSL_CAFILE", description="With *SSL: file of CA certificates, PEM"
    )
    kafka_ssl_certfile: Path | None = Field(
        None, alias="KAFKA_SSL_CERTFILE", description="With *SSL: file of the client certificate, PEM"
    )
    kafka_ssl_keyfile: Path | None = Field(
        None, alias="KAFKA_SSL_KEYFILE", description="With *SSL: file of the client key, PEM"
    )
    kafka_ssl_password: str | None = Field(
        None, alias="KAFKA_SSL_PASSWORD", description="With *SSL: the password of the client key", repr=False
    )
    kafka_ssl_check_hostname: bool = Field(
        True,
        alias="KAFKA_SSL_CHECK_HOSTNAME",
        description="With *SSL: whether a broker's certificate must name the host that is connected to",
    )
    topic_prefix: str = Field(
        "", alias="TOPIC_PREFIX", pattern=r"^[A-Za-z0-9._-]*$", description="Prefix of every topic and consumer group"
    )

    @classmethod
    def of(cls, variables: Mapping[str, str], **given: str | None) -> Self:
        """Return what the variables say; `given` overrides them, by the names of the fields, unless it is None.

        Raises pydantic.ValidationError for a wrong value.
        """
        said = {
            name: variables[field.alias]
            for name, field in cls.model_fields.items()
            if field.alias is not None and field.alias in variables
        }
        return cls.model_validate(said | {name: value for name, value in given.items() if value is not None})


def client_options(connection: KafkaConnection) -> dict[str, Any]:
    """Return the options of a client's constructor, which kafka-python and aiokafka share."""
    options: dict[str, Any] = {
        "bootstrap_servers": connection.kafka_bootstrap_servers.split(","),
        "security_protocol": connection.kafka_security_protocol,
    }
    if "SASL" in connection.kafka_security_protocol:
        options |= {
            "sasl_mechanism": connection.kafka_sasl_mechanism,
            "sasl_plain_username": connection.kafka_sasl_username,
            "sasl_plain_password": connection.kafka_sasl_password,
        }
    if (context := ssl_context(connection)) is not None:
        options["ssl_context"] = context
    return options


def ssl_context(connection: KafkaConnection) -> ssl.SSLContext | None:
    """Return what connections are secured with; None where they are not. Raises OSError for a file that is wrong."""
    if "SSL" not in connection.kafka_security_protocol:
        return None
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=connection.kafka_ssl_cafile)
    if connection.kafka_ssl_certfile is not None:
        # The password is never None: OpenSSL would ask for it on the terminal, where a service waits for ever.
        password = connection.kafka_ssl_password or ""
        context.load_cert_chain(connection.kafka_ssl_certfile, connection.kafka_ssl_keyfile, password)
    context.check_hostname = connection.kafka_ssl_check_hostname
    return context
