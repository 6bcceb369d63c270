"""A sandbox for the tests of a file: it takes a second to start. And rollouts on a database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gatekeeper.sandbox.sandbox import Sandbox
from support.rollout_bench import RolloutBench


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield shared
    shared.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[RolloutBench]:
    found = RolloutBench(f"sqlite:///{tmp_path / 'test.db'}")
    yield found
    found.close()
