"""Waiting for an event with a timeout."""

from __future__ import annotations

import asyncio


async def set_within(event: asyncio.Event, seconds: float) -> bool:
    """Return whether `event` is set within `seconds`.

    Does not use asyncio.wait_for, which before Python 3.12 may swallow a cancellation that arrives as the event is
    set: the waiting loop would continue, and its stop() would wait forever.
    """
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True
