"""The process of a model that is not loaded in its replica's: loads it, and predicts what the replica sends.

`python -m serving.inference.model_host SOCKET FOLDER PROBLEM`: a descriptor, an MLflow model's folder, and the problem
by which it was judged, if it is known. A message in either direction is a pickle (`chassis.processes.messages`). The
process sends one outcome when it has loaded the model, `(True, HostedScorer)`, and one for each request:
`(True, output)`; or `(False, error)`. A request is a `Request`.

It ends when the replica closes the socket, or ends in whatever way.
"""

from __future__ import annotations

import pickle
import socket
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from chassis.processes.messages import requests_of, send


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


def main(handle: int, folder: Path, problem: str | None) -> None:
    sys.dont_write_bytecode = True  # .pyc files in the cache would change the model's digest
    replica = socket.socket(fileno=handle)
    requests = requests_of(replica)

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
