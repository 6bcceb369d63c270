"""Errors, split by what the caller should do about them."""

from __future__ import annotations


class GauntletError(Exception):
    """Everything that Gauntlet raises on purpose."""


class Transient(GauntletError):
    """Try again later: broker, database or MLflow is away, or busy."""


class Permanent(GauntletError):
    """Trying again changes nothing: the input, or what it names, is wrong."""


class Malformed(Permanent):
    """A Kafka message that is no event of ours."""


class NotFound(Permanent):
    """What was asked for does not exist."""
