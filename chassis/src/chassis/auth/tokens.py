"""Tokens of people and programs, by a file of names, roles and salted hashes (`gauntlet token create|list|revoke`).

A token is `gauntlet_ID_SECRET`: a prefix by which scanners of leaked secrets recognize it, an id by which its entry is
found, and 256 random bits. The file holds HKDF-Extract (RFC 5869: HMAC-SHA-256) of the secret with a salt of its own.
That is fast, on purpose: a slow function, such as scrypt, protects passwords that can be guessed; 256 random bits
cannot be, whatever a guess costs, and a slow verification would be a way to keep a service busy.
"""

from __future__ import annotations

import hmac
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from chassis import private_file
from chassis.auth.identity import Identity, Method, Unauthenticated, bearer
from chassis.auth.roles import Role
from chassis.auth.verified import Verified, VerifiedTokens
from chassis.errors import NotFound, Permanent
from chassis.watched_file import WatchedFile
from chassis.yaml_file import parse_yaml

FILE_NAME = "tokens.yaml"
"""In the data directory, unless AUTH_TOKENS_FILE names another file."""
PREFIX = "gauntlet_"
TOKEN = re.compile(rb"gauntlet_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
FOREVER = float("inf")
HEADER = "# Tokens of Gauntlet. Written by `gauntlet token create|revoke`; services read it again when it changes.\n"

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\s\x00-\x1f]+$")]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$")]
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=300)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class TokenEntry(BaseModel):
    """What is kept of a token. `subject`: the person or program that it belongs to; several tokens may have one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    subject: Subject
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    roles: tuple[Role, ...] = ()
    models: tuple[Pattern, ...] = Field(default=("*",), min_length=1)
    """Glob patterns of the models that it is for, whatever its roles and the file of roles grant."""
    salt: Digest
    hash: Digest
    created: AwareDatetime
    expires: AwareDatetime | None = None
    revoked: AwareDatetime | None = None


class TokenFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[TokenEntry, ...] = Field(default=())

    @model_validator(mode="after")
    def _unique(self) -> Self:
        for key in ("name", "id"):
            values = [getattr(entry, key) for entry in self.tokens]
            if twice := next((value for value in values if values.count(value) > 1), None):
                raise ValueError(f"two tokens have the {key} {twice!r}")
        return self


def parse_tokens(content: bytes, path: Path) -> Mapping[str, TokenEntry]:
    """Return the entries by id. Raises YamlError."""
    return {entry.id: entry for entry in parse_yaml(content, path, TokenFile, "token file", "tokens:").tokens}


def read_tokens(path: Path) -> Sequence[TokenEntry]:
    """Return the entries of a file; none of a file that does not exist. Raises Permanent."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise Permanent(f"{path}: {error.strerror or error}") from error
    return tuple(parse_tokens(content, path).values())


def create_token(
    path: Path,
    name: str,
    roles: Sequence[Role],
    *,
    subject: str | None = None,
    models: Sequence[str] = ("*",),
    expires: datetime | None = None,
) -> str:
    """Add a token to the file, and return it: it is shown once, and kept nowhere. Raises Permanent."""
    number, secret, salt = secrets.token_hex(8), secrets.token_urlsafe(32), secrets.token_bytes(32)
    with private_file.locked(path):
        entries = read_tokens(path)
        if any(entry.name == name for entry in entries):
            raise Permanent(f"{path} has a token of the name {name!r} already; choose another name")
        try:
            entry = TokenEntry(
                name=name,
                subject=subject or name,
                id=number,
                roles=tuple(roles),
                models=tuple(models),
                salt=salt.hex(),
                hash=_hash(salt, secret.encode()).hex(),
                created=datetime.now(UTC).replace(microsecond=0),
                expires=expires,
            )
        except ValidationError as error:
            wrong = (f"{each['loc'][0]} {each['input']!r}: {each['msg']}" for each in error.errors())
            raise Permanent(f"a token cannot be: {'; '.join(wrong)}") from None
        _write(path, [*entries, entry])
    return f"{PREFIX}{number}_{secret}"


def revoke_token(path: Path, name: str) -> TokenEntry:
    """Revoke a token for good; its entry stays. Returns the entry. Raises NotFound, Permanent."""
    with private_file.locked(path):
        entries = read_tokens(path)
        found = next((entry for entry in entries if entry.name == name), None)
        if found is None:
            raise NotFound(f"{path} has no token of the name {name!r}")
        revoked = found.model_copy(update={"revoked": found.revoked or datetime.now(UTC).replace(microsecond=0)})
        _write(path, [revoked if entry is found else entry for entry in entries])
    return revoked


class TokenAuthenticator:
    """Callers by the file's tokens, as it is now."""

    def __init__(self, file: WatchedFile[Mapping[str, TokenEntry]]) -> None:
        self._file = file
        self._verified: VerifiedTokens[TokenEntry] = VerifiedTokens()
        self._dummy = secrets.token_bytes(32), secrets.token_bytes(32)

    def known(self, authorization: bytes) -> Identity | None:
        found = self._verified.get(authorization)
        if found is None:
            return None
        entry = self._file.value.get(found.source.id)
        if entry is found.source:  # comparing all its fields costs more than all the rest of this
            return found.identity
        if entry != found.source:
            return None  # what the file says of it has changed
        self._verified.add(authorization, replace(found, source=entry))  # the file was read again
        return found.identity

    def identify(self, authorization: bytes | None) -> Identity:
        if authorization is not None and (known := self.known(authorization)) is not None:
            return known
        token = bearer(authorization)
        match = TOKEN.fullmatch(token)
        if match is None:
            raise Unauthenticated("the token is not of the form gauntlet_ID_SECRET")
        number = match[1].decode()
        entry = self._file.value.get(number)
        # The same work for an unknown id: how long it takes does not show which ids exist.
        salt, expected = self._dummy if entry is None else (bytes.fromhex(entry.salt), bytes.fromhex(entry.hash))
        right = hmac.compare_digest(_hash(salt, match[2]), expected)
        if entry is None:
            raise Unauthenticated(f"no token has the id {number}")
        if not right:
            raise Unauthenticated(f"a wrong secret for the token {entry.name!r}")
        if entry.revoked is not None:
            raise Unauthenticated(f"token {entry.name!r} was revoked at {entry.revoked.isoformat()}")
        until = FOREVER if entry.expires is None else entry.expires.timestamp()
        if until <= time.time():
            raise Unauthenticated(f"token {entry.name!r} expired")
        identity = Identity(entry.subject, Method.TOKEN, tuple(role.value for role in entry.roles), entry.models)
        assert authorization is not None
        self._verified.add(authorization, Verified(identity, until, entry))
        return identity


def _hash(salt: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt, secret, "sha256")


def _write(path: Path, entries: Sequence[TokenEntry]) -> None:
    """Replace the file as a whole, readable by its owner only."""
    import yaml

    content = {"tokens": [entry.model_dump(mode="json", exclude_none=True) for entry in entries]}
    private_file.replace(path, HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
