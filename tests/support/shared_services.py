"""One service a kind of database for the tests of a folder, running since the first test that wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import pytest


class Stops(Protocol):
    def stop(self) -> None: ...


T = TypeVar("T", bound=Stops)


class SharedServices(Generic[T]):
    """It is no parametrised fixture: pytest would end and start the service again in every file."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._running: dict[str, T] = {}

    def on(
        self,
        kind: str,
        request: pytest.FixtureRequest,
        folders: pytest.TempPathFactory,
        make: Callable[[str, Path], T],
        start: Callable[[T], object],
    ) -> T:
        """The service on this kind of database. `make` gets the database's URL and a folder, `start` what it made."""
        if kind not in self._running:
            folder = folders.mktemp(f"{self.name}-{kind}")
            url = f"sqlite:///{folder / 'test.db'}"
            if kind == "postgres":
                url = request.getfixturevalue("postgres").new_database()
            service = make(url, folder)
            try:
                start(service)
            except BaseException:
                service.stop()
                raise
            self._running[kind] = service
        return self._running[kind]

    def end(self) -> None:
        while self._running:
            self._running.popitem()[1].stop()

    def end_after_last(self, folder: Path, nextitem: pytest.Item | None) -> None:
        """After the last test of `folder`: a service that nobody needs any more still polls its broker and database."""
        if nextitem is None or folder not in nextitem.path.parents:
            self.end()
