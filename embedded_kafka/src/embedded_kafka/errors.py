"""What can go wrong, each with what to do about it in its message."""

from __future__ import annotations


class EmbeddedKafkaError(Exception):
    """Any failure of this package."""


class DownloadFailed(EmbeddedKafkaError):
    """Apache Kafka is not in the cache and could not be fetched."""


class DigestMismatch(EmbeddedKafkaError):
    """A jar is not the one that jars.lock pins."""


class PortTaken(EmbeddedKafkaError):
    """The port asked for is in use; the message names it."""


class StartFailed(EmbeddedKafkaError):
    """The broker ended, or did not answer in time; the message says where its log is and how it ends."""
