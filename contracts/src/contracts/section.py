"""The base class of all parts of a policy."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a policy: frozen, and an unknown key is an error, since a typo must not loosen a gate."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    if_off: ClassVar[str] = "leave the key out for its defaults"
    """What to do for someone who writes `off` or nothing for a section that cannot be switched off."""
