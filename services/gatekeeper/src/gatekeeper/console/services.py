"""Drift, serving and the trainer over HTTP, as the console shows them; one that is away is shown as away."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

SECONDS = 2.0
"""A page waits no longer for another service."""


@dataclass(frozen=True)
class Away:
    """A service that did not respond: `reason` for people."""

    service: str
    url: str
    reason: str
    status: int | None = None
    """Of its response; None without one."""


class Services:
    """Reads of other services, with the token of whoever looks: a page shows no more than they may read."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        """`urls`: by the names drift, serving and trainer."""
        self.urls = dict(urls)
        self._client: httpx.AsyncClient | None = None

    async def get(self, service: str, path: str, authorization: str | None, **parameters: Any) -> Any | Away:
        """Return the JSON body of a GET; Away when there is none in time, or it is refused."""
        return await self._read(service, path, authorization, parameters, (200,), lambda response: response.json())

    async def ready(self, service: str, authorization: str | None) -> Any | Away:
        """Return the JSON body of /ready, of a service that is not ready, too."""
        return await self._read(service, "/ready", authorization, {}, (200, 503), lambda response: response.json())

    async def text(self, service: str, path: str, authorization: str | None) -> str | Away:
        """Return the text of a GET, as `get` does."""
        found: str | Away = await self._read(service, path, authorization, {}, (200,), lambda response: response.text)
        return found

    async def _read(
        self,
        service: str,
        path: str,
        authorization: str | None,
        parameters: Mapping[str, Any],
        good: Collection[int],
        read: Callable[[httpx.Response], Any],
    ) -> Any | Away:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=SECONDS, follow_redirects=False)
        url = self.urls[service].rstrip("/")
        headers = {"Authorization": authorization} if authorization else {}
        try:
            response = await self._client.get(url + path, params=parameters, headers=headers)
        except httpx.HTTPError as error:
            return Away(service, url, str(error) or type(error).__name__)
        if response.status_code not in good:
            return Away(service, url, f"it returned {response.status_code} for {path}", response.status_code)
        try:
            return read(response)
        except ValueError as error:
            return Away(service, url, f"its response to {path} is not JSON: {error}")

    async def stop(self) -> None:
        if self._client is not None:
            await self._client.aclose()
            self._client = None
