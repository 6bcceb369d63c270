"""One attempt at one target, whatever kind it is. It ends in time: a target that hangs is cut off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from chassis.errors import Permanent
from gatekeeper.notifications import apprise_targets
from gatekeeper.notifications.configuration import NotificationsFile
from gatekeeper.notifications.messages import Message, Reply
from gatekeeper.notifications.webhooks import Webhooks

T = TypeVar("T")


class Channels:
    def __init__(self, file: NotificationsFile, timeout: float) -> None:
        """`timeout`: seconds for one attempt."""
        self._file = file
        self._timeout = timeout
        self._webhooks = Webhooks(timeout)
        self._hanging: dict[str, asyncio.Future[Reply]] = {}
        """Threads that were given up, by target: at most one each."""

    async def send(self, target: str, message: Message) -> Reply:
        """Send a message once. Never raises: what went wrong is the reply."""
        try:
            settings = self._file.target(target)
            if settings.apprise is None:
                assert settings.webhook is not None and settings.secret is not None
                return await self._webhooks.send(settings.webhook, self._file.secret(settings.secret), message)
            url = self._file.secret(settings.apprise)
        except Permanent as error:
            return Reply(False, str(error))
        return await self._in_thread(target, lambda: apprise_targets.send(url, message))

    async def stop(self) -> None:
        await self._webhooks.stop()

    async def _in_thread(self, target: str, work: Callable[[], Reply]) -> Reply:
        before = self._hanging.get(target)
        if before is not None and not before.done():
            return Reply(False, "an earlier attempt has not ended yet; no second one is made beside it")
        running = in_own_thread(work, f"notify {target}")
        try:
            return await asyncio.wait_for(asyncio.shield(running), self._timeout)
        except TimeoutError:
            self._hanging[target] = running
            return Reply(False, f"no reply within {self._timeout:g} s")


def in_own_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run blocking work in a thread that does not keep the process from ending, and that no other work waits for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, raised = None, None
        try:
            result = work()
        except BaseException as error:  # it is handed to whoever waits
            raised = error
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, result, raised)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
