"""A client of the live feed, as a browser's EventSource is one: it reads in a thread until the stream ends."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import suppress
from typing import Any

import httpx


class LiveClient:
    """`changes`: with the time of arrival (time.time()). `error`: how the stream broke; None: it ended as it should."""

    def __init__(self, url: str, token: str | None = None, **parameters: str) -> None:
        self.changes: list[tuple[float, dict[str, Any]]] = []
        self.ids: list[str] = []
        self.comments = 0
        self.error: Exception | None = None
        self.ended = threading.Event()
        cookies = {} if token is None else {"gauntlet_token": token}
        self._client = httpx.Client(trust_env=False, timeout=httpx.Timeout(10, read=60), cookies=cookies)
        self._response = self._client.send(
            self._client.build_request("GET", f"{url}/console/live", params=parameters), stream=True
        )
        self.status = self._response.status_code
        if self.status == 200:
            assert self._response.headers["content-type"].startswith("text/event-stream")
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        else:
            self.refusal = self._response.read().decode()
            self._client.close()

    def types_of(self, model: str) -> set[str]:
        return {each for _, change in self.changes if model in change["models"] for each in change["types"]}

    def close(self) -> None:
        if self.status == 200:
            connection: socket.socket = self._response.extensions["network_stream"].get_extra_info("socket")
            with suppress(OSError):  # it is closed already
                connection.shutdown(socket.SHUT_RDWR)
            self._reader.join(10)
            self._client.close()

    def _read(self) -> None:
        try:
            for line in self._response.iter_lines():
                if line.startswith("data: "):
                    self.changes.append((time.time(), json.loads(line[6:])))
                elif line.startswith("id: "):
                    self.ids.append(line[4:])
                elif line.startswith(":"):
                    self.comments += 1
        except (httpx.HTTPError, httpx.StreamError) as error:
            self.error = error
        finally:
            self.ended.set()
