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
from serving.http.asgi import ModelEvicted, retry_when_loaded
from serving.http.prediction_service import PredictionService
from serving.inference.batcher import AdaptiveBatcher
from serving.loading.memory import RssDelta
from serving.loading.model_state import ActiveVersion, ModelState
from serving.publishing.predictions import PredictionPublisher
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
        self.service = PredictionService(
            bench.reconciler, AdaptiveBatcher(bench.settings), PredictionPublisher(bench.settings), bench.settings
        )

    async def promote(self, model_name: str, epoch: int = 1) -> None:
        self.bench.promote(epoch, version=epoch, model_name=model_name)
        await until(lambda: self.loads(model_name, epoch) == 1 and self.is_settled(model_name))

    def is_settled(self, model_name: str) -> bool:
        """Nothing is done for it any more that would count as the memory of a model that is loaded meanwhile."""
        active = self.state(model_name).active
        return active is None or active.loaded.compiled

    async def predict(self, model_name: str) -> ActiveVersion:
        async def find() -> ActiveVersion:
            return self.service.active(model_name)

        started = time.perf_counter()
        try:
            return await find()
        except ModelEvicted as evicted:
            return await retry_when_loaded(find, evicted, started)

    def state(self, model_name: str) -> ModelState:
        state = self.bench.reconciler.state(model_name)
        assert state is not None
        return state

    def answer(self) -> list[str]:
        return [state.model_name for state in self.bench.reconciler.states() if state.active is not None]

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
        await replica.predict("a")
        await replica.promote("c")
        assert replica.answer() == ["a", "c"]
        gone = replica.state("b")
        assert gone.is_evicted and gone.resident == {} and gone.is_settled and gone.desired is not None
        replica.bench.reconciler.check()  # it is ready

    run(scenario)


def test_a_model_is_loaded_once_for_all_who_ask_and_from_the_disk(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        assert replica.answer() == ["b", "c"]
        fetched = list(replica.bench.store.fetched)
        answered = await asyncio.gather(*(replica.predict("a") for _ in range(50)))
        assert {id(each) for each in answered} == {id(replica.state("a").active)}
        assert replica.loads("a") == 2, "one at the promotion, one for the fifty, each reported"
        assert replica.bench.store.fetched == fetched
        assert replica.answer() == ["a", "c"]
        assert not replica.state("a").is_evicted and replica.state("a").waiting == 0

    run(scenario)


def test_models_asked_in_turn_all_answer_and_fit_the_budget(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        names = ["a", "b", "c", "d"]
        for model_name in names:
            await replica.promote(model_name)
        for model_name in names * 3:
            active = await replica.predict(model_name)
            assert active.desired.artifact.model_name == model_name
            held = [loaded.size for state in replica.bench.reconciler.states() for loaded in state.resident.values()]
            assert min(held) >= MEGABYTES * 2**20 and sum(held) <= BUDGET_MB * 2**20

    run(scenario)


def test_what_was_waited_for_long_does_not_leave_before_it_has_answered(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        waiting = asyncio.create_task(replica.predict("a"))
        await until(lambda: replica.state("a").demand)
        while replica.state("a").demand is not None:  # the others are asked later than it, all the time
            await replica.predict("b")
            await replica.predict("c")
            await asyncio.sleep(0)
        assert (await waiting).desired.artifact.model_name == "a"
        assert replica.loads("a") == 2

    run(scenario)


def test_a_copy_for_a_rollback_leaves_before_a_model_does(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        await replica.promote("a")
        await replica.promote("b")
        await replica.promote("b", epoch=2)
        assert replica.answer() == ["a", "b"]
        assert [artifact.model_version for artifact in replica.state("b").resident] == [2]

    run(scenario)


def test_a_promotion_of_an_evicted_model_is_proven_at_once(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        await replica.predict("b")
        await replica.predict("c")
        await replica.promote("a", epoch=2)
        assert replica.answer() == ["b", "c"], "nobody asks for it: it leaves again"
        assert replica.state("a").is_evicted
        assert (await replica.predict("a")).desired.epoch == 2

    run(scenario)


@pytest.mark.parametrize("last_used", [False, True])
def test_what_was_evicted_stands_in_for_a_newer_one_that_can_not_be_loaded(
    run: Callable[..., None], last_used: bool
) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        replica.bench.promote(2, version=2, model_name="a", uri="gone", digest=AWAY)
        if last_used:
            assert (await replica.predict("a")).desired.epoch == 1
        await until(lambda: replica.bench.active("a") == (1, 1))
        failure = replica.state("a").failure
        assert failure is not None and failure.desired.epoch == 2 and failure.reason == "no such artifact"
        for model_name in ("b", "c", "b", "c"):
            await replica.predict(model_name)
        assert "a" in replica.answer(), "it would not be loaded as what is desired"

    run(scenario)


def test_who_waits_too_long_is_told_so_and_the_load_goes_on(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        with pytest.raises(Problem, match="SERVING_REQUEST_SECONDS") as told:
            await replica.predict("a")
        assert told.value.status == 503 and told.value.headers == {"Retry-After": "2"}
        await until(lambda: replica.answer() == ["a", "c"])

    run(scenario, request_seconds=0.001)


def test_no_more_may_wait_than_are_allowed_to(run: Callable[..., None]) -> None:
    async def scenario(replica: Replica) -> None:
        for model_name in ("a", "b", "c"):
            await replica.promote(model_name)
        answered = await asyncio.gather(*(replica.predict("a") for _ in range(5)), return_exceptions=True)
        assert [type(each) for each in answered] == [ActiveVersion] * 3 + [Problem] * 2
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
            await replica.predict("a")
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
    with RssDelta(exact=True) as rss:
        held = np.ones(40 * 2**17)
        passing = [float(number) for number in range(10**6)]
        del passing
    assert 39 * 2**20 < rss.bytes < 48 * 2**20
    with RssDelta(exact=True) as rss:
        del held
    assert rss.bytes == 0
