"""Modules are imported in the background; neither one that fails nor a service that stops is held up."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from chassis.warmup import Warmup


def test_a_service_starts_while_modules_are_imported_and_stops_between_two_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    monkeypatch.setitem(sys.modules, "gate_of_this_test", SimpleNamespace(gate=gate))
    (tmp_path / "warmup_broken.py").write_text("raise RuntimeError('on import')")
    (tmp_path / "warmup_slow.py").write_text("import gate_of_this_test\ngate_of_this_test.gate.wait(60)")
    (tmp_path / "warmup_never.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    async def scenario() -> None:
        warmup = Warmup("warmup_missing", "warmup_broken", "warmup_slow", "warmup_never")
        await warmup.start()
        async with asyncio.timeout(60):
            while "warmup_slow" not in sys.modules:  # noqa: ASYNC110  # the state of another thread, polled
                await asyncio.sleep(0.005)
        await warmup.stop()
        gate.set()

    try:
        asyncio.run(scenario())
        assert "warmup_slow" in sys.modules and "warmup_never" not in sys.modules
    finally:
        gate.set()
        sys.modules.pop("warmup_slow", None)
