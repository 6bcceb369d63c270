"""Errors, classified by how the caller should react."""

from __future__ import annotations


class GauntletError(Exception):
    """Base class of the errors that Gauntlet raises deliberately."""


class Transient(GauntletError):
    """Retry later: broker, database or MLflow is unavailable or busy."""


class Permanent(GauntletError):
    """Retrying is useless: the input, or what it refers to, is wrong."""


class Malformed(Permanent):
    """A Kafka message that is not a valid event.

    `unknown_type`: the type that it names, when that is none of those which this version knows on the topic.
    """

    def __init__(self, message: str, unknown_type: str | None = None) -> None:
        super().__init__(message)
        self.unknown_type = unknown_type
