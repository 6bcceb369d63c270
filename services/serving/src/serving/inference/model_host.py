"""The process of a model that brings code of its own: loads it, and predicts what its replica sends.

`python -m serving.inference.model_host SOCKET FOLDER`: a descriptor, and an MLflow model's folder. A message in either
direction is its length (8 bytes, little-endian) and a pickle. The process sends one outcome when it has loaded the
model, and one for each request (the arguments of `predict`): `(True, output)`, or `(False, error)`.

It ends when the replica closes the socket, or ends in whatever way.
"""

from __future__ import annotations

import os
import pickle
import queue
import socket
import sys
import threading
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

LENGTH = 8


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


def outcome(work: Callable[[], Any]) -> bytes:
    """Return the pickle of what `work` returns, or of what it raises."""
    try:
        return pickle.dumps((True, work()), protocol=pickle.HIGHEST_PROTOCOL)
    except BaseException as error:  # SystemExit, too: a third-party model may raise anything
        return pickle.dumps((False, _portable(error)), protocol=pickle.HIGHEST_PROTOCOL)


def _portable(error: BaseException) -> Exception:
    """Return the error itself where the replica has its class and can restore it; otherwise its words."""
    if isinstance(error, Exception) and type(error).__module__.partition(".")[0] in ("builtins", "mlflow"):
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:  # its class takes other arguments than it keeps
            pass
        else:
            return error
    return RuntimeError(f"{type(error).__name__}: {error}")


def _requests(source: socket.socket) -> queue.SimpleQueue[bytes]:
    """Read requests in a thread, so that the end of the replica is noticed while the model predicts."""
    found: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def read() -> None:
        try:
            while True:
                found.put(received(source))
        except EOFError:
            os._exit(0)

    threading.Thread(target=read, name="requests", daemon=True).start()
    return found


def main(handle: int, folder: Path) -> None:
    sys.dont_write_bytecode = True  # .pyc files in the cache would change the model's digest
    replica = socket.socket(fileno=handle)
    requests = _requests(replica)

    model: Any = None

    def load() -> None:
        nonlocal model
        import mlflow.pyfunc  # here: that it cannot be imported is an outcome, too

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = mlflow.pyfunc.load_model(str(folder))

    send(replica, outcome(load))
    if model is None:
        return
    while True:
        data, params = pickle.loads(requests.get())
        send(replica, outcome(partial(model.predict, data, params=params)))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
