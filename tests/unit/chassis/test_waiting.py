"""Waiting for an event: told whether it came, and always possible to stop."""

from __future__ import annotations

import asyncio

from chassis.waiting import set_within


def test_whether_it_was_set_in_time() -> None:
    async def scenario() -> None:
        event = asyncio.Event()
        assert not await set_within(event, 0.01)
        assert not await set_within(event, -1), "a time that has passed"
        asyncio.get_running_loop().call_soon(event.set)
        assert await set_within(event, 60)
        assert await set_within(event, 60), "it is set already"

    asyncio.run(scenario())


def test_a_loop_that_waits_stops_though_the_event_is_set_in_the_same_moment() -> None:
    async def scenario() -> bool:
        event = asyncio.Event()

        async def drive() -> None:
            while True:
                event.clear()
                await set_within(event, 60)

        driving = asyncio.create_task(drive())
        await asyncio.sleep(0.01)
        event.set()
        await asyncio.sleep(0)
        driving.cancel()
        done, _ = await asyncio.wait({driving}, timeout=5)
        driving.cancel()
        return bool(done)

    assert asyncio.run(scenario())
