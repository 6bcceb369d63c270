"""Adaptive micro-batches: requests that arrive while the model is busy share a batch; none waits on an idle model.

A compiled model predicts on the event loop itself: everything that arrived in one turn of the loop is one batch, and
handing it to a thread would cost more than predicting. Slow or large batches go to threads, one at a time each.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from chassis.http import Problem
from chassis.row_reader import InputBatch
from serving.inference.model import LoadedModel, NotCompiled
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest
from serving.settings import Settings

T = TypeVar("T")


class HasTable(Protocol):
    table: InputBatch


J = TypeVar("J", bound=HasTable)
Timed = tuple[Sequence[Prediction | Exception], float]
"""Predictions, and the seconds that they took."""

IN_PROGRESS = Gauge("gauntlet_serving_requests_in_progress", "Requests that are computed or wait for a thread")
BATCH = Histogram(
    "gauntlet_serving_batch_requests", "Requests answered together", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
REFUSED = Counter("gauntlet_serving_requests_refused_total", "Requests that were not computed", ["reason"])
for reason in ("too much load", "too slow"):  # at 0 from the start: the first one is an increase
    REFUSED.labels(reason)

INLINE_ROWS = 256
"""More rows at once would block the event loop, and every other request, for a millisecond or longer."""


class TooSlow(Problem):
    """No answer within SERVING_REQUEST_SECONDS."""

    tried: TriedRequest | None = None
    """What is published of it, when it happened during a rollout."""


@dataclass(slots=True)
class PendingRequest:
    table: InputBatch
    answer: asyncio.Future[Prediction]
    seconds: float = 0.0
    """That the model took for the batch in which it was answered."""


@dataclass(slots=True)
class Took:
    """Seconds that a model took for a request, with the others in its batch; without the time that they waited."""

    seconds: float = 0.0


class AdaptiveBatcher:
    """A Part: predicts tables of rows in batches; a bounded number of requests may wait."""

    name = "desk"

    def __init__(self, settings: Settings) -> None:
        self._threads = ThreadPoolExecutor(settings.predict_threads, thread_name_prefix="predict")
        self._free = settings.predict_threads
        self._limit = settings.predict_threads + settings.max_waiting
        self._seconds = settings.request_seconds
        self._rows = settings.batch_rows
        self._taken = 0
        self._inline: dict[LoadedModel, list[PendingRequest]] = {}
        self._waiting: OrderedDict[LoadedModel, list[PendingRequest]] = OrderedDict()
        self._flushing = False
        self._count: Callable[[int], None] = BATCH.observe

    async def start(self) -> None:
        IN_PROGRESS.set_function(lambda: self._taken)

    async def stop(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, model: LoadedModel, table: InputBatch, took: Took | None = None) -> Prediction:
        """Predict a table; `took` receives the time. Raises RowsRefused, ModelFailed; Problem 503 with Retry-After on
        overload or timeout."""
        self._enter()
        try:
            if takes_inline(model, table):
                job = self.inline(model, table)
                try:
                    return await job.answer
                except NotCompiled:
                    pass
            job = PendingRequest(table, asyncio.get_running_loop().create_future())
            self._enqueue(model, job)
            return await self._within(job.answer)
        finally:
            self._leave()
            if took is not None:
                took.seconds = job.seconds

    def inline(self, model: LoadedModel, table: InputBatch) -> PendingRequest:
        """Predict a table that `takes_inline`, with all others of this turn of the event loop.

        The answer may be NotCompiled.
        """
        loop = asyncio.get_running_loop()
        job = PendingRequest(table, loop.create_future())
        self._inline.setdefault(model, []).append(job)
        if not self._flushing:
            self._flushing = True
            loop.call_soon(self._flush)
        return job

    async def run(self, work: Callable[[], T]) -> T:
        """Run other blocking work in the same threads and under the same bound. Raises what `work` raises."""
        self._enter()
        try:
            return await self._within(self._in_thread(work))
        finally:
            self._leave()

    @property
    def is_overloaded(self) -> bool:
        """Whether more than half of the requests that it may hold are in progress."""
        return self._taken > self._limit // 2

    def _enqueue(self, model: LoadedModel, job: PendingRequest) -> None:
        self._waiting.setdefault(model, []).append(job)
        self._next()

    def _in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _enter(self) -> None:
        if self._taken >= self._limit:
            raise self._too_much()
        self._taken += 1

    def _leave(self) -> None:
        self._taken -= 1

    async def _within(self, answer: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise self._too_slow() from None

    def _too_much(self) -> Exception:
        REFUSED.labels("too much load").inc()
        detail = f"{self._taken} requests are in progress (SERVING_MAX_WAITING)"
        return Problem(503, "too much load", detail, headers={"Retry-After": "1"})

    def _too_slow(self) -> Exception:
        REFUSED.labels("too slow").inc()
        detail = f"no answer within {self._seconds:g} s (SERVING_REQUEST_SECONDS); send fewer rows, or retry later"
        return TooSlow(503, "too slow", detail, headers={"Retry-After": "1"})

    def _flush(self) -> None:
        """Predict everything that arrived in this turn of the event loop; called after all of it was read."""
        self._flushing = False
        waiting, self._inline = self._inline, {}
        for model, jobs in waiting.items():
            for batch in cut(jobs, INLINE_ROWS):
                self._count(len(batch))
                started = time.perf_counter()
                predictions = compiled(model, [job.table for job in batch])
                _settle(batch, predictions, time.perf_counter() - started)

    def _next(self) -> None:
        """Give a free thread the model that has waited longest, with all of its requests that fit one batch."""
        while self._free and self._waiting:
            model, jobs = self._waiting.popitem(last=False)
            jobs = [job for job in jobs if not job.answer.done()]  # skip clients that have disconnected
            if not jobs:
                continue
            batch, *rest = cut(jobs, self._rows if model.batches else 0)
            if rest:
                self._waiting[model] = [job for part in rest for job in part]
            self._free -= 1
            self._count(len(batch))
            running = self._in_thread(partial(_timed_answer, model, [job.table for job in batch]))
            running.add_done_callback(partial(self._answered, batch))

    def _answered(self, batch: list[PendingRequest], done: asyncio.Future[Timed]) -> None:
        self._free += 1
        if done.cancelled():
            for job in batch:
                job.answer.cancel()
            return
        error = done.exception()
        predictions, seconds = done.result() if error is None else ([_as_exception(error)] * len(batch), 0.0)
        _settle(batch, predictions, seconds)
        self._next()


def takes_inline(model: LoadedModel, table: InputBatch) -> bool:
    """Return whether it costs less to predict `table` on the event loop than in a thread."""
    return model.form is not None and len(table) <= INLINE_ROWS and len(table.columns) == model.width


def compiled(model: LoadedModel, tables: Sequence[InputBatch]) -> Sequence[Prediction | Exception]:
    """Predict each table with the compiled model; NotCompiled for a table that only the native model can predict."""
    try:
        whole = model.compiled([row for table in tables for row in table.values])
    except NotCompiled as error:
        return (
            [error] if len(tables) == 1 else [prediction for table in tables for prediction in compiled(model, [table])]
        )
    return whole.split([len(table) for table in tables])


def answer(model: LoadedModel, tables: Sequence[InputBatch]) -> Sequence[Prediction | Exception]:
    """Predict each table, together in one call where possible; return predictions or exceptions. Blocks."""
    if len(tables) > 1 and all(table.columns == tables[0].columns for table in tables):
        try:
            values = [row for table in tables for row in table.values]
            whole = model.prediction(tables[0].columns, values)
        except Exception:  # caused by one request's rows: predict each alone, so that only that one fails
            pass
        else:
            if whole.rows == len(values):
                return whole.split([len(table) for table in tables])
    return [_alone(model, table) for table in tables]


def _alone(model: LoadedModel, table: InputBatch) -> Prediction | Exception:
    try:
        return model.predict(table)
    except Exception as error:  # passed on to the caller
        return error


def _timed_answer(model: LoadedModel, tables: Sequence[InputBatch]) -> Timed:
    started = time.perf_counter()
    return answer(model, tables), time.perf_counter() - started


def _settle(batch: Sequence[PendingRequest], predictions: Sequence[Prediction | Exception], seconds: float) -> None:
    for job, prediction in zip(batch, predictions, strict=True):
        job.seconds = seconds
        if job.answer.done():
            continue  # the client has disconnected
        if isinstance(prediction, Exception):
            job.answer.set_exception(prediction)
        else:
            job.answer.set_result(prediction)


def cut(jobs: Sequence[J], most_rows: int) -> list[list[J]]:
    """Split `jobs` into batches of at most `most_rows` rows, but at least one job each."""
    batches: list[list[J]] = []
    rows = most_rows + 1
    for job in jobs:
        if rows + len(job.table) > most_rows:
            batches.append([])
            rows = 0
        batches[-1].append(job)
        rows += len(job.table)
    return batches


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
