"""The file of tokens (AUTH_TOKENS_FILE): names, roles and salted hashes; the tokens themselves are in no file.

A token is `gauntlet_ID_SECRET`: ID finds its entry, SECRET has 256 random bits. One round of SHA-256 over salt and
secret suffices, because a secret of this size cannot be guessed; a slow hash is for passwords that people choose.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_validator

from chassis.auth.identity import Identity, Method, Unauthenticated
from chassis.auth.roles import Role
from chassis.errors import Permanent
from chassis.private_file import locked, replace

FILE_NAME = "tokens.json"
"""In the data directory, unless AUTH_TOKENS_FILE names another file."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
"""What a token may be called: it is the subject of rules, which are glob patterns, and the actor of decisions."""
_TOKEN = re.compile(r"gauntlet_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = sha256(b"").hexdigest()


class Token(BaseModel):
    """An entry of the file. `models` are glob patterns of the models that the token is for, whatever its roles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{12}$")
    name: str
    roles: tuple[Role, ...] = Field(min_length=1)
    models: tuple[str, ...] = Field(("*",), min_length=1)
    created: AwareDatetime
    expires: AwareDatetime | None = None
    salt: str = Field(pattern=r"^[0-9a-f]{32}$", repr=False)
    hash: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError("a name is 1 to 100 letters, digits or . _ @ -, and begins with a letter or a digit")
        return name

    def identity(self) -> Identity:
        """Return who presents this token."""
        return Identity(self.name, Method.TOKEN, tuple(map(str, self.roles)), self.models)

    def expired(self, now: datetime) -> bool:
        return self.expires is not None and now >= self.expires


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(1, ge=1, le=1)
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True)
class Created:
    """A new token: its entry, and the text that its holder presents and that is kept nowhere."""

    token: Token
    text: str

    def __repr__(self) -> str:
        return f"Created({self.token!r})"


def new_token(
    name: str, roles: Iterable[Role], models: Iterable[str], created: datetime, expires: datetime | None
) -> Created:
    """Make a token. Raises Permanent for a name or a role that cannot be."""
    secret, salt, token_id = secrets.token_urlsafe(32), secrets.token_hex(16), secrets.token_hex(6)
    fields = {"id": token_id, "name": name, "roles": tuple(roles), "models": tuple(models), "salt": salt}
    try:
        token = Token(**fields, created=created, expires=expires, hash=_hash(salt, secret))
    except ValidationError as error:
        raise Permanent(f"token {name!r}: {_problems(error)}") from None
    return Created(token, f"gauntlet_{token_id}_{secret}")


def find(tokens: dict[str, Token], presented: str, now: datetime) -> Token:
    """Return the entry of the token that was presented; `tokens` by id. Raises Unauthenticated, for the log only.

    An unknown id costs the same comparison as a wrong secret.
    """
    parts = _TOKEN.fullmatch(presented)
    if parts is None:
        raise Unauthenticated("what was presented is no token of gauntlet token create")
    token = tokens.get(parts[1])
    salt, expected = (token.salt, token.hash) if token else ("0" * 32, _NOBODY)
    right = hmac.compare_digest(_hash(salt, parts[2]), expected)
    if token is None:
        raise Unauthenticated(f"token {parts[1]} is not in the file: it was revoked, or is of another stack")
    if not right:
        raise Unauthenticated(f"token {parts[1]} of {token.name} was presented with a wrong secret")
    if token.expired(now):
        raise Unauthenticated(f"token {parts[1]} of {token.name} expired at {token.expires:%Y-%m-%d %H:%M} UTC")
    return token


def read_tokens(path: Path) -> dict[str, Token]:
    """Return the tokens by id. Raises Permanent when the file is missing, wrong, or writable for others."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as error:
        raise Permanent(
            f"AUTH_TOKENS_FILE {path} cannot be read ({error.strerror}); create a token: gauntlet token create"
        ) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise Permanent(f"AUTH_TOKENS_FILE {path} has mode {mode:04o}: others could add tokens; chmod 600 {path}")
    return parse_tokens(content, path)


def parse_tokens(content: bytes, path: Path) -> dict[str, Token]:
    """Return the tokens of a file's content by id. Raises Permanent."""
    try:
        tokens = _File.model_validate_json(content).tokens
    except ValidationError as error:
        raise Permanent(f"AUTH_TOKENS_FILE {path} is not a file of tokens: {_problems(error)}") from None
    by_id = {token.id: token for token in tokens}
    if len(by_id) < len(tokens):
        raise Permanent(f"AUTH_TOKENS_FILE {path} has two tokens with the same id")
    return by_id


@contextmanager
def changing_tokens(path: Path) -> Iterator[dict[str, Token]]:
    """Yield the tokens of the file by id (none when it is missing); what is left of them at the end replaces it.

    One writer at a time; readers see the file before or after. Raises as `read_tokens` does.
    """
    with locked(path):
        tokens = read_tokens(path) if path.exists() else {}
        yield tokens
        replace(path, _File(tokens=tuple(tokens.values())).model_dump_json(indent=2) + "\n")


def _hash(salt: str, secret: str) -> str:
    return sha256(bytes.fromhex(salt) + secret.encode()).hexdigest()


def _problems(error: ValidationError) -> str:
    """Which fields are wrong; never their values, which may be hashes."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}" for each in error.errors(include_input=False)
    )
