"""Bodies that come in pieces share one room; whoever finds it full is told to come again, and it is given back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chassis.http import Problem
from serving.http.asgi import AsgiEndpoint, BodyBudget, RawRequest, RawResponse
from serving.settings import Settings

LIMIT = 4096
PIECE = b"a" * 1000


class Client:
    """One request, of which the test sends the pieces."""

    def __init__(self, asgi_endpoint: AsgiEndpoint) -> None:
        self.arriving: asyncio.Queue[Any] = asyncio.Queue()
        self.sent: list[Any] = []
        self.task = asyncio.create_task(
            asgi_endpoint({"headers": [], "path": "/", "type": "http"}, self.arriving.get, self.send)
        )  # type: ignore[arg-type]

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    async def piece(self, body: bytes = PIECE, *, more: bool = True) -> None:
        self.arriving.put_nowait({"type": "http.request", "body": body, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)

    async def status(self) -> int:
        await asyncio.wait_for(self.task, 10)
        return int(self.sent[0]["status"])


async def _echo(request: RawRequest) -> RawResponse:
    if request.body.startswith(b"bad"):
        raise Problem(422, "bad")
    if request.body.startswith(b"worse"):
        raise RuntimeError
    return RawResponse(b"%d" % len(request.body))


def settings() -> Settings:
    return Settings(_env_file=None, max_body_bytes=LIMIT, body_seconds=5)


def test_bodies_in_pieces_share_one_room() -> None:
    async def scenario() -> None:
        budget = BodyBudget(3 * len(PIECE))
        one, other = AsgiEndpoint(_echo, settings(), budget), AsgiEndpoint(_echo, settings(), budget)
        first, second, third = Client(one), Client(other), Client(one)
        for client in (first, second, third):
            await client.piece()
        await second.piece()
        assert await second.status() == 503, "there is no room for a fourth piece"
        assert (b"retry-after", b"1") in second.sent[0]["headers"]
        await first.piece(more=False)
        assert await first.status() == 200
        await third.piece(more=False)
        assert await third.status() == 200

    asyncio.run(scenario())


@pytest.mark.parametrize("end", ["good", "bad", "worse", "too large", "gone"])
def test_room_is_given_back_however_a_request_ends(end: str) -> None:
    expected = {"good": 200, "bad": 422, "worse": 500, "too large": 413, "gone": 400}[end]

    async def scenario() -> None:
        budget = BodyBudget(LIMIT + 2000)
        asgi_endpoint = AsgiEndpoint(_echo, settings(), budget)
        for _ in range(20):
            client = Client(asgi_endpoint)
            await client.piece(end.encode())
            if end == "gone":
                client.arriving.put_nowait({"type": "http.disconnect"})
            else:
                await client.piece(b"a" * LIMIT if end == "too large" else PIECE, more=False)
            assert await client.status() == expected
        budget.take(LIMIT + 2000)

    asyncio.run(scenario())


def test_a_body_in_one_piece_needs_no_room() -> None:
    async def scenario() -> None:
        client = Client(AsgiEndpoint(_echo, settings(), BodyBudget(0)))
        await client.piece(more=False)
        assert await client.status() == 200

    asyncio.run(scenario())
