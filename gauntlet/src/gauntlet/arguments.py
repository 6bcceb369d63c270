"""Arguments that mean the same in several commands, validated before anything is requested or published."""

from __future__ import annotations

import getpass
import re
from contextlib import suppress

from contracts import MODEL_NAME_PATTERN
from gauntlet.errors import CliError


def model_name(name: str) -> str:
    """Return `name`. Raises CliError for one that no model can have."""
    if not re.fullmatch(MODEL_NAME_PATTERN, name):
        raise CliError(
            f"{name!r} cannot be a model's name",
            "Names begin with a letter or digit and go on with letters, digits, dots, underscores and hyphens.",
        )
    return name


def acting(actor: str | None) -> str:
    """Return the actor: `actor`, or the user of this system."""
    if actor is not None and not actor.strip():
        raise CliError("the actor is empty", "Name who decides with --actor or GAUNTLET_ACTOR.")
    try:
        return (actor or getpass.getuser()).strip()
    except (OSError, KeyError) as error:
        raise CliError("this system does not know your name", "Say who decides with --actor.") from error


def reason_given(reason: str) -> str:
    """Return `reason`. Raises CliError for an empty one: the audit trail requires a reason."""
    if not reason.strip():
        raise CliError("the reason is empty", "Say why with --reason: it is kept in the audit trail.")
    return reason.strip()


def who_and_why(actor: str | None, reason: str) -> dict[str, str]:
    """Return what the gatekeeper is sent with every decision of a person."""
    return {"actor": acting(actor), "reason": reason_given(reason)}


def registering(actor: str | None) -> str | None:
    """Return who registers a version, and so cannot approve it; None where this system knows no name."""
    if actor is None:
        with suppress(CliError):
            return acting(None)
        return None
    return acting(actor)
