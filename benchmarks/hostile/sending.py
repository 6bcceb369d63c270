"""Sends cases over raw sockets, many connections at a time, and counts the replies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from benchmarks.hostile.bodies import Case

REPLY_SECONDS = 90.0


@dataclass
class Tally:
    """Counts of one class. `no_reply`: the server or the client closed; `timeouts`: neither reply nor close."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    no_reply: int = 0
    timeouts: int = 0
    wrong: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Beginnings of requests and of their 5xx responses other than 503."""


class Client:
    """One connection at a time; a new one when the last was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, case: Case, tally: Tally) -> None:
        tally.cases += 1
        sent = bytearray()
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            reader, writer = self._streams
            writing = asyncio.create_task(self._write(writer, case, sent))
            try:
                keeps = await asyncio.wait_for(self._replies(reader, case, tally, sent), REPLY_SECONDS)
                if case.replies == 0 or keeps:
                    await asyncio.wait_for(writing, REPLY_SECONDS)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
        except TimeoutError:
            tally.timeouts += 1
            keeps = False
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            tally.no_reply += 1
            keeps = False
        if not (keeps and case.keeps):
            self.close()

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _write(self, writer: asyncio.StreamWriter, case: Case, sent: bytearray) -> None:
        for number, piece in enumerate(case.pieces):
            if number and case.pause:
                await asyncio.sleep(case.pause)
            sent += piece[: 2000 - len(sent)] if len(sent) < 2000 else b""
            writer.write(piece)
            await writer.drain()

    async def _replies(self, reader: asyncio.StreamReader, case: Case, tally: Tally, sent: bytearray) -> bool:
        """Read replies; return whether the server keeps the connection open."""
        if case.replies == 0:
            tally.no_reply += 1
            return False
        for _ in range(case.replies):
            status, head, body = await _reply(reader)
            tally.statuses[status] += 1
            if status >= 500 and status != 503:
                tally.wrong.append((bytes(sent), body[:500]))
            if b"connection: close" in head:
                return False
        return True


async def _reply(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head.split(b" ", 2)[1])
        if status != 100:
            break
    if b"transfer-encoding: chunked" in head:
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size + 2)
        await reader.readexactly(2)
        return status, head, body
    if status in (204, 304) or b"content-length:" not in head:
        return status, head, b""
    size = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    return status, head, await reader.readexactly(size)


async def send_all(port: int, cases: Iterator[tuple[str, Case]], connections: int, tallies: dict[str, Tally]) -> None:
    """Send `cases`, shared by all connections: each takes the next one after finishing its last."""

    async def one() -> None:
        client = Client(port)
        while found := list(islice(cases, 1)):
            ((name, case),) = found
            await client.send(case, tallies[name])
        client.close()

    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one())
