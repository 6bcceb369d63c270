"""A sandbox for the tests of a file: it takes a second to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gatekeeper.sandbox.sandbox import Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield shared
    shared.close()
