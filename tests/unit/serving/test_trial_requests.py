"""Parts of a request during a rollout, without a replica: arms, the lane, joining, failures of the champion."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chassis.model_signature import Column, Signature
from chassis.row_reader import InputBatch
from contracts import Arm, Mode
from serving.inference.batcher import AdaptiveBatcher
from serving.inference.model import LoadedModel, ModelFailed
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest
from serving.loading.model_state import ActiveTrial, ActiveVersion
from serving.policy.routing import arm
from serving.policy.trials import DesiredTrial
from serving.policy.versions import Artifact, DesiredVersion
from serving.settings import Settings
from serving.trials.joining import NotJoined, joined
from serving.trials.trials import Trials

SIGNATURE = Signature((Column("x", "double"),), problem="regression")
ENTITIES = [f"N{number}" for number in range(8)]


class Times:
    """A model that multiplies; fails on 13, and waits for `proceed` on 17."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.proceed = threading.Event()

    def predict(self, given: Any) -> Any:
        values = [row[0] for row in given] if isinstance(given, list) else given["x"].tolist()
        if 13 in values:
            raise ValueError("thirteen")
        if 17 in values:
            assert self.proceed.wait(60)
        return np.array(values, dtype=float) * self.factor


class Kept:
    """A publisher that keeps what it is given."""

    def __init__(self, *, admits: bool = True) -> None:
        self.found: list[TriedRequest] = []
        self._admits = admits
        self.held = 0
        self.left_out = 0

    def admits(self, *_: Any) -> bool:
        return self._admits

    def put(self, _artifact: Any, _table: Any, tried: TriedRequest, **_: Any) -> None:
        self.found.append(tried)

    def leave_out(self, rows: int) -> None:
        self.left_out += rows

    def hold(self, rows: int) -> None:
        self.held += rows

    def release(self, rows: int) -> None:
        self.held -= rows


def active(version: int, model: Any, *, compiled: bool) -> ActiveVersion:
    artifact = Artifact("m", version, f"digest {version}")
    loaded = LoadedModel(artifact, SIGNATURE, [{"x": 1.0}], model)
    loaded.form, loaded.batches = model if compiled else None, True
    counter = SimpleNamespace(inc=lambda _rows: None)
    desired = DesiredVersion(artifact, "", version, version)
    return ActiveVersion(loaded, desired, datetime.now(UTC), SimpleNamespace(), counter, counter)  # type: ignore[arg-type]


def table(*values: float) -> InputBatch:
    rows = [{"x": value} for value in values]
    return InputBatch(SIGNATURE.columns, [(value,) for value in values], rows, ENTITIES[: len(values)])


class World:
    def __init__(
        self, *, mode: Mode, share: float = 0.5, compiled: bool = True, admits: bool = True, rate: float = 2000
    ) -> None:
        limits = {"trial_seconds": 0.1, "request_seconds": 1.0, "max_waiting": 3, "trial_rows_per_second": rate}
        settings = Settings(_env_file=None, **limits)  # type: ignore[arg-type]
        self.batcher = AdaptiveBatcher(settings)
        self.kept = Kept(admits=admits)
        self.trials = Trials(self.batcher, self.kept, settings)  # type: ignore[arg-type]
        self.champion = active(1, Times(1), compiled=compiled)
        self.native = Times(-1)
        challenger = active(2, self.native, compiled=compiled)
        desired = DesiredTrial("r", 1, 1, mode, share, "s", 1, challenger.desired)
        self.trial = ActiveTrial(desired, challenger)

    async def predict(self, *values: float) -> Prediction:
        given = table(*values)
        prediction = await self.trials.predict(self.trial, self.champion, given, "q", with_raw=False)
        if prediction.tried is None or not prediction.tried.is_recorded:
            return prediction  # as outside of a rollout
        self.trials.record(self.champion, given, prediction.tried, request_id="q", latency_ms=1.0)
        return prediction


