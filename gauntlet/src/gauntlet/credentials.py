"""The token that commands present: GAUNTLET_TOKEN, else what `gauntlet login` has stored for the address.

A token is in no argument, message or log, and in the environment of no process that a command starts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from chassis.auth.identity import LARGEST_TOKEN
from gauntlet.errors import CliError

VARIABLE = "GAUNTLET_TOKEN"
_TOKEN = re.compile(rf"[!-~]{{1,{LARGEST_TOKEN}}}")
_taken: str | None = None


class NoAddress(CliError):
    """What was given is no http:// or https:// address."""


@dataclass(frozen=True)
class Credential:
    token: str = field(repr=False)
    source: str
    """Where it comes from, for messages."""


def take_from_environment() -> None:
    """Keep GAUNTLET_TOKEN for this process alone: what it starts (services, models' code) must not inherit it."""
    global _taken
    _taken = os.environ.pop(VARIABLE, None)


def headers_for(url: str) -> dict[str, str]:
    """Return the headers that present the caller's token at `url`; none without one."""
    return headers_of(credential_for(url))


def headers_of(credential: Credential | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential.token}"} if credential else {}


def credential_for(url: str) -> Credential | None:
    """Return what to present at `url`, if anything. Raises CliError for what cannot be a token.

    Nothing for what is no address: the request to it fails, and says so.
    """
    if given := os.environ.get(VARIABLE, _taken):
        return Credential(checked(given, VARIABLE), VARIABLE)
    path = credentials_file()
    if not path.exists():
        return None
    try:
        stored = _read(path).get(origin(url))
    except NoAddress:
        return None
    return Credential(checked(stored, str(path)), f"{path} (gauntlet login)") if stored else None


def checked(token: str, source: str) -> str:
    """Return the token, without the end of its line. Raises CliError for what cannot be one; it is not shown."""
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise CliError(
            f"{source} holds no token: expected 1 to {LARGEST_TOKEN:,} printable ASCII characters without spaces",
            "A token is printed once, by `gauntlet token create`, or comes from your identity provider.",
        )
    return token


def store(urls: Iterable[str], token: str) -> Path:
    """Keep the token for these addresses in a file of mode 0600, and return its path."""
    return _change({origin(url): token for url in urls})


def forget(urls: Iterable[str]) -> list[str]:
    """Remove what is stored for these addresses; return those that had something."""
    path, wanted = credentials_file(), [origin(url) for url in urls]
    had = [each for each in wanted if each in _read(path)] if path.exists() else []
    if had:
        _change(dict.fromkeys(had))
    return had


def credentials_file() -> Path:
    from platformdirs import user_config_path

    return user_config_path("gauntlet", appauthor=False) / "credentials.json"


def origin(url: str) -> str:
    """Return scheme, host and port: a token is for one of them, never for an address that merely begins alike."""
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        raise NoAddress(f"{url!r} is no http:// or https:// address", "Such as http://127.0.0.1:8010") from None
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _change(new: dict[str, str] | dict[str, None]) -> Path:
    from chassis.private_file import locked, replace

    path = credentials_file()
    with locked(path):
        stored: dict[str, str | None] = {**(_read(path) if path.exists() else {}), **new}
        kept = {name: token for name, token in stored.items() if token is not None}
        replace(path, json.dumps({"format": 1, "tokens": kept}, indent=2) + "\n")
    return path


def _read(path: Path) -> dict[str, str]:
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise CliError(f"{path} has mode {mode:04o}: others could read your tokens", f"chmod 600 {path}")
    try:
        document = json.loads(path.read_bytes())
        tokens = document["tokens"]
        if document["format"] != 1 or not all(isinstance(each, str) for pair in tokens.items() for each in pair):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CliError(f"{path} is not a file of `gauntlet login`", "Delete it, and log in again.") from None
    return dict(tokens)
