"""Errors, classified by how the caller should react; the general ones are those of the contracts."""

from __future__ import annotations

from contracts.errors import GauntletError, Malformed, Permanent, Transient

__all__ = ["GauntletError", "Malformed", "NotFound", "Permanent", "Refused", "Transient"]


class NotFound(Permanent):
    """The requested object does not exist."""


class Refused(Permanent):
    """An event or a record names what this service must not open."""