def run(scenario: Callable[[World], Awaitable[None]], **options: Any) -> None:
    async def whole() -> None:
        world = World(**options)
        await scenario(world)
        world.native.proceed.set()
        await world.trials.stop()
        await world.batcher.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("compiled", [True, False])
def test_rows_are_joined_in_their_order(compiled: bool) -> None:
    async def scenario(world: World) -> None:
        prediction = await world.predict(1, 2, 3, 4, 5, 6)
        factors = [-1 if arm(entity, "s", 0.5) is Arm.CHALLENGER else 1 for entity in ENTITIES[:6]]
        assert set(factors) == {1, -1}
        assert prediction.labels == [factor * value for factor, value in zip(factors, (1, 2, 3, 4, 5, 6), strict=True)]
        [tried] = world.kept.found
        assert tried.answered_by == [2 if factor < 0 else 1 for factor in factors]

    run(scenario, mode=Mode.SPLIT, compiled=compiled)


def test_rows_beyond_the_rate_are_not_measured_and_each_arm_answers_its_own() -> None:
    """Only the first request is within the rate; the others are no part of what is measured of either version."""

    async def shadow(world: World) -> None:
        assert (await world.predict(1)).tried is not None
        assert (await world.predict(2)).tried is None
        await until(lambda: len(world.kept.found) == 1)

    async def split(world: World) -> None:
        expected = [-1.0 if arm(entity, "s", 0.5) is Arm.CHALLENGER else 1.0 for entity in ENTITIES[:3]]
        assert set(expected) == {1.0, -1.0}
        for _ in range(3):
            prediction = await world.predict(1, 1, 1)
            assert prediction.labels == expected
            assert prediction.tried is not None and prediction.tried.answered_by is not None
        assert len(world.kept.found) == 1
        assert world.kept.left_out == 6

    async def by_the_champion(world: World) -> None:
        await world.predict(1)
        prediction = await world.predict(1)
        assert prediction.tried is not None and not prediction.tried.is_recorded
        assert prediction.tried.answered_by == [1], "the response names the version all the same"

    run(shadow, mode=Mode.SHADOW, rate=1e-6)
    run(split, mode=Mode.SPLIT, rate=1e-6)
    run(by_the_champion, mode=Mode.SPLIT, share=1e-9, rate=1e-6)


def test_no_request_leaves_garbage_that_only_the_collector_frees() -> None:
    async def scenario(world: World) -> None:
        await world.predict(1, 2, 3)
        world.kept.found.clear()
        gc.collect()
        gc.disable()
        try:
            await world.predict(1, 2, 3)
            await asyncio.sleep(0)
            world.kept.found.clear()
            left = [each for each in gc.get_objects() if isinstance(each, TriedRequest)]
        finally:
            gc.enable()
        assert left == []

    run(scenario, mode=Mode.SHADOW)


