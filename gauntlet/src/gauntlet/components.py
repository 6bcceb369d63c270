"""The parts of a stack, as the supervisor starts, checks and stops them, with their logs."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import httpx

from chassis.processes.launcher import Process, start
from embedded_kafka import EmbeddedKafka, EmbeddedKafkaError
from embedded_kafka.probe import answers, taken
from gauntlet.errors import CliError

LOG_ROTATE_BYTES = 20 * 1024 * 1024
LOG_LINES_IN_ERRORS = 15
LIVENESS_SECONDS = 3.0
"""For the response of /health, which needs nothing but the event loop."""


class Part(Protocol):
    """A part of the stack that this machine runs."""

    name: str
    url: str
    port: int
    log: Path

    @property
    def pid(self) -> int | None: ...

    def start(self) -> None:
        """Start the part; may return before it is ready."""

    def problem(self) -> str | None:
        """Check readiness: return None when it is ready, else the reason why not."""

    def ended(self) -> str | None:
        """Return how it ended ("exit code 1", "SIGKILL"), None while it runs."""

    def hangs(self) -> bool:
        """Return whether it took a request and did not respond in time. One that still starts does not hang."""

    def stop(self, timeout: float) -> None:
        """End it and everything it started: SIGTERM, then SIGKILL after `timeout` seconds."""


class KafkaPart:
    """The embedded broker."""

    name = "kafka"

    def __init__(self, data_dir: Path, port: int, log: Path) -> None:
        self.port = port
        self.url = f"127.0.0.1:{port}"
        self.log = log
        self._broker = EmbeddedKafka(data_dir, port, log_file=log)

    @property
    def pid(self) -> int | None:
        return self._broker.pid

    def start(self) -> None:
        try:
            self._broker.start()
        except EmbeddedKafkaError as error:
            raise CliError(str(error)) from error

    def problem(self) -> str | None:
        return None if answers(self.port) else "does not answer"

    def ended(self) -> str | None:
        return None if self._broker.running else "its process is gone"

    def hangs(self) -> bool:
        return taken(self.port) and not answers(self.port)

    def stop(self, timeout: float) -> None:
        self._broker.stop(timeout)


class ProcessPart:
    """A program with an HTTP side: MLflow or one of the services."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        port: int,
        ready_path: str,
        log: Path,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`headers`: what presents a token, without which a service with authentication gives no reasons."""
        self.name = name
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._command = list(command)
        self._environment = dict(environment)
        self._ready_path = ready_path
        self._process: Process | None = None
        self._client = httpx.Client(timeout=3.0, headers=headers, trust_env=False)  # reused: costly to create

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists() and self.log.stat().st_size > LOG_ROTATE_BYTES:
            self.log.replace(self.log.with_suffix(".1.log"))
        with self.log.open("ab") as log:
            # In a session of its own: Ctrl-C is for the supervisor, which stops things in order.
            self._process = start(
                self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def problem(self) -> str | None:
        try:
            answer = self._client.get(f"{self.url}{self._ready_path}")
        except httpx.HTTPError as error:
            return str(error) or type(error).__name__
        return None if answer.status_code == httpx.codes.OK else reason(answer)

    def ended(self) -> str | None:
        code = self._process.poll() if self._process else 0
        if code is None:
            return None
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def hangs(self) -> bool:
        try:
            self._client.get(f"{self.url}/health", timeout=LIVENESS_SECONDS)
        except httpx.TimeoutException:
            return True
        except httpx.HTTPError:
            return False  # it does not listen, or closed the connection: it is starting, or ending
        return False

    def stop(self, timeout: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            process.terminate()  # not its group: a service itself ends the work it started
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)  # whatever it left behind, or itself
        process.wait()


def reason(answer: httpx.Response) -> str:
    """Return why a service is not ready: the failing checks of `/ready`, or the bare status."""
    try:
        failing = answer.json()["failing"]
        return "; ".join(f"{name}: {why}" for name, why in failing.items())
    except (ValueError, KeyError, AttributeError, TypeError):
        return f"answers {answer.status_code}"


def log_tail(log: Path, lines: int = LOG_LINES_IN_ERRORS) -> str:
    """Return the end of a log, indented, for an error message."""
    try:
        text = log.read_bytes()[-20_000:].decode(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.splitlines()[-lines:])
