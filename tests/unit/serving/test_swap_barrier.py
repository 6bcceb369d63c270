"""Workers swap together: when all are ready, or when who is not has died or given up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from serving.workers.swap_barrier import SwapBarrier, SwapBarrierServer


def together(scenario: Callable[[Callable[[], Awaitable[SwapBarrier]]], Awaitable[None]], tmp_path: Path) -> None:
    async def whole() -> None:
        async with await SwapBarrierServer().serve(tmp_path / "referee"):
            made: list[SwapBarrier] = []

            async def join(seconds: float = 60) -> SwapBarrier:
                made.append(SwapBarrier(tmp_path / "referee", seconds))
                await made[-1].start()
                return made[-1]

            await scenario(join)
            for each in made:
                await each.stop()

    asyncio.run(asyncio.wait_for(whole(), 30))


def waits(barrier: SwapBarrier, order: int, name: str = "m") -> asyncio.Task[None]:
    return asyncio.create_task(barrier.reached(name, order))


async def a_moment() -> None:
    """Long enough for messages that are on their way."""
    for _ in range(50):
        await asyncio.sleep(0.001)


def test_none_swaps_before_all_are_ready(tmp_path: Path) -> None:
    async def scenario(join: Callable[[], Awaitable[SwapBarrier]]) -> None:
        first, second = await join(), await join()
        one = waits(first, 1)
        await a_moment()
        assert not one.done()
        await asyncio.gather(one, waits(second, 1))
        other = waits(second, 1, "other")
        await a_moment()
        assert not other.done(), "models are agreed on one by one"
        other.cancel()

    together(scenario, tmp_path)


def test_who_is_further_holds_nobody_back(tmp_path: Path) -> None:
    async def scenario(join: Callable[[], Awaitable[SwapBarrier]]) -> None:
        first, second = await join(), await join()
        newest = waits(second, 3)
        await waits(first, 2)
        await a_moment()
        assert not newest.done()
        await asyncio.gather(waits(first, 3), newest)

    together(scenario, tmp_path)


def test_a_worker_that_dies_or_gives_up_is_not_waited_for(tmp_path: Path) -> None:
    async def scenario(join: Callable[[], Awaitable[SwapBarrier]]) -> None:
        first, second, third = await join(), await join(), await join()
        one = waits(first, 1)
        third.ready("m", 1)  # it cannot load it, and says so
        await a_moment()
        assert not one.done()
        await second.stop()
        await one

    together(scenario, tmp_path)


def test_a_worker_that_comes_later_may_have_at_once_what_the_others_answer_with(tmp_path: Path) -> None:
    async def scenario(join: Callable[[], Awaitable[SwapBarrier]]) -> None:
        first = await join()
        await first.reached("m", 2)
        second = await join()
        await second.reached("m", 2)
        next_one = waits(first, 3)
        await a_moment()
        assert not next_one.done()
        await asyncio.gather(next_one, waits(second, 3))

    together(scenario, tmp_path)


def test_one_that_never_comes_is_waited_for_a_while_only(tmp_path: Path) -> None:
    async def scenario(join: Callable[..., Awaitable[SwapBarrier]]) -> None:
        first = await join(0.05)
        await join()
        await first.reached("m", 1)

    together(scenario, tmp_path)