@pytest.mark.parametrize("admits", [True, False])
def test_a_shadow_predicts_after_the_answer_and_only_what_is_published(admits: bool) -> None:
    async def scenario(world: World) -> None:
        prediction = await world.predict(1, 2)
        assert prediction.labels == [1, 2] and prediction.tried is not None
        assert [outcome.arm for outcome in prediction.tried.outcomes] == [Arm.CHAMPION]
        assert (world.kept.found, world.kept.held) == ([], 2 if admits else 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert world.kept.held == 0 and len(world.kept.found) == admits
        if admits:
            outcome = world.kept.found[0].outcomes[1]
            assert outcome.arm is Arm.CHALLENGER and outcome.prediction is not None
            assert outcome.prediction.labels == [-1, -2]

    run(scenario, mode=Mode.SHADOW, admits=admits)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def test_what_waits_for_a_hanging_shadow_is_bounded_and_counts_as_its_error() -> None:
    async def scenario(world: World) -> None:
        world.champion.model.pyfunc.proceed.set()
        for _ in range(10):
            await world.predict(17)
        await until(lambda: len(world.kept.found) == 10)
        errors = [tried.outcomes[1].error or "" for tried in world.kept.found]
        assert sum("requests wait for it already" in error for error in errors) == 6, "a thread, and three that wait"
        assert sum("no prediction within 1 s" in error for error in errors) == 4
        assert world.kept.held == 0

    run_native_shadow(scenario)


def run_native_shadow(scenario: Callable[[World], Awaitable[None]]) -> None:
    run(scenario, mode=Mode.SHADOW, compiled=False)


def test_while_the_replica_is_overloaded_what_a_shadow_has_no_time_for_counts_for_neither() -> None:
    async def scenario(world: World) -> None:
        world.champion.model.pyfunc.proceed.set()
        for _ in range(4):
            await world.predict(17)
        world.batcher._taken = 3
        await world.predict(17)
        await until(lambda: len(world.kept.found) == 1)
        assert [outcome.arm for outcome in world.kept.found[0].outcomes] == [Arm.CHAMPION]
        world.batcher._taken = 0

    run_native_shadow(scenario)


def test_what_is_not_predicted_at_the_end_is_published_without() -> None:
    async def scenario(world: World) -> None:
        world.champion.model.pyfunc.proceed.set()
        await world.predict(17)
        await asyncio.sleep(0)
        await world.trials.stop()
        assert [outcome.arm for outcome in world.kept.found[0].outcomes] == [Arm.CHAMPION]

    run_native_shadow(scenario)


@pytest.mark.parametrize(("mode", "share"), [(Mode.SHADOW, 0.0), (Mode.SPLIT, 0.0), (Mode.SPLIT, 0.5)])
def test_a_champion_that_fails_fails_the_request_and_says_what_to_publish(mode: Mode, share: float) -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(ModelFailed, match="thirteen") as failure:
            await world.trials.predict(world.trial, world.champion, table(*[13.0] * 6), "q", with_raw=False)
        tried = failure.value.tried
        assert tried is not None
        champions = [outcome for outcome in tried.outcomes if outcome.arm is Arm.CHAMPION]
        assert champions and all(outcome.error and "thirteen" in outcome.error for outcome in champions)

    run(scenario, mode=mode, share=share, compiled=False)


A, B = np.array([1.0, 2.0]), np.array([3.0])


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (A, B, [1.0, 3.0, 2.0]),
        (np.array([1, 2]), B, [1, 3.0, 2]),
        ([1, "a"], [None], [1, None, "a"]),
        (np.array([[1, 2], [3, 4]]), np.array([[5, 6]]), [[1, 2], [5, 6], [3, 4]]),
        (pd.Series(A, index=[7, 8]), pd.Series(B), [1.0, 3.0, 2.0]),
    ],
)
def test_raw_outputs_are_joined_each_value_as_it_was(first: Any, second: Any, expected: Any) -> None:
    parts = [([0, 2], Prediction(first, [0, 2], None)), ([1], Prediction(second, [1], None))]
    found = joined(3, parts, with_raw=True)
    assert found.labels == [0, 1, 2]
    values = found.raw if isinstance(found.raw, list) else found.raw.tolist()
    assert values == expected and [type(each) for each in values] == [type(each) for each in expected]


def test_tables_are_joined_by_rows() -> None:
    parts = [
        ([0, 2], Prediction(pd.DataFrame({"p": [1.0, 2.0]}), [0, 2], [0.1, 0.3])),
        ([1], Prediction(pd.DataFrame({"p": [3.0]}), [1], [0.2])),
    ]
    found = joined(3, parts, with_raw=True)
    assert found.raw["p"].tolist() == [1.0, 3.0, 2.0] and found.raw.index.tolist() == [0, 1, 2]
    assert found.scores == [0.1, 0.2, 0.3]


def test_outputs_that_are_no_rows_are_not_joined() -> None:
    parts = [([0, 2], Prediction({"a": A}, [0, 2], None)), ([1], Prediction({"a": B}, [1], None))]
    with pytest.raises(NotJoined, match="dict"):
        joined(3, parts, with_raw=True)
