"""Kafka settings, translated into the options of each Kafka client."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context

from chassis.settings import KafkaSettings

LARGEST_MESSAGE = 8 * 1024 * 1024
"""Bytes: the limit of the topics, so that an oversized event can still be read, rejected and dead-lettered."""


def aiokafka_options(settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap_servers.split(","),
        "security_protocol": settings.kafka_security_protocol,
    }
    if "SASL" in settings.kafka_security_protocol:
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password,
        }
    if (context := ssl_context(settings)) is not None:
        options["ssl_context"] = context
    return options


def kafka_python_options(settings: KafkaSettings, bootstrap_timeout_ms: int = 10_000) -> dict[str, Any]:
    options = aiokafka_options(settings)
    return {**options, "bootstrap_timeout_ms": bootstrap_timeout_ms}


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


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    if "SSL" not in settings.kafka_security_protocol:
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None,
        certfile=str(settings.kafka_ssl_certfile) if settings.kafka_ssl_certfile else None,
        keyfile=str(settings.kafka_ssl_keyfile) if settings.kafka_ssl_keyfile else None,
        # Never None: OpenSSL would ask for it on the terminal, where a service waits for ever.
        password=settings.kafka_ssl_password or "",
    )
    context.check_hostname = settings.kafka_ssl_check_hostname
    return context
