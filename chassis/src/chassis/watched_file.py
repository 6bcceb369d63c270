"""One file of settings in force, taken up again when it changes while the service runs.

A change is taken up when two looks in a row find the same content, as of policies (`policy_store`). A file that cannot
be used, or has gone, changes nothing: what was in force stays in force, the log and /ready say why. A file that may be
absent is taken up when it comes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from chassis.background import Background
from chassis.errors import Permanent
from chassis.telemetry import get_logger
from chassis.yaml_file import LARGEST_FILE

LOOK_SECONDS = 1.0

T = TypeVar("T")

log = get_logger(__name__)


class WatchedFile(Background, Generic[T]):
    """A Part; `value` is what the file holds. `parse` raises Permanent for content that cannot be used."""

    def __init__(self, path: Path, parse: Callable[[bytes, Path], T], name: str, absent: T | None = None) -> None:
        """`absent`: what is in force until there is a file that can be used.

        Raises Permanent without `absent` if the file cannot be read or used: there is nothing that could be in force.
        """
        self.name = name
        self.path = path
        self._parse = parse
        self._problem: str | None = None
        self._seen = self._taken = self._content()
        try:
            if isinstance(self._taken, str):
                raise Permanent(self._taken)
            self.value: T = parse(self._taken, path)
        except Permanent as error:
            if absent is None:
                raise
            self.value = absent
            if path.exists():
                self._problem = str(error)
                log.error("file not usable, nothing is in force", file=str(path), reason=str(error))

    def details(self) -> dict[str, Any]:
        """Return what /ready shows to who may read."""
        return {"file": str(self.path), "problem": self._problem}

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # whatever the file is, the next look must follow
                log.exception("file not read", file=str(self.path))

    def look(self) -> None:
        """Look at the file once, and take up what this look and the one before found alike."""
        content, before = self._content(), self._seen
        self._seen = content
        if content != before or content == self._taken:
            return
        self._taken = content
        try:
            if isinstance(content, str):
                raise Permanent(content)
            self.value = self._parse(content, self.path)
        except Permanent as error:
            self._problem = str(error)
            log.error("file not usable, what it held before stays in force", file=str(self.path), reason=str(error))
            return
        self._problem = None
        log.info("file in force", file=str(self.path))

    def _content(self) -> bytes | str:
        """Return the content, or why there is none."""
        try:
            with self.path.open("rb") as file:
                return file.read(LARGEST_FILE + 1)
        except OSError as error:
            return f"{self.path}: {error.strerror or error}"
