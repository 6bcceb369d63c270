"""What a replica and the process of a model say to each other: `model_host` describes it."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

LENGTH = 8


@dataclass(frozen=True)
class Loaded:
    """The fields of its `chassis.scoring.Scorer`. `own`: the scorer does not predict what the model itself does."""

    method: str
    classes: tuple[Any, ...] | None
    no_scores: str | None
    certain: bool
    own: bool


@dataclass(frozen=True)
class Call:
    """One prediction: by the model itself, or by its scorer."""

    data: Any
    params: Any = None
    scores: bool = False


def received(source: socket.socket) -> bytes:
    """Return the next message. Raises EOFError when the other side has closed, TimeoutError as the socket does."""
    return _exactly(source, int.from_bytes(_exactly(source, LENGTH), "little"))


def send(target: socket.socket, message: bytes) -> None:
    target.sendall(len(message).to_bytes(LENGTH, "little") + message)


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
