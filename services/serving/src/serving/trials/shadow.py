"""The shadow of a rollout: the tried version predicts what the champion has answered, off the request's path.

A compiled version predicts on the event loop, right after the answers of the same turn were sent; one that is not, in
its lane. What it fails on, has no time for, or has no place for in its queue counts as its error: with it as the
champion, a user would have met that. Not so while the replica itself is overloaded: then what it has no time for is
published without its prediction, and counts for neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from chassis.telemetry import get_logger
from contracts import Arm
from serving.inference.batcher import AdaptiveBatcher, PendingRequest, Took, takes_inline
from serving.inference.model import LoadedModel, ModelFailed, NotCompiled, first_line
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest, VersionOutcome
from serving.trials.bench import Bench
from serving.trials.lane import NotInTime

Done = Callable[[], None]

log = get_logger(__name__)


class Shadow:
    """Used on the event loop only."""

    def __init__(self, batcher: AdaptiveBatcher, seconds: float) -> None:
        """`seconds`: after which a user would not have been answered."""
        self._batcher = batcher
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def score(self, bench: Bench, model: LoadedModel, table: InputBatch, tried: TriedRequest, done: Done) -> None:
        """Predict `table` by `model` after what is ready on the event loop; then add the outcome and call `done`."""
        bench.lane.limit(self._seconds)
        try:
            rows = bench.rows_for(model, table)
        except RowsRefused as refusal:
            _add(tried, None, str(refusal), 0.0)
            done()
            return
        if takes_inline(model, rows):
            job = bench.lane.inline(model, rows)
            job.answer.add_done_callback(partial(self._predicted, bench, model, rows, tried, done, job))
        else:
            self._later(bench, model, rows, tried, done)

    async def stop(self) -> None:
        """Give up what is not predicted: it is published without."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _predicted(
        self,
        bench: Bench,
        model: LoadedModel,
        rows: InputBatch,
        tried: TriedRequest,
        done: Done,
        job: PendingRequest,
        answer: asyncio.Future[Prediction],
    ) -> None:
        error = answer.exception()
        if isinstance(error, NotCompiled):
            self._later(bench, model, rows, tried, done)
            return
        if error is None:
            prediction = answer.result()
            _add(tried, prediction, bench.difference(prediction, with_raw=False), job.seconds)
        else:
            _add(tried, None, str(error), job.seconds)
        done()

    def _later(self, bench: Bench, model: LoadedModel, rows: InputBatch, tried: TriedRequest, done: Done) -> None:
        task = asyncio.create_task(self._in_lane(bench, model, rows, tried, done), name="shadow")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _in_lane(
        self, bench: Bench, model: LoadedModel, rows: InputBatch, tried: TriedRequest, done: Done
    ) -> None:
        took = Took()
        try:
            prediction = await bench.lane.predict(model, rows, took)
            _add(tried, prediction, bench.difference(prediction, with_raw=False), took.seconds)
        except NotInTime as late:
            if not self._batcher.is_overloaded:
                _add(tried, None, str(late), took.seconds)
        except (ModelFailed, RowsRefused) as failure:
            _add(tried, None, str(failure), took.seconds)
        except Exception as unexpected:
            log.exception("unexpected error of a tried version", model_name=model.artifact.model_name)
            _add(tried, None, f"{type(unexpected).__name__}: {first_line(unexpected)}", took.seconds)
        finally:
            done()


def _add(tried: TriedRequest, prediction: Prediction | None, error: str | None, seconds: float) -> None:
    made = prediction if error is None else None
    tried.outcomes.append(VersionOutcome(Arm.CHALLENGER, None, made, error, seconds or None))
