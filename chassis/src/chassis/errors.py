"""Errors, classified by how the caller should react."""

from __future__ import annotations


class GauntletError(Exception):
    """Base class of the errors that Gauntlet raises deliberately."""


class Transient(GauntletError):
    """Retry later: broker, database or MLflow is unavailable or busy."""


class Permanent(GauntletError):
    """Retrying is useless: the input, or what it refers to, is wrong."""


class Malformed(Permanent):
    """A Kafka message that is not a valid event."""


class NotFound(Permanent):
    """The requested object does not exist."""


class Refused(Permanent):
    """An event or a record names what this service must not open."""
