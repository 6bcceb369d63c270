"""Takes secrets out of texts that people will see: replies of targets and errors of libraries."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"
LONGEST = 500
SHORTEST = 4
"""A shorter part of an address is no secret, and would be found in any word."""
_PARTS = re.compile(r"[/?&=:@#,;\s]+")


def masked(text: str, *secrets: str) -> str:
    """Return the beginning of `text` in one line, without the secrets, and without each part of one that is a URL."""
    for each in sorted(_parts(secrets), key=len, reverse=True):
        text = text.replace(each, MASK)
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def _parts(secrets: tuple[str, ...]) -> set[str]:
    found = {each for each in secrets if each}
    for secret in secrets:
        for part in _PARTS.split(secret.partition("://")[2] or secret):
            found |= {each for each in (part, unquote(part)) if len(each) >= SHORTEST}
    return found
