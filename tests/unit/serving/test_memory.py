"""A loader with a budget: who is asked least leaves memory, and is loaded once for all who ask again."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chassis.http import Problem
from contracts import ModelLoaded
from serving.http.asgi import Later, patiently
from serving.http.prediction_service import Front
from serving.inference.batcher import Desk
from serving.loading.memory import Growth
from serving.loading.model_state import Answering, Slot
from serving.publishing.predictions import Publisher
from support.loaders import Bench, run_bench, until
from support.versions import large

MEGABYTES = 30
BUDGET_MB = 75
"""Two models."""
AWAY = "sha256:" + "2" * 64


class Replica:
    """What a request goes through to find the version that answers it."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.front = Front(bench.loader, Desk(bench.settings), Publisher(bench.settings), bench.settings)

    async def promote(self, model_name: str, epoch: int = 1) -> None:
        self.bench.promote(epoch, version=epoch, model_name=model_name)
        await until(lambda: self.loads(model_name, epoch) == 1 and self.is_settled(model_name))

    def is_settled(self, model_name: str) -> bool:
        """Nothing is done for it any more that would count as the memory of a model that is loaded meanwhile."""
        answering = self.slot(model_name).answering
        return answering is None or answering.kept.compiled

    async def ask(self, model_name: str) -> Answering:
        async def find() -> Answering:
            return self.front.answering(model_name)

        started = time.perf_counter()
        try:
            return await find()
        except Later as later:
            return await patiently(find, later, started)

    def slot(self, model_name: str) -> Slot:
        slot = self.bench.loader.slot(model_name)
        assert slot is not None
        return slot

    def answer(self) -> list[str]:
        return [slot.model_name for slot in self.bench.loader.slots() if slot.answering is not None]

    def loads(self, model_name: str, epoch: int = 1) -> int:
        return sum(
            isinstance(event, ModelLoaded) and (event.model_name, event.epoch) == (model_name, epoch)
            for event in self.bench.reports
        )


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def run_scenario(scenario: Callable[[Replica], Any], **settings: Any) -> None:
        async def with_replica(bench: Bench) -> None:
            bench.caught_up.set()
            await scenario(Replica(bench))

        options = {"memory_mb": BUDGET_MB, "cache_max_mb": 1} | settings
        run_bench(tmp_path, with_replica, large(1, MEGABYTES), **options)

    return run_scenario


