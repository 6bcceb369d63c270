"""One request of a model that has a rollout: which version predicts which of its rows, and what each made of them.

A user is never worse off for a rollout: where the tried version fails, or is late, the champion answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from chassis.telemetry import get_logger
from contracts import Arm
from serving.inference.batcher import AdaptiveBatcher, Took, TooSlow
from serving.inference.model import LoadedModel, ModelFailed, first_line
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest, VersionOutcome
from serving.trials.bench import Bench
from serving.trials.joining import joined

Rows = Sequence[int] | None
"""Numbers of rows; None: all of the request."""

log = get_logger(__name__)


class Divided:
    """A request with rows in the arm of the tried version; `with_raw`: as MLflow's scoring server."""

    def __init__(
        self,
        batcher: AdaptiveBatcher,
        champion: LoadedModel,
        challenger: LoadedModel,
        table: InputBatch,
        tried: TriedRequest,
        *,
        with_raw: bool,
    ) -> None:
        self._batcher = batcher
        self._champion = champion
        self._challenger = challenger
        self._table = table
        self._tried = tried
        self._bench: Bench = tried.bench
        self._with_raw = with_raw

    async def predict(self, arms: Sequence[Arm]) -> Prediction:
        """Predict each row by the version of its arm. Raises as `by_champion`, and NotJoined."""
        tried = self._tried
        champions = [tried.step.champion_version] * len(arms)
        tried.answered_by = champions
        if Arm.CHAMPION not in arms:
            if (prediction := await self._by_challenger(None)) is None:
                return await self._by_champion(None)
            tried.answered_by = [tried.step.tried_version] * len(arms)
            return prediction
        mine = [row for row, arm in enumerate(arms) if arm is Arm.CHAMPION]
        theirs = [row for row, arm in enumerate(arms) if arm is Arm.CHALLENGER]
        first, second = await asyncio.gather(
            self._by_champion(mine), self._by_challenger(theirs), return_exceptions=True
        )
        if isinstance(first, BaseException):
            raise first
        if isinstance(second, BaseException):
            raise second
        if second is None:
            second = await self._by_champion(theirs)
        else:
            for row in theirs:
                champions[row] = tried.step.tried_version
        return joined(len(self._table), [(mine, first), (theirs, second)], with_raw=self._with_raw)

    async def _by_champion(self, rows: Rows) -> Prediction:
        try:
            return await by_champion(
                self._batcher, self._champion, _part(self._table, rows), self._tried, rows, with_raw=self._with_raw
            )
        except RowsRefused as refusal:
            raise refusal if rows is None else _of_request(refusal, rows) from None

    async def _by_challenger(self, rows: Rows) -> Prediction | None:
        """Return its prediction; None when it has failed, or was late."""
        took, bench = Took(), self._bench
        prediction, error = None, None
        bench.lane.limit(bench.deadline.seconds)
        try:
            table = bench.rows_for(self._challenger, _part(self._table, rows))
            prediction = await ask(bench.lane, self._challenger, table, took, with_raw=self._with_raw)
            error = bench.difference(prediction, with_raw=self._with_raw)
        except (ModelFailed, RowsRefused) as failure:
            error = str(failure)
        except Exception as unexpected:  # whatever it is, the champion answers
            log.exception("unexpected error of a tried version", model_name=self._challenger.artifact.model_name)
            error = f"{type(unexpected).__name__}: {first_line(unexpected)}"
        if error is not None:
            prediction = None
        outcome = VersionOutcome(Arm.CHALLENGER, rows, prediction, error, took.seconds or None)
        self._tried.outcomes.append(outcome)
        return prediction


async def by_champion(
    batcher: AdaptiveBatcher,
    champion: LoadedModel,
    table: InputBatch,
    tried: TriedRequest,
    rows: Rows,
    *,
    with_raw: bool,
) -> Prediction:
    """Predict `table`, these `rows` of a request, and add the outcome to `tried`.

    Raises as the batcher. ModelFailed and TooSlow have `tried`: what is published of the request.
    """
    took = Took()
    try:
        if with_raw:
            prediction = await ask(batcher, champion, table, took, with_raw=True)
        else:
            prediction = await batcher.predict(champion, table, took)
    except (ModelFailed, TooSlow) as failure:
        words = failure.detail if isinstance(failure, TooSlow) else str(failure)
        tried.outcomes.append(VersionOutcome(Arm.CHAMPION, rows, None, words, took.seconds or None))
        failure.tried = tried
        raise
    tried.bench.note(prediction, took.seconds, with_raw=with_raw)
    tried.outcomes.append(VersionOutcome(Arm.CHAMPION, rows, prediction, None, took.seconds))
    return prediction


async def ask(
    batcher: AdaptiveBatcher, model: LoadedModel, table: InputBatch, took: Took | None, *, with_raw: bool
) -> Prediction:
    """Predict by `batcher`. Raises RowsRefused, ModelFailed, and what the batcher raises on overload or timeout."""
    if not (with_raw and model.has_own_labels):
        return await batcher.predict(model, table, took)
    started = time.perf_counter()
    try:
        return await batcher.run(partial(model.invoked, table))
    finally:
        if took is not None:
            took.seconds = time.perf_counter() - started


def _part(table: InputBatch, rows: Rows) -> InputBatch:
    return table if rows is None else table.picked(rows)


def _of_request(refusal: RowsRefused, rows: Sequence[int]) -> RowsRefused:
    """Return the refusal with the rows as they are numbered in the request."""
    return RowsRefused(
        [replace(fault, row=rows[fault.row]) if fault.row is not None else fault for fault in refusal.faults]
    )
