"""A bounded queue: who does not fit is told to come again, and the others are answered."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from chassis.http import Problem
from serving.routes import Desk
from serving.settings import Settings


class Slow:
    """Stands for a predictor whose model is slow."""

    def __init__(self) -> None:
        self.proceed = threading.Event()

    def answer(self, number: int) -> Any:
        assert self.proceed.wait(60)
        return number


def test_one_that_does_not_fit_the_queue_is_told_to_come_again() -> None:
    async def scenario() -> None:
        desk, slow = Desk(Settings(_env_file=None, predict_threads=1, max_waiting=2)), Slow()
        inside = [asyncio.create_task(desk.run(slow, number)) for number in range(3)]  # type: ignore[arg-type]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refusal:
            await desk.run(slow, 3)  # type: ignore[arg-type]
        assert refusal.value.status == 503
        assert refusal.value.headers == {"Retry-After": "1"}
        slow.proceed.set()
        assert await asyncio.gather(*inside) == [0, 1, 2]
        assert await desk.run(slow, 4) == 4  # type: ignore[arg-type]
        await desk.stop()

    asyncio.run(scenario())
