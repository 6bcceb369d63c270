"""Webhooks: a signed POST. A redirect is not followed: who runs the stack decided where messages go."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gatekeeper.notifications.masking import masked
from gatekeeper.notifications.messages import Message, Reply
from gatekeeper.notifications.signature import headers_of, keys_of

if TYPE_CHECKING:
    import httpx

GONE = 410
READ = 2_000
"""Bytes of a response that are read: its beginning is shown, and nothing else is done with it."""


class Webhooks:
    """One client for all webhooks. Call it on one event loop."""

    def __init__(self, timeout: float) -> None:
        """`timeout`: seconds for a whole attempt, however slowly the target sends."""
        self._timeout = timeout
        self._client: httpx.AsyncClient | None = None

    async def send(self, url: str, secret: str, message: Message) -> Reply:
        """Raises Permanent for a secret that cannot be used."""
        keys = keys_of(secret)
        body = message.json_body()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Gauntlet",
            **headers_of(message.id, int(time.time()), body, keys),
        }
        try:
            async with asyncio.timeout(self._timeout):
                status, text = await self._post(url, body, headers)
        except TimeoutError:
            return Reply(False, f"no reply within {self._timeout:g} s")
        except Exception as error:  # of the client, of TLS, of a URL that is none
            return Reply(False, masked(f"{type(error).__name__}: {error}", secret))
        shown = masked(f"{status} {text}".strip(), secret)
        if 300 <= status < 400:
            return Reply(False, f"{shown} (a redirect, which is not followed)")
        return Reply(200 <= status < 300, shown, final=status == GONE)

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
        if self._client is None:
            self._client = await asyncio.to_thread(_client, self._timeout)
        async with self._client.stream("POST", url, content=body, headers=headers) as response:
            begun = b""
            async for chunk in response.aiter_raw():
                begun += chunk
                if len(begun) >= READ:
                    break
            return response.status_code, f"{response.reason_phrase} {begun[:READ].decode(errors='replace')}"


def _client(timeout: float) -> httpx.AsyncClient:
    import httpx  # takes 0.1 s: in a thread, and only where a webhook is configured

    return httpx.AsyncClient(timeout=timeout, follow_redirects=False)
