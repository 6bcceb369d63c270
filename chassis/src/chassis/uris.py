"""Which URIs an event may name: addresses in the registry, and those below the prefixes of the configured stores.

Pure. What cannot be compared with certainty is refused: MLflow and the clients of stores each decode a URI in their
own way, so nothing is brought into a normal form here, except for files of this machine.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

SETTING = "ALLOWED_URI_PREFIXES"
REGISTRY = ("models", "runs", "mlflow-artifacts")
LONGEST = 4096
DEEPEST = 4
"""So often a path may be percent-encoded in itself; deeper ones are refused."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SPECIAL = re.compile(r"[\x00-\x1f\x7f\\?#;]")
"""Where MLflow or a store would end the path, or read a separator."""
_VERSION = re.compile(r"/(?:[^/@]+|[^/]+/[0-9]+(?:/.*)?)")


@dataclass(frozen=True)
class Address:
    """A URI in its parts. `authority`: bucket or host, with user and port. `path`: decoded if the scheme is file."""

    scheme: str
    authority: str
    path: str

    def is_below(self, prefix: Address) -> bool:
        """Whether it is `prefix` itself or in it: whole segments are compared, so that /team is no prefix of /teams."""
        if (self.scheme, self.authority) != (prefix.scheme, prefix.authority):
            return False
        folder = prefix.path.rstrip("/")
        return self.path.rstrip("/") == folder or self.path.startswith(f"{folder}/")


def parse(uri: str) -> Address:
    """Split a URI, or the absolute path of a file. Raises ValueError, with the reason, for one that is ambiguous."""
    if not uri or len(uri) > LONGEST or uri != uri.strip():
        raise ValueError("it is empty, too long, or has spaces around it")
    if found := _SPECIAL.search(uri):
        raise ValueError(f"it has the character {found.group()!r}")
    given = _SCHEME.match(uri)
    scheme, rest = (given.group()[:-1], uri[given.end() :]) if given else ("file", uri)
    if scheme != scheme.lower():
        raise ValueError(f"its scheme {scheme!r} is not in lower case")
    authority = ""
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        if given is None or (scheme == "file" and authority not in ("", "localhost")):
            raise ValueError("it is a file of another machine")
    decoded = _decoded(rest)
    if scheme == "file":
        if not decoded.startswith("/"):
            raise ValueError("it is a relative path")
        return Address("file", "", "/" + decoded.lstrip("/"))
    return Address(scheme, authority, rest)


def _decoded(path: str) -> str:
    """Decode once. Raises ValueError if any reader, however often it decodes, would find other segments."""
    stages = [path]
    while (further := unquote(stages[-1])) != stages[-1]:
        stages.append(further)
        if len(stages) > DEEPEST or "\ufffd" in further or _SPECIAL.search(further):
            raise ValueError("its percent-encoding hides a character that separates parts of a path")
    for stage in stages:
        if {".", ".."} & set(stage.split("/")):
            raise ValueError("its path has a segment '.' or '..'")
    return stages[min(1, len(stages) - 1)]


def prefixes_of(text: str) -> tuple[Address, ...]:
    """Read ALLOWED_URI_PREFIXES, comma separated. Raises ValueError for a prefix that would allow everything."""
    if not text.strip():
        return ()
    found = []
    for each in text.split(","):
        prefix = each.strip()
        try:
            address = parse(prefix)
        except ValueError as error:
            raise ValueError(f"{SETTING}: the prefix {prefix!r} cannot be used: {error}") from None
        if address.scheme in REGISTRY and not address.authority:
            raise ValueError(f"{SETTING}: {address.scheme}: is always allowed, so {prefix!r} is left out of the list")
        if address.scheme == "file" and address.path == "/":
            raise ValueError(f"{SETTING}: the prefix {prefix!r} is the whole file system; name a folder")
        if address.scheme != "file" and not address.authority:
            raise ValueError(f"{SETTING}: the prefix {prefix!r} names no bucket or host; expected s3://bucket/folder/")
        found.append(address)
    return tuple(found)


def problem_of(uri: str, prefixes: Sequence[Address], tracking_uri: str = "") -> str | None:
    """Return why an event must not name this URI, as a sentence; None if it may.

    An address in the registry may be named; where MLflow has what it names is for `chassis.locations`.
    """
    shown = repr(uri if len(uri) <= 300 else uri[:300] + "…")
    try:
        address = parse(uri)
    except ValueError as error:
        return f"{shown} is refused: {error}"
    if any(address.is_below(prefix) and not is_hidden(address, prefix) for prefix in prefixes):
        return None
    if address.scheme in REGISTRY:
        reason = _registry_problem(address, tracking_uri)
        return None if reason is None else f"{shown} is refused: {reason}"
    what = "a file" if address.scheme == "file" else f"a {address.scheme}: address"
    return (
        f"{shown} is refused: it is {what} outside the registry and below no prefix in {SETTING}; "
        "log it in an MLflow run (runs:/…), or list its folder in that setting of this service"
    )


def _registry_problem(address: Address, tracking_uri: str) -> str | None:
    if not (address.path.startswith("/") and address.path.strip("/")):
        return "it names nothing"
    if address.authority and not (
        address.scheme == "mlflow-artifacts" and address.authority == urlsplit(tracking_uri).netloc
    ):
        return f"it names the server {address.authority!r}, not the one of MLFLOW_TRACKING_URI"
    if address.scheme == "models" and not _VERSION.fullmatch(address.path):
        return "an alias, a stage or the latest version may be another one tomorrow; name the version or the model's id"
    return None


def is_hidden(address: Address, prefix: Address) -> bool:
    """Whether a file is in a hidden file or folder below the prefix: keys, credentials, a stack's own data."""
    below = address.path[len(prefix.path.rstrip("/")) :]
    return address.scheme == "file" and any(part.startswith(".") for part in below.split("/"))
