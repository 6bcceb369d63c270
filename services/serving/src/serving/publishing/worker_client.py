"""The replica's side of the process that publishes its predictions: starts it, sends it lines, counts its reports."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import sys
import threading
import time
from typing import Any

import orjson
from prometheus_client import Counter

from chassis.kafka import confluent_options
from chassis.telemetry import get_logger
from contracts import PredictionMade
from serving.publishing.prediction_events import SOURCE
from serving.publishing.worker import PIPE_BYTES
from serving.settings import Settings

BUFFER_KILOBYTES = 64 * 1024

PUBLISHED = Counter("gauntlet_serving_predictions_published_total", "PredictionMade handed to Kafka's client")
DROPPED = Counter("gauntlet_serving_predictions_dropped_total", "PredictionMade that were not published", ["reason"])
for why in ("buffer full", "not JSON", "invalid", "publisher ended", "refused", "not delivered", "stopped"):
    DROPPED.labels(why)  # at 0 from the start: the first one is an increase

log = get_logger(__name__)


class WorkerClient:
    """One run of the process. `waiting`: rows that it has not delivered to the broker yet, by its last report."""

    def __init__(self, settings: Settings) -> None:
        self.waiting = 0
        self._sent = 0
        self._counts: dict[str, int] = {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "serving.publishing.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._began = time.monotonic()
        assert self._process.stdin is not None, "a pipe"
        if hasattr(fcntl, "F_SETPIPE_SZ"):  # Linux: otherwise 64 KiB, and both sides alternate for each chunk
            fcntl.fcntl(self._process.stdin, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._reader = threading.Thread(target=self._read, name="publishing", daemon=True)
        self._reader.start()
        self._tell(  # not by argument or environment: the options may include a password
            {
                "topic": settings.topic_prefix + PredictionMade.topic,
                "type": PredictionMade.type,
                "flush_seconds": settings.flush_seconds,
                "spread": settings.prediction_spread,
                "options": confluent_options(settings)
                | {
                    "client.id": f"{SOURCE}-{settings.role}",
                    "acks": "all",
                    "linger.ms": 50,
                    "queue.buffering.max.messages": settings.prediction_buffer_rows,
                    "queue.buffering.max.kbytes": BUFFER_KILOBYTES,
                    "delivery.report.only.error": True,
                },
            }
        )

    @property
    def seconds(self) -> float:
        """The time since the process started."""
        return time.monotonic() - self._began

    @property
    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def send(self, lines: bytes | bytearray, rows: int) -> None:
        """Send lines; wait while the process is busy. Lines that it did not read before it ended count as dropped."""
        self._sent += rows
        self._write(lines)

    def finish(self, seconds: float) -> None:
        """Let the process publish what it has, for up to `seconds`; return at once."""
        self._tell({"flush_seconds": max(0.0, seconds)})
        self._close()

    def kill(self) -> None:
        self._process.kill()

    def bury(self) -> int:
        """Wait for the process to exit; count the rows lost with it. Returns its exit code."""
        code = self._process.wait()
        self._close()
        self._reader.join()
        read = sum(self._counts.get(what, 0) for what in ("published", "buffer full", "refused"))
        lost = self._sent - read + self.waiting
        self.waiting = 0
        if lost > 0:
            DROPPED.labels("publisher ended").inc(lost)
        return code

    def _tell(self, told: dict[str, Any]) -> None:
        self._write(orjson.dumps(told, option=orjson.OPT_APPEND_NEWLINE))

    def _write(self, lines: bytes | bytearray) -> None:
        assert self._process.stdin is not None, "a pipe"
        try:
            self._process.stdin.write(lines)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # it has ended; `bury` counts the loss

    def _close(self) -> None:
        assert self._process.stdin is not None, "a pipe"
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            pass

    def _read(self) -> None:
        assert self._process.stdout is not None, "a pipe"
        with self._process.stdout as said:
            for line in said:
                self._hear(orjson.loads(line))

    def _hear(self, told: dict[str, Any]) -> None:
        if "message" in told:
            logging.getLogger("kafka.confluent").log(told["level"], told["message"])
            return
        self.waiting = told["waiting"]
        PUBLISHED.inc(self._more("published", told["published"]))
        for reason, rows in told["dropped"].items():
            if more := self._more(reason, rows):
                DROPPED.labels(reason).inc(more)
                if error := told["errors"].get(reason):
                    log.warning("predictions not published", reason=reason, rows=more, error=error)

    def _more(self, name: str, total: int) -> int:
        more = total - self._counts.get(name, 0)
        self._counts[name] = total
        return more
