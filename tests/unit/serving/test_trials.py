"""The executor and rollouts: what is tried is loaded beside the champion, and is over as soon as it is not in force."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from contracts import Mode, ModelLoaded, ModelLoadFailed, Result, Stage
from support.loaders import Bench, run_bench, until
from support.versions import pipeline, save


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    return partial(run_bench, tmp_path)


@pytest.mark.parametrize("first", ["promotion", "rollout"])
def test_a_version_is_tried_whichever_event_is_read_first(run: Callable[..., None], first: str) -> None:
    async def scenario(bench: Bench) -> None:
        events = [partial(bench.promote, 1), partial(bench.roll_out, 1, version=2, champion_epoch=1)]
        for event in events if first == "promotion" else reversed(events):
            event()
        assert bench.store.fetched == []
        bench.caught_up.set()
        await until(lambda: bench.tried() == (2, 1))
        assert bench.active() == (1, 1)
        loaded = bench.reports[-1]
        assert isinstance(loaded, ModelLoaded)
        assert (loaded.model_version, loaded.epoch, loaded.rollout_id) == (2, None, "flights-2")

    run(scenario)


def test_further_steps_change_the_reference_only(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        bench.roll_out(1, version=2, champion_epoch=1)
        await until(lambda: bench.tried() == (2, 1))
        state = bench.reconciler.state("flights")
        assert state is not None and state.trial is not None
        version, reports = state.trial.version, len(bench.reports)
        bench.roll_out(2, version=2, champion_epoch=1, mode=Mode.SPLIT, share=0.1)
        await until(lambda: bench.tried() == (2, 2))
        assert state.trial.version is version and state.trial.desired.share == 0.1
        bench.roll_out(1, version=2, champion_epoch=1)  # stale
        assert bench.tried() == (2, 2)
        bench.roll_out(3, version=2, champion_epoch=1, stage=Stage.ENDED, result=Result.ABORTED)
        assert bench.tried() is None, "at once"
        assert len(bench.reports) == reports
        await until(lambda: len(state.resident) == 1)

    run(scenario)


def test_a_promotion_ends_it_at_once_and_is_a_swap_of_what_is_resident(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        bench.roll_out(1, version=2, champion_epoch=1)
        await until(lambda: bench.tried() == (2, 1))
        state = bench.reconciler.state("flights")
        assert state is not None and state.trial is not None
        model = state.trial.version.model
        bench.roll_out(2, version=1, champion_epoch=2, stage=Stage.WATCH)  # before its promotion
        assert bench.tried() is None
        await until(lambda: not state.changed.is_set())
        bench.promote(2, version=2)
        await until(lambda: bench.active() == (2, 2))
        assert state.active is not None and state.active.model is model
        await until(lambda: bench.tried() == (1, 2))
        assert bench.store.fetched == ["here"]
        bench.promote(3, version=1)
        await until(lambda: bench.active() == (1, 3))
        assert bench.tried() is None

    run(scenario)


def test_what_cannot_be_had_is_reported_and_the_champion_stays(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        bench.roll_out(1, version=2, champion_epoch=1, uri="gone", digest="sha256:" + "2" * 64)
        await until(lambda: any(isinstance(event, ModelLoadFailed) for event in bench.reports))
        failure = bench.reports[-1]
        assert isinstance(failure, ModelLoadFailed) and "no such artifact" in failure.reason
        assert (failure.epoch, failure.rollout_id) == (None, "flights-2")
        assert (bench.active(), bench.tried()) == ((1, 1), None)
        bench.roll_out(2, version=2, champion_epoch=1, uri="gone", digest="sha256:" + "2" * 64)
        bench.roll_out(3, version=3, champion_epoch=1)
        await until(lambda: bench.tried() == (3, 3))
        assert bench.store.fetched.count("gone") == 1

    run(scenario)


def test_a_promotion_does_not_wait_for_what_is_tried(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        bench.roll_out(1, version=2, champion_epoch=1, uri="hangs", digest="sha256:" + "2" * 64)
        await until(lambda: "hangs" in bench.store.fetched)
        bench.roll_out(2, version=2, champion_epoch=1, uri="hangs", digest="sha256:" + "2" * 64, mode=Mode.SPLIT)
        bench.promote(2, version=3)
        await until(lambda: bench.active() == (3, 2))
        assert not bench.store.unblock.is_set() and bench.store.fetched == ["here", "hangs"]

    run(scenario)


def test_a_version_stays_while_people_approve_it_and_goes_when_they_refuse(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        bench.roll_out(1, version=2, champion_epoch=1)
        await until(lambda: bench.tried() == (2, 1))
        state = bench.reconciler.state("flights")
        assert state is not None
        bench.roll_out(2, version=2, champion_epoch=1, mode=Mode.OFF)
        assert bench.tried() is None
        await until(lambda: not state.changed.is_set())
        assert [artifact.model_version for artifact in state.resident] == [1, 2]
        bench.roll_out(3, version=2, champion_epoch=1, stage=Stage.ENDED, result=Result.REFUSED)
        await until(lambda: [artifact.model_version for artifact in state.resident] == [1])

    run(scenario)


def test_transient_failures_are_tried_again_and_say_so(run: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(1)
        await until(lambda: bench.active() == (1, 1))
        digest = save(pipeline(), bench.store.folder / "second")
        bench.store.failures_left = 3
        bench.roll_out(1, version=2, champion_epoch=1, uri="second", digest=digest)
        await until(lambda: isinstance(bench.reports[-1], ModelLoadFailed))
        assert not bench.reports[-1].permanent  # type: ignore[attr-defined]
        await until(lambda: bench.tried() == (2, 1))
        assert bench.store.fetched == ["here", *["second"] * 4] and isinstance(bench.reports[-1], ModelLoaded)

    run(scenario)


@pytest.mark.parametrize("result", [Result.ROLLED_BACK, Result.SUPERSEDED])
def test_a_rollback_after_a_restart_in_the_watch_is_a_swap_too(run: Callable[..., None], result: Result) -> None:
    async def scenario(bench: Bench) -> None:
        bench.caught_up.set()
        bench.promote(2, version=2)
        bench.roll_out(5, version=1, champion_epoch=2, stage=Stage.WATCH)
        await until(lambda: bench.tried() == (1, 5))
        state = bench.reconciler.state("flights")
        assert state is not None and state.trial is not None
        model = state.trial.version.model
        bench.roll_out(6, version=1, champion_epoch=2, mode=Mode.OFF, stage=Stage.ENDED, result=result)
        await until(lambda: not state.changed.is_set())
        bench.promote(3, version=1)
        await until(lambda: bench.active() == (1, 3))
        assert state.active is not None and state.active.model is model

    run(scenario)
