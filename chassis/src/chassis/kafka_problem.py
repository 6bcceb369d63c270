"""Why Kafka cannot be reached, in words.

Clients try again and again while a connection fails, and then report a timeout or "unable to bootstrap", whatever it
was: so a wrong password reads as a broker that is away. Here one connection is made, to see which of them it is.
"""

from __future__ import annotations

import asyncio

from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError

from chassis.kafka import ssl_context
from chassis.settings import KafkaSettings

SECONDS = 5.0
REFUSALS = ("SaslAuthenticationFailed", "UnsupportedSaslMechanismError", "IllegalSaslStateError")
"""Names of aiokafka's errors."""


async def explain(settings: KafkaSettings, error: Exception | None = None) -> str:
    """Return a sentence about a client that could not connect; `error`: what it reported."""
    if refused := await _refusal(settings):
        return refused
    reported = f": {error}" if error else ""
    return (
        f"cannot reach Kafka at {settings.kafka_bootstrap_servers} ({settings.kafka_security_protocol}){reported}. "
        "Is it running there? Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the SASL and SSL settings"
    )


def explained(settings: KafkaSettings, error: Exception | None = None) -> str:
    """Return the same, from a thread that runs no event loop. Blocks for at most a few seconds."""
    return asyncio.run(explain(settings, error))


def refusal(settings: KafkaSettings) -> str | None:
    """Return the sentence about a user whom a broker refuses; None when it does not, or cannot be reached. Blocks."""
    return asyncio.run(_refusal(settings))


async def _refusal(settings: KafkaSettings) -> str | None:
    if "SASL" not in settings.kafka_security_protocol:
        return None
    for server in settings.kafka_bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            connection = await asyncio.wait_for(
                create_conn(
                    host.strip("[]"),
                    int(port),
                    security_protocol=settings.kafka_security_protocol,
                    ssl_context=ssl_context(settings),
                    sasl_mechanism=settings.kafka_sasl_mechanism,
                    sasl_plain_username=settings.kafka_sasl_username,
                    sasl_plain_password=settings.kafka_sasl_password,
                    request_timeout_ms=int(SECONDS * 1000),
                ),
                SECONDS,
            )
        except KafkaError as error:
            if type(error).__name__ in REFUSALS:
                return (
                    f"Kafka at {server.strip()} refuses user {settings.kafka_sasl_username!r}"
                    f" ({settings.kafka_sasl_mechanism}): authentication failed: {error}. Check KAFKA_SASL_USERNAME,"
                    " KAFKA_SASL_PASSWORD and KAFKA_SASL_MECHANISM"
                )
        except (OSError, ValueError, TimeoutError):
            continue
        else:
            connection.close()
            return None
    return None
