"""Doing the steps of an operation: the only place where the client sends, waits, publishes or starts anything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from contracts.cloudevents import encode
from gauntlet_client.addresses import Addresses, is_here
from gauntlet_client.errors import ClientError, Unreachable
from gauntlet_client.steps import Call, Pause, Publish, Response, Run, Send, Step, Steps

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

CONNECT_SECONDS = 3.0


class SyncDriver:
    """Does steps one after another, in the caller's thread."""

    def __init__(self, addresses: Addresses, timeout: float) -> None:

        self.addresses, self._timeout = addresses, timeout
        self._clients: dict[str, httpx.Client] = {}

    def run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = self._do(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            done: T = end.value
            return done

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return self._send(step.call)
        if isinstance(step, Pause):
            return time.sleep(step.seconds)
        if isinstance(step, Publish):
            from gauntlet_client.kafka_sync import publish

            return publish(self.addresses.kafka, step.envelope.data.topic, *encode(step.envelope))
        environment = {**os.environ, **step.variables}
        ended = subprocess.run(step.command, env=environment, capture_output=True, text=True, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    def _send(self, call: Call[Any]) -> Response:
        import httpx

        if call.part not in self._clients:
            self._clients[call.part] = httpx.Client(**_options(self.addresses, call.part, self._timeout))
        try:
            response = self._clients[call.part].request(call.method, call.path, **_arguments(call, self._timeout))
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.addresses, call, error) from error
        return Response(response.status_code, response.headers, response.content)


class AsyncDriver:
    """Does the same steps without blocking the event loop."""

    def __init__(self, addresses: Addresses, timeout: float) -> None:
        self.addresses, self._timeout = addresses, timeout
        self._clients: dict[str, httpx.AsyncClient] = {}

    async def run(self, steps: Steps[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._do(step)
                except ClientError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            done: T = end.value
            return done

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _do(self, step: Step) -> Any:
        if isinstance(step, Send):
            return await self._send(step.call)
        if isinstance(step, Pause):
            return await asyncio.sleep(step.seconds)
        if isinstance(step, Publish):
            from gauntlet_client.kafka_async import publish

            return await publish(self.addresses.kafka, step.envelope.data.topic, *encode(step.envelope))
        return await _run(step)

    async def _send(self, call: Call[Any]) -> Response:
        import httpx

        if call.part not in self._clients:
            self._clients[call.part] = httpx.AsyncClient(**_options(self.addresses, call.part, self._timeout))
        arguments = _arguments(call, self._timeout)
        try:
            response = await self._clients[call.part].request(call.method, call.path, **arguments)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise unreachable(self.addresses, call, error) from error
        return Response(response.status_code, response.headers, response.content)


def unreachable(addresses: Addresses, call: Call[Any], error: Exception) -> Unreachable:
    """Return the error for a request without a response."""
    import httpx

    at = addresses.of(call.part)
    late = isinstance(error, httpx.TimeoutException)
    why = "no answer in time" if late else str(error) or type(error).__name__
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.InvalidURL)
    return Unreachable(
        f"{call.part} at {at} does not answer: {why}",
        f"Is the stack up (`gauntlet status`), and is that its address? {call.part}= or its variable names another.",
        sent=sent,
    )


def _options(addresses: Addresses, part: str, timeout: float) -> dict[str, Any]:
    import httpx

    at = addresses.of(part)
    return {
        "base_url": at,
        "headers": addresses.headers(part),
        "auth": addresses.mlflow_login if part == "mlflow" else None,
        "timeout": httpx.Timeout(timeout, connect=min(CONNECT_SECONDS, timeout)),
        "trust_env": not is_here(at),  # a proxy of the environment is for the internet
    }


def _arguments(call: Call[Any], timeout: float) -> Mapping[str, Any]:
    import httpx

    seconds = call.seconds or timeout
    found: dict[str, Any] = {"params": dict(call.params)} if call.params else {}
    if call.body is not None:
        found["json"] = call.body
    return found | {"timeout": httpx.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds))}


async def _run(step: Run) -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *step.command, env={**os.environ, **step.variables}, stdout=pipe, stderr=pipe
    )
    try:
        out, err = await process.communicate()
    except BaseException:
        with suppress(ProcessLookupError):
            process.kill()
        raise
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")
