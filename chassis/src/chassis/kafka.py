"""Kafka settings, translated into the options of each Kafka client."""

from __future__ import annotations

from typing import Any

from chassis.settings import KafkaSettings
from contracts.kafka_connection import client_options, ssl_context

__all__ = ["LARGEST_MESSAGE", "aiokafka_options", "confluent_options", "kafka_python_options", "ssl_context"]

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes: the limit of the topics, so that an oversized event can still be read, rejected and dead-lettered."""


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    return client_options(settings)


def kafka_python_options(settings: KafkaSettings, bootstrap_timeout_ms: int = 10_000) -> dict[str, Any]:
    return {**client_options(settings), "bootstrap_timeout_ms": bootstrap_timeout_ms}


def confluent_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return options for librdkafka; with the partitioner of the other clients, which is not its default."""
    options: dict[str, Any] = {
        "bootstrap.servers": settings.kafka_bootstrap_servers,
        "security.protocol": settings.kafka_security_protocol,
        "partitioner": "murmur2_random",
        "reconnect.backoff.max.ms": 1000,
        "sasl.mechanism": settings.kafka_sasl_mechanism if "SASL" in settings.kafka_security_protocol else None,
        "sasl.username": settings.kafka_sasl_username,
        "sasl.password": settings.kafka_sasl_password,
        "ssl.ca.location": settings.kafka_ssl_cafile,
        "ssl.certificate.location": settings.kafka_ssl_certfile,
        "ssl.key.location": settings.kafka_ssl_keyfile,
        "ssl.key.password": settings.kafka_ssl_password,
        "ssl.endpoint.identification.algorithm": None if settings.kafka_ssl_check_hostname else "none",
    }
    return {name: str(value) if name.startswith("ssl.") else value for name, value in options.items() if value}
