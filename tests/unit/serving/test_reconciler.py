"""The executor with a download of the test's own: what hangs, breaks or is overtaken never holds anything up."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.errors import Transient
from contracts import ModelLoaded, ModelLoadFailed, OutputFormat
from support.loaders import Bench, run_bench, until


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    return partial(run_bench, tmp_path)


def test_nothing_is_fetched_before_all_is_known_and_then_only_the_newest(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        for epoch in range(1, 50):
            bench.promote(epoch, version=epoch, uri="gone")
        with pytest.raises(Transient, match="still reading"):
            bench.reconciler.check()
        bench.promote(50, version=7)
        await asyncio.sleep(0)
        assert bench.store.fetched == []
        bench.caught_up.set()
        await until(lambda: bench.active() == (7, 50))
        assert bench.store.fetched == ["here"]
        bench.reconciler.check()

    run(scenario)


def test_a_rollback_does_not_wait_for_a_download_that_hangs(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, version=1)
        await until(lambda: bench.active() == (1, 1))
        bench.promote(2, version=2, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        bench.promote(3, version=1)
        await until(lambda: bench.active() == (1, 3))
        assert not bench.store.unblock.is_set()
        bench.store.unblock.set()  # what arrives late changes nothing
        bench.promote(1, version=1, model_name="another")
        await until(lambda: bench.active("another") == (1, 1))
        assert bench.active() == (1, 3)
        assert bench.seen()[:2] == [(ModelLoaded, 1, 1), (ModelLoaded, 1, 3)]

    run(scenario)


def test_a_version_that_is_to_be_read_otherwise_is_loaded_anew(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        def read() -> tuple[int, Any]:
            state = bench.reconciler.state("flights")
            assert state is not None
            active = state.active
            return (0, None) if active is None else (active.desired.order, active.model.signature.classes)

        bench.caught_up.set()
        bench.promote(1, output=OutputFormat(problem="binary", classes=("no", "yes")))
        await until(lambda: read() == (1, ("no", "yes")))
        bench.promote(2, output=OutputFormat(problem="binary", classes=("on time", "late")))
        await until(lambda: read() == (2, ("on time", "late")))
        assert bench.store.fetched == ["here"]

    run(scenario)


def test_downloads_that_hang_do_not_keep_the_process_from_ending(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        await bench.reconciler.stop()

    run(scenario)
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "fetch")


def test_a_step_that_takes_too_long_is_a_failure_that_is_tried_again(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: bench.store.fetched == ["hangs", "hangs"])
        (failure,) = [event for event in bench.reports if isinstance(event, ModelLoadFailed)]
        assert "SERVING_STEP_SECONDS" in failure.reason

    run(scenario, step_seconds=0.1)


def test_transient_failures_are_tried_again_and_reported_once(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.failures_left = 4
        bench.caught_up.set()
        bench.promote(1)
        await until(lambda: bench.reconciler.state("flights").failure)  # type: ignore[union-attr]
        with pytest.raises(Transient, match=r"flights version 1 \(attempt \d failed: MLflow is away\)"):
            bench.reconciler.check()
        await until(lambda: bench.active() == (1, 1))
        assert len(bench.store.fetched) == 5
        assert bench.seen() == [(ModelLoadFailed, 1, 1), (ModelLoaded, 1, 1)]
        bench.reconciler.check()

    run(scenario)


@pytest.mark.parametrize(("uri", "said"), [("gone", "no such artifact"), ("foreign", "botocore")])
def test_a_permanent_failure_is_not_tried_again_until_a_newer_epoch(
    run: Callable[..., None], uri: str, said: str
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1, uri=uri)
        await until(lambda: bench.reports)
        (failure,) = bench.reports
        assert isinstance(failure, ModelLoadFailed) and said in failure.reason
        bench.reconciler.check()  # definitively failed: it does not keep the replica from being ready
        bench.promote(1, uri="here")
        await asyncio.sleep(0.1)  # longer than every retry
        assert bench.store.fetched == [uri]
        bench.promote(2, uri="here")
        await until(lambda: bench.active() == (1, 2))

    run(scenario)


def test_a_replica_that_was_ready_stays_ready_while_the_next_version_loads(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        await until(lambda: bench.active() == (1, 1))
        bench.reconciler.check()
        bench.promote(2, version=2, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        bench.reconciler.check()

    run(scenario)


def test_ready_does_not_wait_for_imports_but_the_first_load_does(
    run: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.reconciler.start()
        bench.caught_up.set()
        bench.reconciler.check()
        bench.promote(1)
        await until(lambda: "slow_to_import" in sys.modules)
        await asyncio.sleep(0.1)  # a load takes less
        assert bench.store.fetched == []
        gate.set()
        await until(lambda: bench.active() == (1, 1))
        assert "broken_to_import" not in sys.modules, "a warning, nothing more"

    gate = threading.Event()
    monkeypatch.setitem(sys.modules, "gate_of_this_test", SimpleNamespace(gate=gate))
    (tmp_path / "broken_to_import.py").write_text("raise RuntimeError('on import')")
    (tmp_path / "slow_to_import.py").write_text("import gate_of_this_test\ngate_of_this_test.gate.wait(60)")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        run(scenario, preload=["broken_to_import", "slow_to_import"])
    finally:
        gate.set()
        sys.modules.pop("slow_to_import", None)
