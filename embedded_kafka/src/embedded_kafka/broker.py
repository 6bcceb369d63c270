"""A real Apache Kafka as a child process: started, stopped, killed and started again on the same data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from embedded_kafka import minder
from embedded_kafka.configuration import server_properties
from embedded_kafka.errors import PortTaken, StartFailed
from embedded_kafka.install import installed_jars
from embedded_kafka.java import BROKER, STORAGE_TOOL, java_command
from embedded_kafka.probe import answers, free_ports, taken

CLUSTER_ID = "Z2F1bnRsZXQtbG9jYWwtMQ"
POLL_SECONDS = 0.02
LOG_LINES_IN_ERRORS = 15


class EmbeddedKafka:
    """One broker in KRaft mode on 127.0.0.1 that keeps its data in `data_dir`.

    `port` None takes a free one. `settings` are broker settings that win over ours. `start_timeout` is in seconds and does
    not count the download of the first time. The broker ends when this process ends, even if that is killed.
    """

    def __init__(
        self,
        data_dir: Path | str,
        port: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.log_file = self.data_dir / "broker.log"
        self._wanted_port = port
        self._port = port
        self._settings = dict(settings or {})
        self._start_timeout = start_timeout
        self._minder: subprocess.Popen[str] | None = None
        self._pid: int | None = None
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port clients connect to; known once started, or when it was asked for."""
        if self._port is None:
            raise StartFailed("this broker has no port yet: call start() first, or ask for a port")
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """What clients call `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of the broker itself (a JVM), None when it does not run."""
        return self._pid if self.running else None

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._minder is not None and self._minder.poll() is None

    def start(self) -> EmbeddedKafka:
        """Start the broker and return when it answers requests; starting a running one changes nothing.

        Raises PortTaken, StartFailed, DownloadFailed or DigestMismatch.
        """
        with self._lock:
            if not self.running:
                self._start(installed_jars())
            return self

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the broker cleanly, by force after `timeout` seconds; no process is left. Stopping twice is fine."""
        with self._lock:
            self._stop(timeout)

    def kill(self) -> None:
        """Kill the broker with SIGKILL, as a power cut would; start() brings it back on the same data and port."""
        with self._lock:
            if self.running and self._pid is not None:
                os.kill(self._pid, signal.SIGKILL)
            self._stop(timeout=5.0)

    def __enter__(self) -> EmbeddedKafka:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, jars: list[Path]) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        if self._wanted_port is not None and taken(self._wanted_port):
            raise PortTaken(
                f"port {self._wanted_port} on 127.0.0.1 is taken, so Kafka cannot listen there: "
                "stop the program that has it, or choose another port"
            )
        if self._port is None or taken(self._port):  # a restart keeps the port clients know, when it can
            self._port = free_ports(1)[0]
        self._launch(jars)
        try:
            self._await_answer()
        except BaseException:
            self._stop(timeout=2.0)
            raise

    def _launch(self, jars: list[Path]) -> None:
        data, properties = self.data_dir / "data", self.data_dir / "server.properties"
        properties.write_text(server_properties(data, self.port, free_ports(1)[0], self._settings))
        self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
        with self.log_file.open("ab") as log:
            if not (data / "meta.properties").exists():
                arguments = ("format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(properties))
                format_ = java_command(jars, STORAGE_TOOL, *arguments)
                if subprocess.run(format_, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
                    raise self._failed(f"Kafka could not prepare its data directory {data}")
            self._minder = subprocess.Popen(
                [sys.executable, "-I", minder.__file__, *java_command(jars, BROKER, str(properties))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which then stops things in order
            )
        assert self._minder.stdout is not None
        self._pid = int(self._minder.stdout.readline() or 0) or None

    def _await_answer(self) -> None:
        deadline = time.monotonic() + self._start_timeout
        while not answers(self.port):
            if not self.running:
                raise self._failed(f"Kafka ended while starting (exit code {self._minder and self._minder.returncode})")
            if time.monotonic() > deadline:
                raise self._failed(f"Kafka did not answer on {self.bootstrap_servers} in {self._start_timeout:g} s")
            time.sleep(POLL_SECONDS)
        if not self.running:  # somebody else took the port in between, and answers
            raise self._failed(f"Kafka ended while starting, and another broker answers on port {self.port}")

    def _stop(self, timeout: float) -> None:
        process, self._minder, self._pid = self._minder, None, None
        if process is None:
            return
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(process.pid, signal.SIGKILL)  # the group is the minder's own: the broker is in it, nothing else
        except (ProcessLookupError, PermissionError):
            pass
        process.wait()
        process.stdout.close()

    def _failed(self, what: str) -> StartFailed:
        try:
            text = self.log_file.read_bytes()[self._log_from :].decode(errors="replace")
        except OSError:
            text = ""
        tail = "\n".join(f"  {line}" for line in text.splitlines()[-LOG_LINES_IN_ERRORS:])
        return StartFailed(f"{what}. Its log is {self.log_file} and ends:\n{tail}")
