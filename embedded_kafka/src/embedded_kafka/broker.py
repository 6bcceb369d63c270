"""A real Apache Kafka as a child process: can be started, stopped, killed and restarted on the same data."""

from __future__ import annotations

import base64
import re
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from embedded_kafka.configuration import server_properties
from embedded_kafka.data_lock import locked
from embedded_kafka.errors import PortTaken, StartFailed
from embedded_kafka.install import installed_jars
from embedded_kafka.probe import answers, free_ports, taken
from embedded_kafka.process import BrokerProcess, format_storage
from embedded_kafka.security import Security, write_private
from embedded_kafka.startup_cache import startup_flags

STARTED = "Kafka Server started"  # the line the broker logs when it is ready
PORT_LOST = "Address already in use"
ATTEMPTS = 3  # another process can take a free port between our choice and the broker's start
LOCK_SECONDS = 5.0  # a broker whose parent was killed needs a moment to end
POLL_SECONDS = 0.02
LOG_LINES_IN_ERRORS = 15
CAUSES_IN_ERRORS = 3
CAUSE = re.compile(
    r"""^(?:.*\ (?:ERROR|FATAL)\ .*
    |(?:Exception\ in\ thread\ "[^"]*"\ |Caused\ by:\ )?[\w.$]+(?:Exception|Error):\ .*)$""",
    re.MULTILINE | re.VERBOSE,
)


class EmbeddedKafka:
    """One broker in KRaft mode on 127.0.0.1 that keeps its data in `data_dir`.

    `port` None takes a free one. `settings` override our broker settings. `security` None: everybody on this machine
    may do everything. `start_timeout` (seconds) excludes the first download. The broker ends when this process ends,
    even if that is killed.
    """

    def __init__(
        self,
        data_dir: Path | str,
        port: int | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        security: Security | None = None,
        log_file: Path | str | None = None,
        start_timeout: float = 60.0,
    ) -> None:
        self.data_dir = Path(data_dir).absolute()
        self.log_file = Path(log_file).absolute() if log_file else self.data_dir / "broker.log"
        self._wanted_port = port
        self._port = port
        self._settings = dict(settings or {})
        self.security = security
        self._probed_port = 0
        self._start_timeout = start_timeout
        self._process: BrokerProcess | None = None
        self._log_from = 0
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """The port that clients connect to; known once started, or if it was requested."""
        if self._port is None:
            raise StartFailed("this broker has no port yet: call start() first, or request a port")
        return self._port

    @property
    def bootstrap_servers(self) -> str:
        """The value of the clients' `bootstrap.servers`."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The process id of the broker itself (a JVM), None when it is not running."""
        process = self._process
        return process.pid if process and process.running else None

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self.pid is not None

    def start(self) -> EmbeddedKafka:
        """Start the broker and return when it responds to requests; do nothing if it is running.

        Raises PortTaken, StartFailed, DownloadFailed or DigestMismatch.
        """
        with self._lock:
            if not self.running:
                self._start()
            return self

    def stop(self, timeout: float = 15.0) -> None:
        """Stop the broker cleanly, or by force after `timeout` seconds; leaves no process. May be called twice."""
        with self._lock:
            self._clear(timeout)

    def kill(self) -> None:
        """Kill the broker with SIGKILL, like a power failure; start() restarts it on the same data and port."""
        with self._lock:
            if self._process:
                self._process.kill()
            self._clear(timeout=5.0)

    def __enter__(self) -> EmbeddedKafka:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        self._clear(timeout=0.0)  # leftovers of a broker that died
        jars = installed_jars()
        flags = startup_flags(jars)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self._wanted_port is not None and taken(self._wanted_port):
            raise PortTaken(
                f"port {self._wanted_port} on 127.0.0.1 is taken, so Kafka cannot listen there: "
                "stop the program that has it, or choose another port"
            )
        for attempt in range(1, ATTEMPTS + 1):
            if self._port is None or taken(self._port):  # a restart keeps the known port if possible
                self._port = free_ports(1)[0]
            try:
                self._launch(jars, flags)
                self._await_answer()
                return
            except StartFailed:
                self._clear(timeout=2.0)
                if attempt == ATTEMPTS or PORT_LOST not in self._log():
                    raise
            except BaseException:
                self._clear(timeout=2.0)
                raise

    def _launch(self, jars: list[Path], flags: list[str]) -> None:
        data, properties = self.data_dir / "data", self.data_dir / "server.properties"
        with locked(self.data_dir / "broker.lock", LOCK_SECONDS) as lock:
            is_new = not (data / "meta.properties").exists()
            self._write_properties(properties, data)
            self._log_from = self.log_file.stat().st_size if self.log_file.exists() else 0
            if is_new:
                cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
                users = self.security.format_arguments(self.data_dir) if self.security else []
                if not format_storage(jars, flags, properties, cluster_id, self.log_file, users):
                    raise self._failed(f"Kafka could not prepare its data directory {data}")
            elif self.security:
                self.security.require_same_users(self.data_dir)
            self._process = BrokerProcess(jars, flags, properties, self.log_file, keep_open=[lock])

    def _write_properties(self, path: Path, data: Path) -> None:
        controller_port, internal_port = free_ports(2)
        secured = {}
        if self.security:
            secured = self.security.settings(self.data_dir, self.port, internal_port, controller_port)
        self._probed_port = internal_port if self.security else self.port
        write_private(path, server_properties(data, self.port, controller_port, secured | self._settings))

    def _await_answer(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + self._start_timeout
        # The log line proves that this broker responds, not another one that took the port first. Of a secured broker
        # the internal listener is probed: the clients' one needs certificates, and opens together with it.
        while not (STARTED in self._log() and answers(self._probed_port)):
            if not self._process.running:
                raise self._failed(f"Kafka ended while starting (exit code {self._process.exit_code})")
            if time.monotonic() > deadline:
                raise self._failed(f"Kafka did not answer on {self.bootstrap_servers} in {self._start_timeout:g} s")
            time.sleep(POLL_SECONDS)

    def _clear(self, timeout: float) -> None:
        process, self._process = self._process, None
        if process:
            process.stop(timeout)

    def _log(self) -> str:
        """Return the broker's log since its last start."""
        try:
            with self.log_file.open("rb") as file:
                file.seek(self._log_from)
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _failed(self, what: str) -> StartFailed:
        log = self._log()
        # The first lines of a Kafka error give the cause; the rest is the stack trace and the shutdown.
        causes = list(dict.fromkeys(CAUSE.findall(log)))[:CAUSES_IN_ERRORS]
        lines = causes or log.splitlines()[-LOG_LINES_IN_ERRORS:]
        return StartFailed("\n  ".join([f"{what}. Its log is {self.log_file} and says:", *lines]))
