"""Requests share a call of the model, each gets its own answer; who does not fit the queue is told to come again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np
import pytest

from chassis.http import Problem
from chassis.model_signature import Column, Signature
from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from serving.inference.batcher import AdaptiveBatcher
from serving.inference.model import LoadedModel, ModelFailed
from serving.inference.prediction import Prediction
from serving.policy.versions import Artifact
from serving.settings import Settings

SIGNATURE = Signature((Column("x", "double"),), problem="regression")


class Doubling:
    """A pyfunc and a form: answers twice the column, remembers the sizes of its batches; fails on 13, and on None."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.proceed = threading.Event()
        self.proceed.set()

    def predict(self, given: Any) -> Any:
        assert self.proceed.wait(60)
        values = [row[0] for row in given] if isinstance(given, list) else given["x"].tolist()
        self.asked.append(len(values))
        if 13 in values:
            raise ValueError("thirteen")
        return np.array(values, dtype=float) * 2


def model(doubling: Any, *, form: Any = None, batches: bool = True) -> LoadedModel:
    loaded = LoadedModel(Artifact("m", 1, ""), SIGNATURE, [{"x": 1.0}], doubling)
    loaded.form, loaded.batches = form, batches
    return loaded


def table(*values: float | None) -> InputBatch:
    return InputBatch(SIGNATURE.columns, [(value,) for value in values], [{"x": value} for value in values])


def settings(**changes: Any) -> Settings:
    return Settings(_env_file=None, **{"predict_threads": 1, "max_waiting": 20} | changes)


def run(scenario: Callable[[AdaptiveBatcher], Awaitable[None]], **changes: Any) -> None:
    async def whole() -> None:
        batcher = AdaptiveBatcher(settings(**changes))
        await scenario(batcher)
        await batcher.stop()

    asyncio.run(whole())


def labels(predictions: Sequence[Any]) -> list[Any]:
    return [prediction.labels if isinstance(prediction, Prediction) else type(prediction) for prediction in predictions]


async def together(batcher: AdaptiveBatcher, loaded: LoadedModel, *tables: InputBatch) -> list[Any]:
    return await asyncio.gather(*(batcher.predict(loaded, each) for each in tables), return_exceptions=True)


def test_what_arrives_in_one_turn_of_the_loop_is_one_batch_of_a_compiled_form() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        form = Doubling()
        answered = await together(batcher, model(None, form=form), table(1), table(2, 3), table(4))
        assert labels(answered) == [[2], [4, 6], [8]]
        assert form.asked == [4]
        assert labels([await batcher.predict(model(None, form=form), table(5))]) == [[10]]
        assert form.asked == [4, 1], "nobody waits for others on an idle replica"

    run(scenario)


def test_while_the_model_is_busy_requests_gather_to_one_batch() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        loaded = model(pyfunc)
        pyfunc.proceed.clear()
        first = asyncio.create_task(batcher.predict(loaded, table(1)))
        await asyncio.sleep(0)
        rest = [asyncio.create_task(batcher.predict(loaded, table(number))) for number in range(2, 6)]
        await asyncio.sleep(0)
        pyfunc.proceed.set()
        assert labels([await first, *await asyncio.gather(*rest)]) == [[2], [4], [6], [8], [10]]
        assert pyfunc.asked == [1, 4]

    run(scenario)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_row_that_the_model_fails_on_harms_no_other_request(compiled: bool) -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        loaded = model(pyfunc, form=Doubling() if compiled else None)
        answered = await together(batcher, loaded, table(1), table(13), table(2, None), table(4))
        assert labels(answered)[0] == [2] and labels(answered)[3] == [8]
        assert isinstance(answered[1], ModelFailed) and "thirteen" in str(answered[1])
        assert isinstance(answered[2], RowsRefused | ModelFailed)

    run(scenario)


def test_a_model_that_answers_rows_differently_among_others_is_asked_one_request_at_a_time() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        answered = await together(batcher, model(pyfunc, batches=False), table(1), table(2), table(3, 4))
        assert labels(answered) == [[2], [4], [6, 8]]
        assert pyfunc.asked == [1, 1, 2]

    run(scenario)


def test_batches_have_a_limit_and_a_larger_request_is_one_of_its_own() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        pyfunc.proceed.clear()
        asked = asyncio.create_task(together(batcher, model(pyfunc), *(table(*range(n)) for n in (1, 2, 2, 5, 1, 2))))
        await asyncio.sleep(0)
        pyfunc.proceed.set()
        assert [len(each) for each in labels(await asked)] == [1, 2, 2, 5, 1, 2]
        assert pyfunc.asked == [1, 4, 5, 3]

    run(scenario, batch_rows=4)


def test_one_that_does_not_fit_the_queue_is_told_to_come_again() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        loaded = model(pyfunc)
        pyfunc.proceed.clear()
        inside = [asyncio.create_task(batcher.predict(loaded, table(number))) for number in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refusal:
            await batcher.predict(loaded, table(3))
        assert (refusal.value.status, refusal.value.headers) == (503, {"Retry-After": "1"})
        pyfunc.proceed.set()
        assert labels(await asyncio.gather(*inside)) == [[0], [2], [4]]
        assert labels([await batcher.predict(loaded, table(4))]) == [[8]]

    run(scenario, max_waiting=2)


def test_one_that_waits_too_long_is_told_so_and_the_next_is_answered() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        loaded = model(pyfunc)
        pyfunc.proceed.clear()
        with pytest.raises(Problem) as refusal:
            await batcher.predict(loaded, table(1))
        assert refusal.value.status == 503 and "SERVING_REQUEST_SECONDS" in refusal.value.detail
        pyfunc.proceed.set()

    run(scenario, request_seconds=0.05)


def test_two_models_take_turns() -> None:
    async def scenario(batcher: AdaptiveBatcher) -> None:
        one, other = Doubling(), Doubling()
        first, second = model(one, batches=False), model(other)
        answered = await asyncio.gather(
            together(batcher, first, table(1), table(2), table(3)), together(batcher, second, table(4), table(5))
        )
        assert [labels(each) for each in answered] == [[[2], [4], [6]], [[8], [10]]]
        assert (one.asked, other.asked) == ([1, 1, 1], [2])

    run(scenario)


def test_a_form_that_breaks_leaves_its_rows_to_the_model_and_nobody_waits_for_ever() -> None:
    class Broken:
        def predict(self, rows: Any) -> Any:
            raise RuntimeError("the engine is gone")

    async def scenario(batcher: AdaptiveBatcher) -> None:
        answered = await together(batcher, model(Doubling(), form=Broken()), table(1), table(2, 3))
        assert labels(answered) == [[2], [4, 6]]

    run(scenario)


def test_what_the_form_leaves_to_a_model_that_hangs_has_its_time_too() -> None:
    class Refusing:
        def predict(self, rows: Any) -> Any:
            raise ValueError("an unknown category")

    async def scenario(batcher: AdaptiveBatcher) -> None:
        pyfunc = Doubling()
        pyfunc.proceed.clear()
        with pytest.raises(Problem, match="SERVING_REQUEST_SECONDS"):
            await batcher.predict(model(pyfunc, form=Refusing()), table(1))
        pyfunc.proceed.set()

    run(scenario, request_seconds=0.05)
