"""One request of a model that has a rollout: which version predicts which of its rows, and what each made of them.

A user is never worse off for a rollout: where the tried version fails, or is late, the champion answers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
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


@dataclass(slots=True)
class TrialRequest:
    """`with_raw`: the raw output of MLflow's scoring server is wanted, too."""

    batcher: AdaptiveBatcher
    bench: Bench
    champion: LoadedModel
    challenger: LoadedModel
    table: InputBatch
    tried: TriedRequest
    with_raw: bool

    async def predict(self) -> Prediction:
        """Predict each row by the version of its arm; in a shadow all rows by the champion.

        Raises as the batcher, and NotJoined. ModelFailed and TooSlow have `tried`: what is published of the request.
        """
        arms = self.tried.arms
        if arms is None:
            return await self._by_champion(None)
        champions = [self.tried.champion_version] * len(arms)
        self.tried.answered_by = champions
        if Arm.CHALLENGER not in arms:
            return await self._by_champion(None)
        if Arm.CHAMPION not in arms:
            if (prediction := await self._by_challenger(None)) is None:
                return await self._by_champion(None)
            self.tried.answered_by = [self.tried.tried_version] * len(arms)
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
                champions[row] = self.tried.tried_version
        return joined(len(self.table), [(mine, first), (theirs, second)], with_raw=self.with_raw)

    async def _by_champion(self, rows: Rows) -> Prediction:
        took, table = Took(), _part(self.table, rows)
        try:
            prediction = await ask(self.batcher, self.champion, table, took, with_raw=self.with_raw)
        except (ModelFailed, TooSlow) as failure:
            words = failure.detail if isinstance(failure, TooSlow) else str(failure)
            self.tried.outcomes.append(VersionOutcome(Arm.CHAMPION, rows, None, words, took.seconds or None))
            failure.tried = self.tried
            raise
        except RowsRefused as refusal:
            raise refusal if rows is None else _of_request(refusal, rows) from None
        self.bench.note(prediction, took.seconds, with_raw=self.with_raw)
        self.tried.outcomes.append(VersionOutcome(Arm.CHAMPION, rows, prediction, None, took.seconds))
        return prediction

    async def _by_challenger(self, rows: Rows) -> Prediction | None:
        """Return its prediction; None when it has failed, or was late."""
        took, lane = Took(), self.bench.lane
        prediction, error = None, None
        lane.limit(self.bench.deadline.seconds)
        try:
            table = self.bench.rows_for(self.challenger, _part(self.table, rows))
            prediction = await ask(lane, self.challenger, table, took, with_raw=self.with_raw)
            error = self.bench.difference(prediction, with_raw=self.with_raw)
        except (ModelFailed, RowsRefused) as failure:
            error = str(failure)
        except Exception as unexpected:  # whatever it is, the champion answers
            log.exception("unexpected error of a tried version", model_name=self.challenger.artifact.model_name)
            error = f"{type(unexpected).__name__}: {first_line(unexpected)}"
        failed = error is not None
        outcome = VersionOutcome(Arm.CHALLENGER, rows, None if failed else prediction, error, took.seconds or None)
        self.tried.outcomes.append(outcome)
        return None if failed else prediction


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
