"""What a client may hold open, and how much of it: real sockets, and a server with the limits of this project."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from chassis import http_protocol
from chassis.http_protocol import HEAD_BYTES, MOST_HELD_BYTES, CoalescingTransport, LimitedHttpProtocol

SECONDS = 0.5
GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def length_of_body(_scope: Any, receive: Any, send: Any) -> None:
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    body = b"%d bytes" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    before, http_protocol.HEAD_SECONDS = http_protocol.HEAD_SECONDS, SECONDS
    config = uvicorn.Config(length_of_body, http=LimitedHttpProtocol, ws="none", log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    http_protocol.HEAD_SECONDS = before


def said(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionError:
        pass
    return found


def send_all_it_takes(connection: socket.socket, piece: bytes, most: int) -> int:
    """How many bytes the server took before it closed."""
    sent = 0
    try:
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize(
    ("opening", "piece"),
    [
        (GET, b"X-Header: value\r\n" * 1000),
        (GET + b"X-Header: ", b"a" * 10_000),
        (b"GET /", b"a" * 10_000),
        (b"", b"\r\n" * 5000),
        (CHUNKED + b"1;", b"extension" * 1000),
        (CHUNKED + b"1\r\na\r\n0\r\n", b"Trailer: value\r\n" * 1000),
    ],
)
def test_what_is_no_body_has_a_limit(port: int, opening: bytes, piece: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(opening)
        most = 200 * HEAD_BYTES
        assert send_all_it_takes(connection, piece, most) < most
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        assert said(connection).endswith(b"0 bytes")


def test_who_sends_too_large_a_head_is_told_so(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(GET + b"X: " + b"a" * (HEAD_BYTES + 1))
        assert said(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("opening", [b"", b"\r\n", b"GET /a", GET, GET + b"\r\n" + GET, GET + b"\r\n"])
def test_a_head_that_does_not_end_is_not_waited_for(port: int, opening: bytes) -> None:
    """Nor one of which a byte comes now and then."""
    drop = b"\r\n" if opening in (b"", b"\r\n", GET + b"\r\n") else b"X"
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=0.1) as connection:
        connection.sendall(opening)
        while time.monotonic() - began < 30:
            try:
                if not connection.recv(65536):
                    break
            except TimeoutError:
                try:
                    connection.sendall(drop)
                except ConnectionError:
                    break
            except ConnectionError:
                break
    assert SECONDS * 0.9 < time.monotonic() - began < 10


def test_a_body_may_take_longer_and_a_connection_is_kept(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        for _ in range(3):
            connection.sendall(POST)
            for number in range(5):
                time.sleep(SECONDS / 3)  # slower than a head may be; what is tested is time
                connection.sendall(b"%d" % number)
            assert connection.recv(65536).endswith(b"5 bytes")


def test_a_large_body_is_no_head(port: int) -> None:
    body = b"a" * 50 * HEAD_BYTES
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        connection.sendall(head + body)
        assert said(connection).endswith(b"%d bytes" % len(body))


class Recorded:
    """Stands for a socket's transport: what was written to it, call by call."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed, "nothing arrives after that"
        self.written.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def test_what_is_written_in_one_turn_of_the_loop_is_one_write() -> None:
    async def scenario() -> list[bytes]:
        together = CoalescingTransport(transport, asyncio.get_running_loop())  # type: ignore[arg-type]
        together.write(b"head ")
        together.write(b"body")
        assert transport.written == []
        await asyncio.sleep(0)
        together.write(b"x" * MOST_HELD_BYTES)
        assert transport.written == [b"head body"]
        together.write(b"y")
        assert len(transport.written) == 2, "more than is held is written at once"
        together.write(b"last")
        together.close()
        assert transport.written[2:] == [b"last"]
        together.write(b"too late")
        await asyncio.sleep(0)
        assert together.is_closing()
        return transport.written

    transport = Recorded()
    assert asyncio.run(scenario())[2:] == [b"last"]


def test_requests_of_one_packet_are_answered_in_turn(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        last = POST.replace(b"Host", b"Connection: close\r\nHost").replace(b"5", b"2")
        connection.sendall((POST + b"hello") * 3 + last + b"hi")
        answers = said(connection)
    assert [answers.count(b"5 bytes"), answers.count(b"2 bytes")] == [3, 1]
    assert answers.endswith(b"2 bytes")
