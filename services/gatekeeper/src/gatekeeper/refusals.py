"""The refusal of a person's command."""

from __future__ import annotations

from chassis.errors import Permanent


class CommandRefused(Permanent):
    """The state of the model does not allow the command; the message explains what would."""
