"""The process of a model that is not loaded in its replica's: loads it, and predicts what the replica sends.

`python -m serving.inference.model_host SOCKET FOLDER PROBLEM`: a descriptor, an MLflow model's folder, and the problem
by which it was judged, if it is known. A message in either direction is its length (8 bytes, little-endian) and a
pickle. The process sends one outcome when it has loaded the model, `(True, HostedScorer)`, and one for each request:
`(True, output)`; or `(False, error)`. A request is a `Request`.

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
from typing import Any, NamedTuple

LENGTH = 8


class Request(NamedTuple):
    """`scores`: predict as the model was judged (`chassis.scoring`), not as MLflow's scoring server."""

    scores: bool
    data: Any
    params: Any


class HostedScorer(NamedTuple):
    """A `chassis.scoring.Scorer`, without the model. `own`: it predicts otherwise than MLflow's scoring server."""

    method: str
    classes: tuple[Any, ...] | None
    no_scores: str | None
    certain: bool
    own: bool


def received(source: socket.socket, most: int | None = None) -> bytes:
    """Return the next message. Raises EOFError when the other side has closed, TimeoutError as the socket does.

    Raises OverflowError, with its size, for a message of more than `most` bytes.
    """
    size = int.from_bytes(_exactly(source, LENGTH), "little")
    if most is not None and size > most:
        raise OverflowError(size)
    return _exactly(source, size)


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


def main(handle: int, folder: Path, problem: str | None) -> None:
    sys.dont_write_bytecode = True  # .pyc files in the cache would change the model's digest
    replica = socket.socket(fileno=handle)
    requests = _requests(replica)

    model: Any = None
    scorer: Any = None

    def load() -> HostedScorer:
        nonlocal model, scorer
        import mlflow.pyfunc  # here: that it cannot be imported is an outcome, too

        from chassis.scoring import scorer_of

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = mlflow.pyfunc.load_model(str(folder))
        scorer = scorer_of(found, problem)
        model = found
        return HostedScorer(scorer.method, scorer.classes, scorer.no_scores, scorer.certain, scorer.pyfunc is not model)

    send(replica, outcome(load))
    if model is None:
        return
    while True:
        request: Request = pickle.loads(requests.get())
        if request.scores:
            send(replica, outcome(partial(scorer.predict, request.data)))
        else:
            send(replica, outcome(partial(model.predict, request.data, params=request.params)))


if __name__ == "__main__":
    # Not as `__main__`: the replica would find no class in its own module of that name.
    from serving.inference.model_host import main as under_its_name

    under_its_name(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] or None)