def test_the_model_asked_least_recently_leaves_memory_and_stays_desired(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.promote("a")
        await replica.promote("b")
        assert replica.answer() == ["a", "b"]
        await replica.ask("a")
        await replica.promote("c")
        assert replica.answer() == ["a", "c"]
        gone = replica.slot("b")
        assert gone.is_evicted and gone.resident == {} and gone.is_settled and gone.desired is not None
        replica.bench.loader.check()  # it is ready

    run(scenario)


def test_a_model_is_loaded_once_for_all_who_ask_and_from_the_disk(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        assert replica.answer() == ["b", "c"]
        fetched = list(replica.bench.store.fetched)
        answered = await asyncio.gather(*(replica.ask("a") for _ in range(50)))
        assert {id(each) for each in answered} == {id(replica.slot("a").answering)}
        assert replica.loads("a") == 2, "one at the promotion, one for the fifty, each reported"
        assert replica.bench.store.fetched == fetched
        assert replica.answer() == ["a", "c"]
        assert not replica.slot("a").is_evicted and replica.slot("a").waiting == 0

    run(scenario)


def test_models_asked_in_turn_all_answer_and_fit_the_budget(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        names = ["a", "b", "c", "d"]
        for model_name in names:
            await replica.promote(model_name)
        for model_name in names * 3:
            answering = await replica.ask(model_name)
            assert answering.wanted.artifact.model_name == model_name
            held = [kept.size for slot in replica.bench.loader.slots() for kept in slot.resident.values()]
            assert min(held) >= MEGABYTES * 2**20 and sum(held) <= BUDGET_MB * 2**20

    run(scenario)


def test_what_was_waited_for_long_does_not_leave_before_it_has_answered(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        waiting = asyncio.create_task(replica.ask("a"))
        await until(lambda: replica.slot("a").demand)
        while replica.slot("a").demand is not None:  # the others are asked later than it, all the time
            await replica.ask("b")
            await replica.ask("c")
            await asyncio.sleep(0)
        assert (await waiting).wanted.artifact.model_name == "a"
        assert replica.loads("a") == 2

    run(scenario)


def test_a_copy_for_a_rollback_leaves_before_a_model_does(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.promote("a")
        await replica.promote("b")
        await replica.promote("b", epoch=2)
        assert replica.answer() == ["a", "b"]
        assert [artifact.model_version for artifact in replica.slot("b").resident] == [2]

    run(scenario)


def test_a_promotion_of_an_evicted_model_is_proven_at_once(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        await replica.ask("b")
        await replica.ask("c")
        await replica.promote("a", epoch=2)
        assert replica.answer() == ["b", "c"], "nobody asks for it: it leaves again"
        assert replica.slot("a").is_evicted
        assert (await replica.ask("a")).wanted.epoch == 2

    run(scenario)


@pytest.mark.parametrize("asked", [False, True])
def test_what_was_evicted_stands_in_for_a_newer_one_that_can_not_be_loaded(
    run: Callable[..., None], asked: bool
) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        replica.bench.promote(2, version=2, model_name="a", uri="gone", digest=AWAY)
        if asked:
            assert (await replica.ask("a")).wanted.epoch == 1
        await until(lambda: replica.bench.answering("a") == (1, 1))
        failure = replica.slot("a").failure
        assert failure is not None and failure.wanted.epoch == 2 and failure.reason == "no such artifact"
        for model_name in ("b", "c", "b", "c"):
            await replica.ask(model_name)
        assert "a" in replica.answer(), "it would not be loaded as what is desired"

    run(scenario)


def test_who_waits_too_long_is_told_so_and_the_load_goes_on(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        with pytest.raises(Problem, match="SERVING_REQUEST_SECONDS") as told:
            await replica.ask("a")
        assert told.value.status == 503 and told.value.headers == {"Retry-After": "2"}
        await until(lambda: replica.answer() == ["a", "c"])

    run(scenario, request_seconds=0.001)


def test_no_more_may_wait_than_are_allowed_to(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        answered = await asyncio.gather(*(replica.ask("a") for _ in range(5)), return_exceptions=True)
        assert [type(each) for each in answered] == [Answering] * 3 + [Problem] * 2
        assert "SERVING_MAX_WAITING" in str(answered[-1])

    run(scenario, max_waiting=3)


def test_who_asks_for_what_can_not_be_loaded_any_more_is_told_why(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        replica.bench.store.failures_left = 10**6
        (entry,) = (entry for entry in (replica.bench.store.folder / "cache").iterdir() if entry.name[0] != ".")
        entry.rename(entry.with_name(".gone"))
        with pytest.raises(Problem, match="MLflow is away"):
            await replica.ask("a")
        assert replica.answer() == ["b", "c"]
        replica.bench.store.failures_left = 0
        await until(lambda: "a" in replica.answer())

    run(scenario, retry_limit_seconds=0.02)


def test_without_a_budget_nothing_is_evicted(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c", "d"):
            await replica.promote(model_name)
        assert replica.answer() == ["a", "b", "c", "d"]

    run(scenario, memory_mb=0)


def test_growth_is_what_was_taken_and_is_still_held() -> None:
    gc.collect()
    with Growth(exact=True) as growth:
        held = np.ones(40 * 2**17)
        passing = [float(number) for number in range(10**6)]
        del passing
    assert 39 * 2**20 < growth.bytes < 48 * 2**20
    with Growth(exact=True) as growth:
        del held
    assert growth.bytes == 0
