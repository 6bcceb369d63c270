"""Who decides by a form, and why, by the same rules as over the API; what is wrong is said of its field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from chassis.auth.access import Caller
from chassis.http import Problem
from gatekeeper.api.models import Decision

D = TypeVar("D", bound=Decision)


def validated(kind: type[D], values: Mapping[str, Any], title: str) -> D:
    """Return a form's values as the API's request. Raises Problem 422 with the field that is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = error.errors()[0]
        field = str(wrong["loc"][0])
        missing = field == "reason" and not values["reason"].strip()
        said = "say why; it is kept in the audit trail" if missing else wrong["msg"]
        raise Problem(422, title, f"{field.replace('_', ' ').capitalize()}: {said}", field=field) from None


def actor_of(caller: Caller, wanted: Decision, title: str) -> str:
    """Return who decides: the token's subject; while authentication is off, who the form says. Raises Problem 422."""
    if not caller.authenticated and wanted.actor is None:
        raise Problem(422, title, "Actor: say who you are; it is kept in the audit trail", field="actor")
    return caller.actor(wanted.actor)
