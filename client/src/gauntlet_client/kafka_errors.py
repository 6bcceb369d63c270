"""What the client raises when Kafka does not answer, or refuses."""

from __future__ import annotations

from gauntlet_client.errors import ClientError, Unreachable


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
