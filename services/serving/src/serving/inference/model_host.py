"""The process of a model that brings code of its own: loads it, and predicts what its replica sends.

`python -m serving.inference.model_host SOCKET FOLDER [PROBLEM]`: a descriptor, an MLflow model's folder, and the
problem that it was judged by. A message in either direction is its length (8 bytes, little-endian) and a pickle. The
process sends one outcome when it has loaded the model, with what is known of its scores (`Loaded`), and one for each
request (`Call`): `(True, output)`, or `(False, error)`.

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

from serving.inference.host_protocol import Call, Loaded, received, send


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

    def load() -> Loaded:
        nonlocal model, scorer
        import mlflow.pyfunc  # here: that it cannot be imported is an outcome, too

        from chassis.scoring import scorer_of

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = mlflow.pyfunc.load_model(str(folder))
        scorer = scorer_of(loaded, problem)
        model = loaded
        own = scorer.pyfunc is not model
        return Loaded(scorer.method, scorer.classes, scorer.no_scores, scorer.certain, own)

    send(replica, outcome(load))
    if model is None:
        return
    while True:
        call: Call = pickle.loads(requests.get())
        work = partial(scorer.predict, call.data) if call.scores else partial(model.predict, call.data, call.params)
        send(replica, outcome(work))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
