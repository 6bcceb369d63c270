"""The Python client against a real replica: predictions of rows in any form, feedback, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gauntlet_client import Gauntlet
from support.replica import Replica


@pytest.fixture
def client(production: Replica, tmp_path: Path) -> Iterator[Gauntlet]:
    with Gauntlet(serving=production.url, data_dir=tmp_path) as found:
        yield found
