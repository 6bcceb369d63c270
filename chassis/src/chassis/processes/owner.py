"""The owner's end of a fork server: starts it, provides its address, and stops it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from chassis.processes.launcher import CONNECT_SECONDS, FORK_SERVER, Process, line_of, start

LIBRARIES = (
    *("sqlalchemy.orm", "sqlalchemy.dialects.sqlite", "alembic.command", "fastapi", "fastapi.openapi.utils", "uvicorn"),
    *("uvloop", "httptools", "httpx", "faststream.kafka", "kafka", "aiokafka", "structlog", "orjson", "yaml"),
    *("pydantic_settings", "numpy", "pandas", "pyarrow.parquet", "pyarrow.dataset", "scipy.stats", "sklearn.ensemble"),
    *("sklearn.linear_model", "sklearn.pipeline", "sklearn.compose", "sklearn.metrics", "sklearn.svm"),
    *("mlflow.pyfunc", "mlflow.models", "mlflow.sklearn", "mlflow.pyfunc.scoring_server", "treelite"),
    *("onnx", "rapidfuzz", "threadpoolctl", "skops.io"),
)
"""The modules that a fork server imports: none that starts a thread (onnxruntime does), or that on import reads
process-specific environment variables (prometheus_client does)."""

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "TZ", "TMPDIR", "MLFLOW_LOGGING_LEVEL", "MLFLOW_CONFIGURE_LOGGING")
INHERITED_PREFIXES = ("LANG", "LC_", "LD_", "OPENBLAS_CORETYPE", "OPENBLAS_L2", "SSL_", "XDG_", "COVERAGE_")
"""The server's own environment: what libraries may read on import. It contains no credentials."""
WHEN_LOADED = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # its thread
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # OpenMP threads spin while waiting: on busy cores a training then takes several times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
}
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB")}
AREA = "GAUNTLET_AREA"
AREA_BYTES = 16_384
"""Space in which a forked process shows its own environment."""

STOP_SECONDS = 5.0


class ForkServer:
    """The owner's end of a fork server. It and all it forked end some time after the owner, at the latest with it.

    `start` returns at once; requests wait until the libraries are imported. `environment` is added to the server's own,
    which every forked process shows in addition to the given one.
    """

    def __init__(self, environment: Mapping[str, str] | None = None, libraries: Sequence[str] = LIBRARIES) -> None:
        self._environment = dict(environment or {})
        self._libraries = libraries
        self._process: Process | None = None
        self._lifeline: socket.socket | None = None
        self._folder: Path | None = None

    @property
    def variable(self) -> dict[str, str]:
        """The environment variable that makes `start` fork; empty where forking is not possible."""
        return {FORK_SERVER: f"{self._folder / 'socket'}{os.pathsep}{sys.prefix}"} if self._folder else {}

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> ForkServer:
        """Start the server; do nothing where forking is not safe (macOS: its frameworks do not survive a fork)."""
        if sys.platform != "linux":
            return self
        self._folder = Path(tempfile.mkdtemp(prefix="gauntlet-fork-"))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self._folder / "socket"))
            listener.listen(128)
            self._lifeline, theirs = socket.socketpair()
            with theirs:
                handles = [listener.fileno(), theirs.fileno()]
                arguments = [*map(str, handles), str(self._folder), ",".join(self._libraries)]
                # A server may itself be forked from another one, with its libraries already imported.
                self._process = start(
                    [sys.executable, "-P", "-m", "chassis.processes.fork_server", *arguments],
                    env=self._own_environment(),
                    stdin=subprocess.DEVNULL,
                    pass_fds=handles,
                )
        return self

    def await_ready(self) -> dict[str, Any]:
        """Wait until the libraries are imported.

        Returns the number of `threads` of the server, and the reason for each `missing` library. Raises EOFError when
        the server has exited, OSError after a minute.
        """
        assert self._lifeline is not None
        self._lifeline.settimeout(CONNECT_SECONDS)
        found: dict[str, Any] = json.loads(line_of(self._lifeline))
        return found

    def stop(self) -> None:
        """Stop the server and all its forked processes that still run."""
        if self._process is None or self._lifeline is None or self._folder is None:
            return
        self._lifeline.close()
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._process.kill()
        self._process.wait()
        with suppress(OSError):
            for path in (self._folder / "socket", self._folder):
                path.unlink() if path.is_socket() else path.rmdir()
        self._process = self._lifeline = self._folder = None

    def _own_environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in INHERITED or name.startswith(INHERITED_PREFIXES)
        }
        return {**kept, **ONE_THREAD, **WHEN_LOADED, **self._environment, AREA: "." * AREA_BYTES}
