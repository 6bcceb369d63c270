"""A pyfunc whose model is in a process of its own, for one of two reasons.

A version that a rollout tries may raise, hang, hold the interpreter, leak memory or crash. In a process of its own,
with limits, it harms no request of the champion.

And a model may bring modules that others have by the same name. MLflow puts a model's `code_paths` first on `sys.path`,
and the interpreter keeps every imported module by its name. So in one process, two versions of a model that bring a
module `features` share the one that was imported first: the other predicts with code that is not its own, or cannot be
loaded, and a restart changes which.

Why a process, and not `sys.modules` exchanged around each call: the table is one for all threads. Exchanged without a
lock, another thread imports from the wrong version; under a lock held while a model loads or predicts, the previous
version cannot answer until the next one is loaded. Nor can a finder keyed by the version help: an import looks into the
table first, and what it finds stays there. And code imports long after it was loaded: inside `predict`, in threads that
it starts, by name (`importlib`), while it unpickles. In a process of its own, all of that finds its own modules only.
"""

from __future__ import annotations

import pickle
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import psutil
from mlflow.models import Model

from chassis.digests import digest_tree
from chassis.scoring import Scorer, numbers_of
from chassis.telemetry import get_logger
from serving.inference.host_process import Host, HostEnded
from serving.inference.model_host import HostedScorer, Request
from serving.policy.versions import retry_delay

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds before a process that ended is started again; doubled each time that it ends again at once."""
ENDS_KEPT = 20

log = get_logger(__name__)


def brings_code(folder: Path) -> bool:
    """Return whether a model brings modules of its own (`code_paths`)."""
    return bool(Model.load(str(folder)).flavors.get("python_function", {}).get("code"))


class HostedModel:
    """As much of a pyfunc as serving uses. Any number of threads may predict; the process predicts one call at a time.

    A process that ends is started again by the next call, after a pause; until then calls raise HostEnded. Under a
    limit no call waits for that: `revive` starts it.
    """

    def __init__(self, folder: Path, seconds: float, problem: str | None = None, digest: str | None = None) -> None:
        """Load the model, judged by `problem`. Blocks; `seconds` at most.

        `digest`: of the folder, which the caller has verified; a process that is started again verifies it, too.

        So long may a prediction take, too, until `call_seconds` is set.
        Raises what loading raised, HostEnded, Transient when no process can be started, MemoryError when it was killed.
        """
        self._folder, self._seconds, self._problem, self._digest = folder, seconds, problem, digest
        self.call_seconds = seconds
        self.metadata: Any = Model.load(str(folder))
        self.input_example: Any = None
        if self.metadata.saved_input_example_info:
            try:
                self.input_example = self.metadata.load_input_example(str(folder))
            except Exception as error:  # as MLflow: a model without one
                log.warning("input example not read", folder=str(folder), error=f"{type(error).__name__}: {error}")
        self._lock = threading.Lock()
        self._failures = 0
        self._pause_until = 0.0
        self._growth_bytes: int | None = None
        self.ends: deque[tuple[float, str]] = deque(maxlen=ENDS_KEPT)
        """The last times that its process ended, monotonic, and why."""
        self._host: Host | None = None
        self._is_first = True
        self._scorer = self._start()
        self._is_first = False

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
                left = self._pause_until - time.monotonic()
                if left > 0 or self._growth_bytes is not None:
                    raise HostEnded(f"the model's process ended, and is started again in {max(0.0, left):.1f} s")
                self._start()
            assert self._host is not None
            try:
                answer = self._host.ask(request, self.call_seconds)
            except HostEnded as error:
                self._ended(str(error))
                raise
            self._failures = 0
        return _read(answer)

    @property
    def is_up(self) -> bool:
        return self._host is not None

    def limit(self, growth_bytes: int | None) -> None:
        """Limit the memory by which its process may grow from here on; None lifts the limit. Takes microseconds."""
        self._growth_bytes = growth_bytes
        if (host := self._host) is not None:
            host.limit(growth_bytes)

    def check(self) -> None:
        """Notice a process that ended between two calls; end one that has grown beyond its limit. Does not block."""
        host, most = self._host, self._growth_bytes
        if host is None:
            return
        if most is not None and (growth := host.memory_bytes() - host.base_bytes) > most:
            host.end(f"the model's process grew by {growth >> 20} MiB, and was ended")
        if self._lock.acquire(blocking=False):  # otherwise a call is on its way, and notices it
            try:
                if self._host is host and (why := host.has_ended()) is not None:
                    self._ended(why)
            finally:
                self._lock.release()

    @property
    def may_revive(self) -> bool:
        """Whether its process has ended and its pause is over."""
        return self._host is None and time.monotonic() >= self._pause_until

    def revive(self) -> None:
        """Start the process again. Blocks; other threads' calls do not wait for it. Raises as the constructor."""
        self._start()

    @property
    def resident_bytes(self) -> int:
        """The memory that its process alone takes; 0 when there is none."""
        host = self._host
        try:
            return int(psutil.Process(host.pid).memory_full_info().uss) if host is not None else 0
        except psutil.Error:
            return 0

    def _start(self) -> HostedScorer:
        if not self._is_first:
            self._verify()
        host = Host(self._folder, self._problem)
        try:
            found: HostedScorer = _read(host.loaded(self._seconds))
        except Exception as error:
            self._ended(f"{type(error).__name__}: {error}")
            host.close()
            if isinstance(error, HostEnded) and host.was_killed:
                raise MemoryError("the model's process was killed while it loaded") from error
            raise
        if self._growth_bytes is not None:
            host.limit(self._growth_bytes)
        self._host = host
        return found

    def _verify(self) -> None:
        """Raises HostEnded when the files are others than those that were loaded first."""
        if self._digest is None:
            return
        try:
            found = digest_tree(self._folder)
        except (OSError, ValueError) as error:
            found = str(error)
        if found != self._digest:
            why = f"its files were changed on disk: {self._digest} was loaded, and now it is {found}"
            self._ended(why)
            raise HostEnded(f"the model's process is not started again: {why}")

    def _ended(self, why: str) -> None:
        self._host = None
        self.ends.append((time.monotonic(), why))
        self._failures += 1
        self._pause_until = time.monotonic() + retry_delay(self._failures, FIRST_PAUSE, LONGEST_PAUSE)
        log.warning("the process of a model ended", folder=str(self._folder), reason=why, failures=self._failures)


class _Scores:
    """The model as it was judged, where that is not what its `predict` returns."""

    def __init__(self, model: HostedModel) -> None:
        self._model = model
        self.metadata = model.metadata

    def predict(self, data: Any) -> Any:
        return self._model.ask(Request(True, data, None))

    def get_raw_model(self) -> Any:
        return self._model.get_raw_model()


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
