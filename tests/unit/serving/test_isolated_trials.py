"""Versions that are tried and not compiled: whatever they do, it is done in a process of their own, and is said."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contracts import ModelLoaded, ModelLoadFailed
from serving.inference.model import ModelFailed
from serving.loading.model_state import ActiveTrial, ModelState
from support.loaders import Bench, run_bench, until
from support.misbehaving import LEAK_MB, WAYS, row, save_misbehaving
from support.versions import score_of

LIMITS = {"request_seconds": 1.0, "trial_memory_mb": 100}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    return partial(run_bench, tmp_path, **LIMITS)


async def tried(bench: Bench) -> ModelState:
    """The champion of epoch 1 answers, and version 2, which misbehaves, is tried."""
    digest = save_misbehaving(bench.store.folder / "misbehaving", 2)
    bench.caught_up.set()
    bench.promote(1)
    bench.roll_out(1, version=2, champion_epoch=1, uri="misbehaving", digest=digest)
    await until(bench.tried)
    state = bench.reconciler.state("flights")
    assert state is not None
    return state


async def predicted(trial: ActiveTrial, way: str = "UA") -> Any:
    """The score, or the error in words."""
    model = trial.version.model
    try:
        return (await asyncio.to_thread(model.predict, model.reader.read([row(way)], 1))).scores
    except ModelFailed as failure:
        return str(failure)


def test_what_it_does_is_its_own_error_and_it_is_started_again(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        state = await tried(bench)
        assert state.trial is not None and state.active is not None
        assert state.trial.version.loaded.isolated and state.active.loaded.host is None
        longest, host = 0.0, state.trial.version.loaded.host
        assert host is not None
        for way in ("raises", "crashes", "holds the interpreter"):
            asked = asyncio.create_task(predicted(state.trial, way))
            while not asked.done():
                started = time.monotonic()
                table = state.active.model.reader.read([row("UA")], 1)
                assert len((await asyncio.to_thread(state.active.model.predict, table)).labels) == 1
                longest = max(longest, time.monotonic() - started)
            assert WAYS[way] in await asked
            await until(lambda: host.is_up)
            assert await predicted(state.trial) == [score_of(2)]
        assert longest < LIMITS["request_seconds"], "the champion answers meanwhile"
        assert not [event for event in bench.reports if isinstance(event, ModelLoadFailed)]

    run(scenario)


def test_one_whose_process_ends_again_and_again_is_given_up_and_the_champion_stays(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        state = await tried(bench)
        trial = state.trial
        assert trial is not None and trial.version.loaded.host is not None
        host = trial.version.loaded.host
        for count in (1, 2, 3):
            await until(lambda: host.is_up)
            assert WAYS["exits"] in await predicted(trial, "exits")
            assert len(host.ends) == count
        await until(lambda: bench.tried() is None)
        failure = bench.reports[-1]
        assert isinstance(failure, ModelLoadFailed) and failure.permanent
        assert (failure.model_version, failure.epoch, failure.rollout_id) == (2, None, "flights-2")
        assert "ended 3 times in 63 s" in failure.reason and WAYS["exits"] in failure.reason
        await until(lambda: len(state.resident) == 1)
        assert bench.active() == (1, 1)

    run(scenario)


@pytest.mark.parametrize("way", ["leaks", "leaks by itself"])
def test_one_that_leaks_is_ended_while_no_request_waits(run: Callable[..., None], way: str) -> None:
    async def scenario(bench: Bench) -> None:
        state = await tried(bench)
        assert state.trial is not None and state.trial.version.loaded.host is not None
        host = state.trial.version.loaded.host
        assert await predicted(state.trial, way) == [score_of(2)]
        await until(lambda: host.ends)
        grown = int(host.ends[0][1].split(" by ")[1].split(" MiB")[0])
        assert LIMITS["trial_memory_mb"] < grown < 2 * LEAK_MB, host.ends
        await until(lambda: host.is_up)
        assert await predicted(state.trial) == [score_of(2)]

    run(scenario)


def test_a_promotion_swaps_to_its_process_at_once_and_then_moves_it_in(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        state = await tried(bench)
        assert state.trial is not None
        host, digest = state.trial.version.loaded.host, state.trial.version.desired.artifact.digest
        assert host is not None
        bench.promote(2, version=2, uri="misbehaving", digest=digest)
        await until(lambda: bench.active() == (2, 2))
        swapped = bench.reports[-1]
        assert isinstance(swapped, ModelLoaded) and swapped.epoch == 2 and swapped.seconds < 0.1
        assert state.active is not None and state.active.loaded.host is host
        since, table = state.active.since, state.active.model.reader.read([row("UA")], 1)
        while state.active.loaded.host is not None:
            assert (await asyncio.to_thread(state.active.model.predict, table)).scores == [score_of(2)]
        assert (await asyncio.to_thread(state.active.model.predict, table)).scores == [score_of(2)]
        assert state.active.since == since, "it is the same version"
        assert bench.store.fetched == ["here", "misbehaving"]

    run(scenario)


def test_one_whose_process_is_down_is_loaded_anew_when_it_is_promoted(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        state = await tried(bench)
        trial = state.trial
        assert trial is not None and trial.version.loaded.host is not None
        await predicted(trial, "crashes")
        assert not trial.version.loaded.host.is_up
        digest = trial.version.desired.artifact.digest
        bench.promote(2, version=2, uri="misbehaving", digest=digest)
        await until(lambda: bench.active() == (2, 2))
        assert state.active is not None and state.active.loaded.host is None
        table = state.active.model.reader.read([row("UA")], 1)
        assert (await asyncio.to_thread(state.active.model.predict, table)).scores == [score_of(2)]

    run(scenario)
