"""Who sent a request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from chassis.errors import Permanent

LARGEST_TOKEN = 16 * 1024
SCHEME = b"bearer "


class Method(StrEnum):
    """How a caller proved who they are."""

    OFF = "off"
    TOKEN = "token"
    OIDC = "oidc"


@dataclass(frozen=True)
class Identity:
    """A caller. `subject` is kept as the actor of what they decide; `roles` are those that their token carries.

    `models` are glob patterns of the models that the token is for; no rule extends it to others.
    """

    subject: str
    method: Method
    roles: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)


ANONYMOUS = Identity("anonymous", Method.OFF)
"""Everybody while authentication is off: they may do everything, and name the actor of a decision themselves."""


class Unauthenticated(Permanent):
    """No token, or one that is not valid. The message is for the log: a caller learns no more than that."""


class Authenticator(Protocol):
    """Tells who sent a request. Safe to call from several threads; fast for a token that was seen before."""

    def known(self, authorization: bytes) -> Identity | None:
        """Return the caller if the token was verified before and is still valid. Never blocks."""
        ...

    def identify(self, authorization: bytes | None) -> Identity:
        """Return the caller, by the Authorization header (None: absent). May block.

        Raises Unauthenticated; Transient when an issuer's keys cannot be fetched.
        """
        ...


def bearer(authorization: bytes | None) -> bytes:
    """Return the token of an Authorization header. Raises Unauthenticated."""
    if authorization is None:
        raise Unauthenticated("no Authorization header")
    if authorization[: len(SCHEME)].lower() != SCHEME:
        raise Unauthenticated("the Authorization header is not of the scheme Bearer")
    token = authorization[len(SCHEME) :].strip()
    if not token or len(token) > LARGEST_TOKEN:
        raise Unauthenticated(f"a token of {len(token)} bytes")
    return token
