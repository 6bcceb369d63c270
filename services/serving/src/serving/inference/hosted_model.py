"""A pyfunc whose model is in a process of its own, because it brings modules that others may have by the same name.

MLflow puts a model's `code_paths` first on `sys.path`, and the interpreter keeps every imported module by its name. So
in one process, two versions of a model that bring a module `features` share the one that was imported first: the other
predicts with code that is not its own, or cannot be loaded, and a restart changes which.

Why a process, and not `sys.modules` exchanged around each call: the table is one for all threads. Exchanged without a
lock, another thread imports from the wrong version; under a lock held while a model loads or predicts, the previous
version cannot answer until the next one is loaded. Nor can a finder keyed by the version help: an import looks into the
table first, and what it finds stays there. And code imports long after it was loaded: inside `predict`, in threads that
it starts, by name (`importlib`), while it unpickles. In a process of its own, all of that finds its own modules only.
"""

from __future__ import annotations

import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from mlflow.models import Model

from chassis.errors import Transient
from chassis.processes.launcher import Process, start
from chassis.scoring import Scorer, numbers_of
from chassis.telemetry import get_logger
from serving.inference.model_host import HostedScorer, Request, received, send
from serving.policy.versions import retry_delay

END_SECONDS = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a process that ended is started again; doubled each time that it ends again at once."""

log = get_logger(__name__)


class HostEnded(RuntimeError):
    """The model's process ended, or was ended because it did not respond."""


def brings_code(folder: Path) -> bool:
    """Return whether a model brings modules of its own (`code_paths`)."""
    return bool(Model.load(str(folder)).flavors.get("python_function", {}).get("code"))


