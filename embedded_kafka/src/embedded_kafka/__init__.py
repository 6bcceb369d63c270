"""A real Apache Kafka from PyPI and Maven alone, on loopback, for laptops and tests."""

from embedded_kafka.broker import EmbeddedKafka
from embedded_kafka.errors import DigestMismatch, DownloadFailed, EmbeddedKafkaError, PortTaken, StartFailed
from embedded_kafka.lock import KAFKA_VERSION
from embedded_kafka.security import Security, Tls

__all__ = [
    "KAFKA_VERSION",
    "DigestMismatch",
    "DownloadFailed",
    "EmbeddedKafka",
    "EmbeddedKafkaError",
    "PortTaken",
    "Security",
    "StartFailed",
    "Tls",
]
