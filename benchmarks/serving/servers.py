"""The peers: how each is started, following its documentation, with `workers` processes that compute."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

from benchmarks.serving import protocols
from benchmarks.serving.environments import PEERS, environment
from benchmarks.serving.protocols import Protocol
from benchmarks.serving.subjects import COMPILABLE, PYFUNC, Subject
from benchmarks.serving.targets import ECHO, MLFLOW

from support.processes import end, free_port, spawn

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""As in this service: threads that compete for the cores slow each other."""

NO_ACCESS_LOG = "api_server.logging.access.enabled=false"


class Gone(Exception):
    """A server ended by itself; the message has its last output."""


@dataclass(frozen=True)
class Running:
    """A started server: where it listens, and a check that raises Gone when it has ended."""

    port: int
    still_there: Callable[[], None]


class Server(Interface):
    """A measured server: `faces` are the protocols that one start of it serves, by their name in the table."""

    @property
    def key(self) -> str: ...
    @property
    def faces(self) -> Mapping[str, Protocol]: ...
    def takes(self, subject: Subject, workers: int) -> str | None:
        """Return None when it can be measured so, otherwise why not."""

    def running(self, subject: Subject, workers: int) -> AbstractContextManager[Running]: ...


@dataclass(frozen=True)
class Start:
    """Inputs of a start command."""

    bin: Path
    model: Path
    port: int
    workers: int


@dataclass(frozen=True)
class Peer:
    """`command` is run in a copy of the peer's folder, its environment's programs first on PATH."""

    key: str
    name: str
    protocol: Protocol
    command: Callable[[Start], Sequence[str]]
    cache: Path
    env: Callable[[Start], Mapping[str, str]] = lambda start: {}
    subjects: tuple[str, ...] = (COMPILABLE,)

    @property
    def faces(self) -> Mapping[str, Protocol]:
        return {self.name: self.protocol}

    def takes(self, subject: Subject, workers: int) -> str | None:
        return None if subject.name in self.subjects else "not one of the servers compared on this model"

    @contextmanager
    def running(self, subject: Subject, workers: int) -> Iterator[Running]:
        start = Start(environment(self.key, self.cache), subject.folder, free_port(), workers)
        given = {"MODEL": str(start.model), "PORT": str(start.port), "WORKERS": str(workers), "PYTHONPATH": ""}
        given |= {"PATH": f"{start.bin}{os.pathsep}{os.environ['PATH']}", **ONE_THREAD, **self.env(start)}
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
            folder, log = Path(name) / "app", Path(name) / "log"
            shutil.copytree(PEERS / self.key, folder)
            process = spawn(self.command(start), given, log, folder)

            def still_there() -> None:
                if process.poll() is not None:
                    raise Gone(f"{self.name} ended with {process.returncode}: {log.read_text()[-3000:]}")

            try:
                yield Running(start.port, still_there)
            finally:
                end(process)


def _uvicorn(start: Start) -> Sequence[str]:
    options = ["--port", str(start.port), "--workers", str(start.workers), "--log-level", "warning"]
    return [str(start.bin / "uvicorn"), "app:app", "--host", "127.0.0.1", *options]


def _mlflow(start: Start) -> Sequence[str]:
    options = ["-p", str(start.port), "--workers", str(start.workers), "--env-manager", "local"]
    return [str(start.bin / "mlflow"), "models", "serve", "-m", str(start.model), "-h", "127.0.0.1", *options]


def _mlserver(start: Start) -> Sequence[str]:
    return [str(start.bin / "mlserver"), "start", "."]


def _settings(start: Start) -> Mapping[str, str]:
    ports = {f"MLSERVER_{name}_PORT": str(free_port()) for name in ("GRPC", "METRICS")}
    model = {"MLSERVER_MODEL_URI": str(start.model / "model.pkl")}
    return {"MLSERVER_HTTP_PORT": str(start.port), "MLSERVER_PARALLEL_WORKERS": str(start.workers), **ports, **model}


def _bentoml(start: Start) -> Sequence[str]:
    return [str(start.bin / "bentoml"), "serve", "service:Scorer", "--host", "127.0.0.1", "--port", str(start.port)]


def _litserve(start: Start) -> Sequence[str]:
    return [str(start.bin / "python"), "app.py"]


def _quiet(start: Start) -> Mapping[str, str]:
    """Return settings against BentoML's defaults: a home folder, usage reports, and a log line per request."""
    return {"BENTOML_HOME": "home", "BENTOML_DO_NOT_TRACK": "true", "BENTOML_CONFIG_OPTIONS": NO_ACCESS_LOG}


def peers(cache: Path) -> list[Peer]:
    both = (COMPILABLE, PYFUNC)
    return [
        Peer("mlflow", MLFLOW, protocols.INVOCATIONS, _mlflow, cache, subjects=both),
        Peer("mlserver", "MLServer", protocols.V2, _mlserver, cache, _settings),
        Peer("bentoml", "BentoML", protocols.BENTOML, _bentoml, cache, _quiet),
        Peer("litserve", "LitServe", protocols.SCORES, _litserve, cache),
        Peer("fastapi", "FastAPI, idiomatic", protocols.SCORES, _uvicorn, cache),
        Peer("echo", ECHO, protocols.ECHO, _uvicorn, cache, subjects=both),
    ]
