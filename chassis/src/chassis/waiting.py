"""Waiting for an event that may never come."""

from __future__ import annotations

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Whether `event` was set before `seconds` had passed.

    Not by asyncio.wait_for, which before Python 3.12 may swallow a cancellation that comes as the event is set: a loop
    that waits here would then go on, and whoever stops it would wait for ever.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
