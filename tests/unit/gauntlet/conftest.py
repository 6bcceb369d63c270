"""Every test of the command line runs in an empty folder, without the variables that name a real stack."""

from __future__ import annotations

from pathlib import Path

import pytest

from gauntlet.endpoints import VARIABLES


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (*VARIABLES.values(), "TOPIC_PREFIX", "GAUNTLET_DATA_DIR", "GAUNTLET_ACTOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
