"""Messages over a socket to a process of the service: the length (8 bytes, little-endian), and the bytes."""

from __future__ import annotations

import os
import queue
import socket
import threading

LENGTH = 8


def send(target: socket.socket, message: bytes) -> None:
    target.sendall(len(message).to_bytes(LENGTH, "little") + message)


def received(source: socket.socket, most: int | None = None) -> bytes:
    """Return the next message. Raises EOFError when the other side has closed, TimeoutError as the socket does.

    Raises OverflowError, with its size, for a message of more than `most` bytes.
    """
    size = int.from_bytes(_exactly(source, LENGTH), "little")
    if most is not None and size > most:
        raise OverflowError(size)
    return _exactly(source, size)


def requests_of(source: socket.socket) -> queue.SimpleQueue[bytes]:
    """Read messages in a thread that ends this process with the other side, also while it computes."""
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                found.put(received(source))
        except EOFError:
            os._exit(0)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return found


def _exactly(source: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            piece = source.recv(min(size - len(parts), 1 << 20))
        except ConnectionError as error:
            raise EOFError("the other side has ended") from error
        if not piece:
            raise EOFError("the other side has closed")
        parts += piece
    return bytes(parts)
