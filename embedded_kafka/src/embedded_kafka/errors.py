"""The errors of this package; each message includes a remedy."""

from __future__ import annotations


class EmbeddedKafkaError(Exception):
    """Base class of the errors of this package."""


class DownloadFailed(EmbeddedKafkaError):
    """Apache Kafka is not in the cache and could not be downloaded."""


class DigestMismatch(EmbeddedKafkaError):
    """A jar is not the one that jars.lock pins."""


class PortTaken(EmbeddedKafkaError):
    """The requested port is in use; the message names it."""


class StartFailed(EmbeddedKafkaError):
    """The broker ended, or did not respond in time; the message gives the path and the end of its log."""
