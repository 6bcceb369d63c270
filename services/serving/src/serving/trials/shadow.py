"""The shadow of a rollout: the tried version predicts what the champion has answered, off the request's path.

A compiled version predicts on the event loop, right after the answers of the same turn were sent; one that is not, in
its lane. What it fails on, has no time for, or has no place for in its queue counts as its error: with it as the
champion, a user would have met that. Not so while the replica itself is overloaded: then what it has no time for is
published without its prediction, and counts for neither.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from chassis.telemetry import get_logger
from contracts import Arm
from serving.inference.batcher import INLINE_ROWS, AdaptiveBatcher, Took, compiled, cut, takes_inline
from serving.inference.model import LoadedModel, ModelFailed, first_line
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest, VersionOutcome
from serving.trials.bench import Bench
from serving.trials.lane import NotInTime

log = get_logger(__name__)


@dataclass(slots=True)
class Job:
    """A request whose rows the tried version is to predict; `done` is called when it has, or could not."""

    bench: Bench
    model: LoadedModel
    table: InputBatch
    tried: TriedRequest
    done: Callable[[], None]


class Shadow:
    """Used on the event loop only."""

    def __init__(self, batcher: AdaptiveBatcher, seconds: float) -> None:
        """`seconds`: after which a user would not have been answered."""
        self._batcher = batcher
        self._seconds = seconds
        self._ready: list[Job] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def score(
        self, bench: Bench, model: LoadedModel, table: InputBatch, tried: TriedRequest, done: Callable[[], None]
    ) -> None:
        """Predict `table` by `model` after what is ready on the event loop; then add the outcome and call `done`."""
        try:
            job = Job(bench, model, bench.rows_for(model, table), tried, done)
        except RowsRefused as refusal:
            _add(tried, None, str(refusal), 0.0)
            done()
            return
        if not takes_inline(model, job.table):
            self._later(job)
            return
        self._ready.append(job)
        if len(self._ready) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    async def stop(self) -> None:
        """Give up what is not predicted: it is published without."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        """Predict what was answered in the last turn of the event loop; its answers were sent."""
        jobs, self._ready = self._ready, []
        by_model: dict[LoadedModel, list[Job]] = {}
        for job in jobs:
            by_model.setdefault(job.model, []).append(job)
        for model, some in by_model.items():
            for batch in cut(some, INLINE_ROWS):
                started = time.perf_counter()
                predictions = compiled(model, [job.table for job in batch])
                seconds = time.perf_counter() - started
                for job, prediction in zip(batch, predictions, strict=True):
                    if isinstance(prediction, Exception):  # NotCompiled
                        self._later(job)
                    else:
                        _add(job.tried, prediction, job.bench.difference(prediction, with_raw=False), seconds)
                        job.done()

    def _later(self, job: Job) -> None:
        job.bench.lane.limit(self._seconds)
        task = asyncio.create_task(self._in_lane(job), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_lane(self, job: Job) -> None:
        took, tried, model = Took(), job.tried, job.model
        try:
            prediction = await job.bench.lane.predict(model, job.table, took)
            _add(tried, prediction, job.bench.difference(prediction, with_raw=False), took.seconds)
        except NotInTime as late:
            if not self._batcher.is_overloaded:
                _add(tried, None, str(late), took.seconds)
        except (ModelFailed, RowsRefused) as failure:
            _add(tried, None, str(failure), took.seconds)
        except Exception as unexpected:
            log.exception("unexpected error of a tried version", model_name=model.artifact.model_name)
            _add(tried, None, f"{type(unexpected).__name__}: {first_line(unexpected)}", took.seconds)
        finally:
            job.done()


def _add(tried: TriedRequest, prediction: Prediction | None, error: str | None, seconds: float) -> None:
    made = prediction if error is None else None
    tried.outcomes.append(VersionOutcome(Arm.CHALLENGER, None, made, error, seconds or None))
