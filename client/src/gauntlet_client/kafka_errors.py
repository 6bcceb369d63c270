"""What the client raises when Kafka does not answer or refuses, or its settings cannot be used."""

from __future__ import annotations

from typing import Any

from contracts.kafka_connection import KafkaConnection, client_options
from gauntlet_client.errors import ClientError, Unreachable


def options_of(connection: KafkaConnection) -> dict[str, Any]:
    """Return the options of a client of Kafka. Raises ClientError for a file of certificates that cannot be used."""
    try:
        return client_options(connection)
    except OSError as error:  # and ssl.SSLError
        names = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
        files = [f"{name.upper()}={path}" for name in names if (path := getattr(connection, name))]
        raise ClientError(
            f"Kafka's certificates cannot be used: {error} ({', '.join(files)})",
            "Name files that are there, in PEM; for an encrypted key, set KAFKA_SSL_PASSWORD.",
        ) from error


def unreachable(at: str, error: Exception) -> Unreachable:
    return Unreachable(
        f"Kafka at {at} does not answer: {error or type(error).__name__}",
        "Check KAFKA_BOOTSTRAP_SERVERS; the security protocol, the password or the CA may be wrong, too.",
        sent=True,
    )


def refused(at: str, error: Exception) -> ClientError:
    return ClientError(
        f"Kafka at {at} refuses: {type(error).__name__}: {error}",
        "Topics and groups have TOPIC_PREFIX; `gauntlet acls` prints what users need.",
    )
