"""Publishes PredictionMade for every predicted row, in the background, through a separate process.

Not through the outbox: that is for lifecycle events which a database decided, and serving has none. Losing a prediction
(which is counted) is better than delaying a request.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping

import orjson
from prometheus_client import Gauge

from chassis.model_signature import Column
from chassis.row_reader import InputBatch
from chassis.telemetry import get_logger
from contracts import PredictionMade
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest
from serving.policy.versions import Artifact
from serving.publishing.prediction_events import Budget, about, is_sampled, line, tried_line
from serving.publishing.worker_client import DROPPED, WorkerClient
from serving.settings import Settings

PAUSE_SECONDS = 0.1
"""Between two rounds. Handing over each prediction at once would switch threads for each, which costs several times as
much as its event."""
BURST_SECONDS = 10.0
"""For which the budget may accumulate, so that a file that is scored at once is published completely."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
HEALTHY_SECONDS = 60.0
GRACE_SECONDS = 1.0

WAITING = Gauge("gauntlet_serving_predictions_waiting", "Rows that wait to be published")

log = get_logger(__name__)


class PredictionPublisher:
    """A Part: a buffer, and a thread that passes its content to a process, which it replaces when it dies."""

    name = "publisher"
    emits = (PredictionMade,)

    def __init__(self, settings: Settings, shares: Mapping[str, float] | None = None) -> None:
        """`shares`: of the requests that are published, by model name as they are now, where they override the
        settings."""
        self._settings = settings
        self._shares = {} if shares is None else shares  # one without an entry yet may get some
        self._budget = Budget(settings.prediction_rows_per_second / settings.workers, BURST_SECONDS)
        self._about: tuple[Artifact, tuple[Column, ...]] | None = None
        self._lock = threading.Lock()
        self._lines = bytearray()
        self._rows = 0
        """Rows in the buffered lines, and in those that are being handed over."""
        self._held = 0
        """Rows that will be put later. Used on the event loop only."""
        self._stopping = threading.Event()
        self._deadline = 0.0
        self._thread: threading.Thread | None = None
        self._process: WorkerClient | None = None
        self._pause = FIRST_PAUSE

    async def start(self) -> None:
        """Start. Needs no broker: events wait for it, within bounds."""
        if self._settings.publish_predictions:
            self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
            self._thread.start()

    async def stop(self) -> None:
        """Flush the buffer for up to `flush_seconds`; count what is not delivered."""
        self._deadline = time.monotonic() + self._settings.flush_seconds
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._end, self._thread)

    def offer(
        self,
        artifact: Artifact,
        table: InputBatch,
        outcome: Prediction | TriedRequest,
        *,
        request_id: str,
        latency_ms: float,
    ) -> None:
        """Buffer a prediction; takes microseconds, whatever the broker does. Drop and count it if the buffer is full.

        It is encoded at once: otherwise the garbage collector would visit thousands of waiting objects.
        """
        if self.admits(artifact.model_name, request_id, len(table)):
            self.put(artifact, table, outcome, request_id=request_id, latency_ms=latency_ms)

    def admits(self, model_name: str, request_id: str, rows: int) -> bool:
        """Return whether a request is published: it is sampled, and fits the rate and the buffer. Count it otherwise.

        During a rollout, too: it depends on the request only, not on the arms of its rows, nor on what the versions
        make of them.
        """
        if not self._settings.publish_predictions:
            return False
        share = self._shares.get(model_name, self._settings.prediction_share)
        if not is_sampled(request_id, share):
            DROPPED.labels("not sampled").inc(rows)
        elif not self._budget.take(rows, time.monotonic()):
            DROPPED.labels("over the rate").inc(rows)
        elif self._rows + self._held + rows > self._settings.prediction_buffer_rows:
            DROPPED.labels("buffer full").inc(rows)
        else:
            return True
        return False

    def leave_out(self, rows: int) -> None:
        """Count rows of a rollout that are not published, since enough others are."""
        if self._settings.publish_predictions:
            DROPPED.labels("over the rate of rollouts").inc(rows)

    def hold(self, rows: int) -> None:
        """Keep places in the buffer for rows that were admitted, and which a tried version predicts meanwhile."""
        self._held += rows

    def release(self, rows: int) -> None:
        self._held -= rows

    def put(
        self,
        artifact: Artifact,
        table: InputBatch,
        outcome: Prediction | TriedRequest,
        *,
        request_id: str,
        latency_ms: float,
    ) -> None:
        """Buffer a prediction that was admitted."""
        rows = len(table)
        try:
            if isinstance(outcome, TriedRequest):
                said = tried_line(request_id, table, outcome, latency_ms)
            else:
                said = line(request_id, table, outcome, latency_ms)
        except orjson.JSONEncodeError as error:
            DROPPED.labels("not JSON").inc(rows)
            log.warning("prediction not published", request_id=request_id, error=str(error))
            return
        with self._lock:
            self._say(artifact, table.columns)
            self._lines += said
            self._rows += rows

    def _say(self, artifact: Artifact, columns: tuple[Column, ...]) -> None:
        """Write the common part of the next lines, if it differs from the last one's."""
        if self._about is None or self._about[0] is not artifact or self._about[1] is not columns:
            self._about = (artifact, columns)
            self._lines += about(artifact.model_name, artifact.model_version, columns)

    def _run(self) -> None:
        process = self._started()
        while not self._stopping.wait(PAUSE_SECONDS):
            if process.has_ended:
                process = self._replaced(process)
            self._round(process)
        self._round(process)
        process.finish(self._deadline - time.monotonic())
        if code := process.bury():
            log.warning("the process that publishes predictions exited with an error", code=code)

    def _end(self, thread: threading.Thread) -> None:
        thread.join(max(0.0, self._deadline - time.monotonic()) + GRACE_SECONDS)
        if thread.is_alive() and self._process is not None:  # the process no longer reads
            self._process.kill()
            thread.join(GRACE_SECONDS)

    def _started(self) -> WorkerClient:
        self._process = WorkerClient(self._settings)
        return self._process

    def _replaced(self, process: WorkerClient) -> WorkerClient:
        """Start another process after a pause; predictions wait in the buffer until then."""
        code = process.bury()
        self._pause = FIRST_PAUSE if process.seconds > HEALTHY_SECONDS else min(2 * self._pause, LONGEST_PAUSE)
        log.error("the process that publishes predictions ended, another one follows", code=code, seconds=self._pause)
        self._stopping.wait(self._pause)
        return self._started()

    def _round(self, process: WorkerClient) -> None:
        """Hand over the buffered lines."""
        with self._lock:
            lines, self._lines, rows = self._lines, bytearray(), self._rows
            self._about = None  # sent again in each round: another process may read it
        if lines:
            process.send(lines, rows)
            with self._lock:
                self._rows -= rows
        WAITING.set(self._rows + process.waiting)
