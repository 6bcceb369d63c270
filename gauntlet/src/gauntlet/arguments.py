"""Arguments that mean the same in several commands, validated before anything is requested or published."""

from __future__ import annotations

import getpass
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from contracts import MODEL_NAME_PATTERN
from gauntlet.errors import CliError

if TYPE_CHECKING:
    from gauntlet.service_client import ServiceClient


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


def authenticated(client: ServiceClient, actor: str | None) -> str | None:
    """Return whom the service takes the caller for; None while authentication is off there.

    Raises CliError for an actor that is given while it is on: the actor is who presents the token.
    """
    caller = client.caller()
    if caller["method"] == "off":
        return None
    if actor is not None:
        raise CliError(
            f"the actor cannot be named: authentication is on at {client.address.at}, and you are {caller['subject']}",
            "Leave out --actor (and unset GAUNTLET_ACTOR), or present another token.",
        )
    return str(caller["subject"])


def who(client: ServiceClient, actor: str | None) -> dict[str, str]:
    """Return the field that names who acts: none with authentication, where the service knows."""
    return {} if authenticated(client, actor) else {"actor": acting(actor)}


def who_and_why(client: ServiceClient, actor: str | None, reason: str) -> dict[str, str]:
    """Return what the gatekeeper is sent with every decision of a person."""
    why = reason_given(reason)
    return {**who(client, actor), "reason": why}


def requesting(client: ServiceClient, actor: str | None) -> str:
    """Return who requests, for an event: who presents the token, else `actor`, else the user of this system."""
    return authenticated(client, actor) or acting(actor)


def registering(client: ServiceClient, actor: str | None) -> str | None:
    """Return who registers a version, and so cannot approve it; None where nothing and nobody knows a name."""
    if known := authenticated(client, actor):
        return known
    if actor is None:
        with suppress(CliError):
            return acting(None)
        return None
    return acting(actor)
