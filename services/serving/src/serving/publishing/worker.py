"""The process that builds PredictionMade from its replica's predictions, and sends them to Kafka.

It reads lines from its standard input, and reports their outcome on its standard output.

A process, because in a thread each event would hold the interpreter, and block requests, for longer than a prediction
does. It imports little, has a low priority (nice), and exits at the end of its input.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import orjson
from confluent_kafka import KafkaException, Producer

from serving.publishing.prediction_events import encoded

NICENESS = 10
REPORT_SECONDS = 0.1
METADATA_SECONDS = 1.0
PIPE_BYTES = 1024 * 1024


class PublishingWorker:
    """Counts are of rows, from the start. `published`: handed to Kafka's client."""

    def __init__(self, start: dict[str, Any]) -> None:
        self._topic: str = start["topic"]
        self._kind: str = start["type"]
        self._spread: int = start["spread"]
        self._partitions = 0
        self._producer = Producer(start["options"], logger=_telling_logger())
        self.published = 0
        self.dropped = {"buffer full": 0, "refused": 0, "not delivered": 0, "stopped": 0}
        self.errors: dict[str, str] = {}
        self._said = b""

    def publish(self, about: dict[str, Any], line: list[Any]) -> None:
        """Send a line's events; never waits: what does not fit the client's buffer is dropped."""
        entities = line[2]
        for number, (key, value, headers) in enumerate(encoded(about, line, datetime.now(UTC), self._kind)):
            of = (entities[number] if entities else None) or line[0]
            try:
                self._producer.produce(
                    self._topic,
                    key=key,
                    value=value,
                    headers=[*headers],
                    on_delivery=self._undelivered,
                    **self._place(key, of),
                )
                self.published += 1
            except BufferError:
                self.dropped["buffer full"] += 1
            except KafkaException as error:
                self._drop("refused", error)

    def _place(self, key: bytes, of: str) -> dict[str, int]:
        """Return the partition of a row: that of its key, or of several one by the entity (or request) that it is `of`.

        The key stays the model's name, as in every event.
        """
        if self._spread == 1:
            return {}
        if not self._partitions:
            try:
                known = self._producer.list_topics(self._topic, METADATA_SECONDS).topics[self._topic].partitions
            except (KafkaException, KeyError):
                return {}  # the broker cannot be reached: by its key, as before
            self._partitions = len(known)
        return {"partition": partition_of(key, of, self._spread, self._partitions)} if self._partitions else {}

    def flush(self, seconds: float) -> None:
        self.dropped["stopped"] = self._producer.flush(seconds)

    def report(self, seconds: float = 0.0) -> None:
        """Poll for failures for `seconds`; report the counts if they changed."""
        self._producer.poll(seconds)
        waiting = 0 if self.dropped["stopped"] else len(self._producer)
        counts = {"published": self.published, "dropped": self.dropped, "errors": self.errors, "waiting": waiting}
        if (said := orjson.dumps(counts)) != self._said:
            self._said = said
            tell(said)

    def _undelivered(self, error: Any, _message: Any) -> None:
        """Called for failures only (delivery.report.only.error)."""
        self._drop("not delivered", error)

    def _drop(self, reason: str, error: Any) -> None:
        self.dropped[reason] += 1
        self.errors[reason] = str(error)


def partition_of(key: bytes, of: str, spread: int, partitions: int) -> int:
    """Return one of `spread` partitions that follow one another, the first of them by the key."""
    return (crc32(key) + crc32(of.encode("utf-8", "replace")) % spread) % partitions


class _Telling(logging.Handler):
    """Forwards the log of Kafka's client to the replica's log, in its format."""

    def emit(self, record: logging.LogRecord) -> None:
        tell(orjson.dumps({"level": record.levelno, "message": record.getMessage()}))


def _telling_logger() -> logging.Logger:
    logger = logging.getLogger("kafka.confluent")
    logger.addHandler(_Telling())
    return logger


def tell(told: bytes) -> None:
    with suppress(BrokenPipeError):  # the replica was killed; its predictions are still published
        os.write(sys.stdout.fileno(), told + b"\n")  # one write: two threads report


def main() -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):  # sent to a group; its replica first finishes requests in flight
        signal.signal(signum, signal.SIG_IGN)
    os.nice(NICENESS)
    lines = io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False), PIPE_BYTES)
    start = orjson.loads(lines.readline())
    publishing, done = PublishingWorker(start), threading.Event()
    flush_seconds: float = start["flush_seconds"]

    def report() -> None:
        while not done.is_set():
            publishing.report(REPORT_SECONDS)

    reporter = threading.Thread(target=report, name="reporter")
    reporter.start()
    about: dict[str, Any] = {}
    for line in lines:
        told = orjson.loads(line)
        if isinstance(told, list):
            publishing.publish(about, told)
        else:
            about = told
            flush_seconds = told.get("flush_seconds", flush_seconds)
    done.set()
    reporter.join()
    publishing.flush(flush_seconds)
    publishing.report()


if __name__ == "__main__":
    main()