class HostedModel:
    """As much of a pyfunc as serving uses. Any number of threads may predict; the process predicts one call at a time.

    A process that ends is started again by the next call, after a pause; until then calls raise HostEnded.
    """

    def __init__(self, folder: Path, seconds: float, problem: str | None = None) -> None:
        """Load the model, judged by `problem`. Blocks; `seconds` at most.

        So long may a prediction take, too, until `call_seconds` is set.
        Raises what loading raised, HostEnded, Transient when no process can be started, MemoryError when it was killed.
        """
        self._folder, self._seconds, self._problem = folder, seconds, problem
        self.call_seconds = seconds
        self.metadata: Any = Model.load(str(folder))
        self.input_example: Any = None
        if self.metadata.saved_input_example_info:
            try:
                self.input_example = self.metadata.load_input_example(str(folder))
            except Exception as error:  # as MLflow: a model without one
                log.warning("input example not read", folder=str(folder), error=f"{type(error).__name__}: {error}")
        self._lock = threading.Lock()
        self._ends = 0
        self._pause_until = 0.0
        self._host: _Host | None = None
        self._scorer = self._start()

    def scorer(self) -> Scorer:
        """Return what `chassis.scoring.scorer_of` finds in the model's process."""
        found = self._scorer  # a Scorer kept here would keep this object, and so the process, alive
        pyfunc: Any = _Scores(self) if found.own else self
        return Scorer(pyfunc, found.method, found.classes, found.no_scores, found.certain, numbers_of(self.metadata))

    def get_raw_model(self) -> Any:
        """There is none on this side, as with a pyfunc of its own code. Raises NotImplementedError."""
        raise NotImplementedError("the model is in a process of its own")

    def predict(self, data: Any, params: Any = None) -> Any:
        """Predict as the model does. Raises what the model raised, HostEnded."""
        return self.ask(Request(False, data, params))

    def ask(self, asked: Request) -> Any:
        """Return the answer of the model's process. Raises what the model raised, HostEnded."""
        request = pickle.dumps(asked, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            if self._host is None:
                if (left := self._pause_until - time.monotonic()) > 0:
                    raise HostEnded(f"the model's process ended, and is started again in {left:.1f} s")
                self._start()
            assert self._host is not None
            try:
                answer = self._host.ask(request, self.call_seconds)
            except HostEnded:
                self._ended()
                raise
            self._ends = 0
        return _read(answer)

    @property
    def resident_bytes(self) -> int:
        """The memory that its process alone takes; 0 when there is none."""
        host = self._host
        try:
            return int(psutil.Process(host.pid).memory_full_info().uss) if host is not None else 0
        except psutil.Error:
            return 0

    def _start(self) -> HostedScorer:
        host = _Host(self._folder, self._problem)
        try:
            found: HostedScorer = _read(host.loaded(self._seconds))
        except Exception as error:
            self._ended()
            host.close()
            if isinstance(error, HostEnded) and host.was_killed:
                raise MemoryError("the model's process was killed while it loaded") from error
            raise
        self._host = host
        return found

    def _ended(self) -> None:
        self._host = None
        self._ends += 1
        self._pause_until = time.monotonic() + retry_delay(self._ends, FIRST_PAUSE, LONGEST_PAUSE)


class _Scores:
    """The model as it was judged, where that is not what its `predict` returns."""

    def __init__(self, model: HostedModel) -> None:
        self._model = model
        self.metadata = model.metadata

    def predict(self, data: Any) -> Any:
        return self._model.ask(Request(True, data, None))

    def get_raw_model(self) -> Any:
        return self._model.get_raw_model()


class _Host:
    """One run of the process; it ends with this object."""

    def __init__(self, folder: Path, problem: str | None) -> None:
        """Start it. Raises Transient when the machine has no room for another process."""
        self._was_late = False
        try:
            self._socket, theirs = socket.socketpair()
            with theirs:
                arguments = [str(theirs.fileno()), str(folder), problem or ""]
                self._process = start(
                    [sys.executable, "-P", "-m", "serving.inference.model_host", *arguments],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    dies_with_client=True,
                )
        except OSError as error:
            raise Transient(f"the model's process cannot be started: {error}") from error
        self.pid = self._process.pid
        self.close = weakref.finalize(self, _end, self._socket, self._process)
        self.close.atexit = False  # the end of this process closes the socket as well

    @property
    def was_killed(self) -> bool:
        """Whether it ended by SIGKILL without our doing, as when the machine has no memory left."""
        return bool(self._process.poll() == -signal.SIGKILL) and not self._was_late

    def loaded(self, seconds: float) -> bytes:
        """Wait for the first outcome. Raises HostEnded."""
        return self._outcome(seconds)

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Return the outcome of a request. Raises HostEnded."""
        self._socket.settimeout(seconds)
        with suppress(OSError):  # of a process that has ended or does not read: noticed, and told, below
            send(self._socket, request)
        return self._outcome(seconds)

    def _outcome(self, seconds: float) -> bytes:
        self._socket.settimeout(seconds)
        try:
            return received(self._socket)
        except TimeoutError:
            self._was_late = True
            self._process.kill()
            raise HostEnded(f"the model's process did not answer within {seconds:g} s, and was ended") from None
        except EOFError:
            code = _waited_for(self._process)
            what = f"with exit code {code}" if code >= 0 else f"by signal {-code}"
            raise HostEnded(f"the model's process ended {what}") from None


def _read(answer: bytes) -> Any:
    """Return the model's output. Raises what the model raised; TypeError for an output of a class of its own code."""
    try:
        succeeded, value = pickle.loads(answer)
    except (ImportError, AttributeError) as error:
        raise TypeError(
            f"the model returned an object of its own code, which only its process has ({error}); return arrays, tables"
            " or lists"
        ) from error
    if not succeeded:
        raise value
    return value


def _end(connection: socket.socket, process: Process) -> None:
    """Close the connection, at which the process ends; wait for it in another thread."""
    connection.close()
    threading.Thread(target=_waited_for, args=(process,), name="model host ends", daemon=True).start()


def _waited_for(process: Process) -> int:
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:  # the model holds the interpreter, or has closed the socket
        process.kill()
        return process.wait()
