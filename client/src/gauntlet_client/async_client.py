"""`AsyncGauntlet`: the same as `Gauntlet`, for programs of asyncio."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from contracts import Dataset, Envelope, Event, ModelRegistered
from gauntlet_client import calls, operations, waiting
from gauntlet_client.addresses import find
from gauntlet_client.async_subscription import AsyncSubscription
from gauntlet_client.client import HANDLING_SECONDS, TIMEOUT
from gauntlet_client.drivers import AsyncDriver
from gauntlet_client.exchange import ask
from gauntlet_client.reading import options, wanted
from gauntlet_client.results import (
    Candidate,
    Feedback,
    Fleet,
    Freeze,
    Model,
    Predictions,
    Promotion,
    Rollout,
    Verdict,
    Waited,
)
from gauntlet_client.steps import Call

E = TypeVar("E", bound=Event)
T = TypeVar("T")


class AsyncGauntlet:
    """Has the methods of `Gauntlet`, which document them, as coroutines; `events` is iterated over with `async for`.

    One object is for one event loop.
    """

    def __init__(
        self,
        gatekeeper: str | None = None,
        *,
        serving: str | None = None,
        staging: str | None = None,
        trainer: str | None = None,
        drift: str | None = None,
        mlflow: str | None = None,
        kafka: str | None = None,
        token: str | None = None,
        data_dir: str | Path | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        given = {"gatekeeper": gatekeeper, "serving": serving, "staging": staging, "trainer": trainer}
        self.addresses = find({**given, "drift": drift, "mlflow": mlflow}, kafka, token, data_dir)
        self._driver = AsyncDriver(self.addresses, timeout)
        self._subscriptions: list[AsyncSubscription[Any]] = []

    async def register(
        self,
        name: str,
        version: int,
        *,
        reason: str | None = None,
        again: bool = False,
        reference: Dataset | None = None,
        actor: str | None = None,
    ) -> Envelope[ModelRegistered]:
        steps = operations.register(name, version, reason, again, reference, actor, self._has_token)
        return await self._driver.run(steps)

    async def try_version(
        self,
        name: str,
        version: int,
        *,
        policy: str | os.PathLike[str] | None = None,
        golden: str | os.PathLike[str] | None = None,
        label: str | None = None,
        entity: str | None = None,
        event_time: str | None = None,
    ) -> dict[str, Any]:
        given = {"policy": policy, "golden": golden, "label": label, "entity": entity, "event-time": event_time}
        return await self._driver.run(operations.try_version(name, version, self.addresses, given))

    async def wait(
        self,
        name: str,
        version: int,
        for_: waiting.Goal = "verdict",
        *,
        timeout: float = 900.0,
        event_id: str | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Waited:
        return await self._driver.run(waiting.wait(name, version, for_, timeout, event_id, progress))

    async def promote(self, name: str, version: int, *, reason: str, actor: str | None = None) -> Promotion:
        return await self._driver.run(operations.promote(name, version, reason, actor, self._has_token))

    async def rollback(self, name: str, *, reason: str, to: int | None = None, actor: str | None = None) -> Promotion:
        return await self._driver.run(operations.rollback(name, to, reason, actor, self._has_token))

    async def freeze(self, name: str, *, reason: str, actor: str | None = None) -> Freeze:
        return await self._driver.run(operations.freezing(name, "freeze", reason, actor, self._has_token))

    async def unfreeze(self, name: str, *, reason: str, actor: str | None = None) -> Freeze:
        return await self._driver.run(operations.freezing(name, "unfreeze", reason, actor, self._has_token))

    async def approve(self, name: str, *, reason: str, digest: str | None = None, actor: str | None = None) -> Rollout:
        return await self._driver.run(operations.deciding(name, "approve", reason, digest, actor, self._has_token))

    async def refuse(self, name: str, *, reason: str, digest: str | None = None, actor: str | None = None) -> Rollout:
        return await self._driver.run(operations.deciding(name, "refuse", reason, digest, actor, self._has_token))

    async def abort(self, name: str, *, reason: str, actor: str | None = None) -> Rollout:
        return await self._driver.run(operations.deciding(name, "abort", reason, None, actor, self._has_token))

    async def predict(
        self, name: str, rows: Any, *, staging: bool = False, timeout: float | None = None
    ) -> Predictions:
        return await self._run(calls.predict(name, rows, staging, timeout))

    async def feedback(self, name: str, items: Sequence[Mapping[str, Any]]) -> Feedback:
        return await self._run(calls.feedback(name, items))

    async def models(self) -> list[Model]:
        return await self._run(calls.models())

    async def model(self, name: str) -> Model:
        return await self._run(calls.model(name))

    async def candidates(self, name: str, *, limit: int = 100) -> list[Candidate]:
        return await self._run(calls.candidates(name, limit))

    async def verdict(self, name: str, version: int) -> Verdict:
        return await self._run(calls.verdict(name, version))

    async def promotions(self, name: str, *, limit: int = 100) -> list[Promotion]:
        return await self._run(calls.promotions(name, limit))

    async def rollouts(self, name: str | None = None, *, active: bool | None = None, limit: int = 100) -> list[Rollout]:
        return await self._run(calls.rollouts(name, active, limit))

    async def fleet(self, name: str) -> Fleet:
        return await self._run(calls.fleet(name))

    @overload
    def events(
        self,
        *types: type[E],
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> AsyncSubscription[E]: ...
    @overload
    def events(
        self,
        *types: str,
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> AsyncSubscription[Any]: ...
    def events(
        self,
        *types: type[Event] | str,
        group: str,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> AsyncSubscription[Any]:
        return self._subscribed(types, group, model, start, timeout, longest_handling)

    async def handle(
        self,
        handler: Callable[[Envelope[Any]], Awaitable[object]],
        *types: type[Event] | str,
        group: str,
        dead_letters: bool = True,
        model: str | None = None,
        start: str = "earliest",
        timeout: float | None = None,
        longest_handling: float = HANDLING_SECONDS,
    ) -> None:
        made = self._subscribed(types, group, model, start, timeout, longest_handling)
        async with made as found:
            await found.handle(handler, dead_letters)

    async def close(self) -> None:
        try:
            while self._subscriptions:
                await self._subscriptions.pop().close()
        finally:
            await self._driver.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def _has_token(self) -> bool:
        return self.addresses.token is not None

    async def _run(self, call: Call[T]) -> T:
        return await self._driver.run(ask(call))

    def _subscribed(
        self,
        types: Sequence[type[Event] | str],
        group: str,
        model: str | None,
        start: str,
        timeout: float | None,
        longest_handling: float,
    ) -> AsyncSubscription[Any]:
        connection = self.addresses.kafka
        what = wanted(types, model, connection.topic_prefix)
        how = options(group, connection.topic_prefix, start, longest_handling)
        made: AsyncSubscription[Any] = AsyncSubscription(connection, what, how, timeout)
        self._subscriptions.append(made)
        return made
