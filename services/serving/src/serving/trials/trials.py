"""The requests of models that have a rollout, from their rows to what is published of them.

Of more rows than `SERVING_TRIAL_ROWS_PER_SECOND` a rollout is not measured: they cost nothing in a shadow, and in a
canary no more than their arm. Which ones depends on when they come, not on their arm or on what is predicted.
"""

from __future__ import annotations

import time

from chassis.row_reader import InputBatch
from contracts import Arm, Mode
from serving.inference.batcher import AdaptiveBatcher
from serving.inference.prediction import Prediction
from serving.inference.tried import TriedRequest, VersionOutcome
from serving.loading.model_state import ActiveTrial, ActiveVersion
from serving.policy.routing import arms
from serving.publishing.prediction_events import Budget
from serving.publishing.predictions import PredictionPublisher
from serving.settings import Settings
from serving.trials.bench import Bench
from serving.trials.joining import NotJoined
from serving.trials.request import Divided, ask, by_champion
from serving.trials.shadow import Shadow


class Trials:
    """A Part. Used on the event loop only."""

    name = "trials"

    def __init__(self, batcher: AdaptiveBatcher, publisher: PredictionPublisher, settings: Settings) -> None:
        self._batcher = batcher
        self._publisher = publisher
        self._settings = settings
        self._shadow = Shadow(batcher, settings.request_seconds)
        self._benches: dict[str, Bench] = {}
        self._budget = Budget(settings.trial_rows_per_second / settings.workers)

    async def start(self) -> None:
        return None

    async def stop(self) -> None:
        await self._shadow.stop()

    async def predict(
        self, trial: ActiveTrial, active: ActiveVersion, table: InputBatch, request_id: str, *, with_raw: bool
    ) -> Prediction:
        """Predict rows by the champion, or each by the version of its arm; `with_raw`: as MLflow's scoring server.

        Raises as the batcher. ModelFailed and TooSlow say in `tried` what is published of it.
        """
        is_measured = self._budget.take(len(table), time.monotonic())
        if trial.desired.mode is Mode.SPLIT:
            return await self._divided(trial, active, table, request_id, is_measured, with_raw=with_raw)
        if not is_measured:
            return await ask(self._batcher, active.model, table, None, with_raw=with_raw)
        tried = self._tried(trial, active)
        tried.shadow = trial.version.model
        prediction = await by_champion(self._batcher, active.model, table, tried, None, with_raw=with_raw)
        return _attached(prediction, tried)

    async def _divided(
        self,
        trial: ActiveTrial,
        active: ActiveVersion,
        table: InputBatch,
        request_id: str,
        is_measured: bool,
        *,
        with_raw: bool,
    ) -> Prediction:
        desired, champion, batcher = trial.desired, active.model, self._batcher
        drawn = arms(table.entities, request_id, len(table), desired.salt, desired.share)
        tried = self._tried(trial, active)
        tried.is_measured = is_measured
        tried.answered_by = [tried.step.champion_version] * len(drawn)
        if Arm.CHALLENGER in drawn:
            tried.arms = drawn
            divided = Divided(batcher, champion, trial.version.model, table, tried, with_raw=with_raw)
            try:
                return _attached(await divided.predict(drawn), tried)
            except NotJoined:  # by one version, then, and no part of the rollout
                return await ask(batcher, champion, table, None, with_raw=with_raw)
        if not is_measured:
            return _attached(await ask(batcher, champion, table, None, with_raw=with_raw), tried)
        tried.arms = drawn
        return _attached(await by_champion(batcher, champion, table, tried, None, with_raw=with_raw), tried)

    def shadowed(self, trial: ActiveTrial, active: ActiveVersion, prediction: Prediction) -> Prediction:
        """Return a prediction that the champion made in another way as one that the tried version makes, too."""
        if not self._budget.take(len(prediction.labels), time.monotonic()):
            return prediction
        tried = self._tried(trial, active)
        tried.outcomes.append(VersionOutcome(Arm.CHAMPION, None, prediction))
        tried.shadow = trial.version.model
        return _attached(prediction, tried)

    def record(
        self, active: ActiveVersion, table: InputBatch, tried: TriedRequest, *, request_id: str, latency_ms: float
    ) -> None:
        """Count a request, and publish it; in a shadow, once the tried version has predicted its rows."""
        artifact, rows, publisher = active.desired.artifact, len(table), self._publisher
        bench: Bench = tried.bench
        by_tried = 0 if tried.answered_by is None else tried.answered_by.count(tried.step.tried_version)
        if by_tried:
            bench.answered.inc(by_tried)
        if by_tried < rows:
            active.rows.inc(rows - by_tried)
        if not tried.is_measured:
            publisher.leave_out(rows)
            return
        if not publisher.admits(artifact.model_name, request_id, rows):
            return
        if tried.shadow is None:
            bench.count(rows, tried)
            publisher.put(artifact, table, tried, request_id=request_id, latency_ms=latency_ms)
            return

        def scored() -> None:
            bench.count(rows, tried)
            publisher.release(rows)
            publisher.put(artifact, table, tried, request_id=request_id, latency_ms=latency_ms)

        publisher.hold(rows)
        self._shadow.score(bench, tried.shadow, table, tried, scored)

    def record_failure(
        self, active: ActiveVersion, table: InputBatch, tried: TriedRequest, *, request_id: str, latency_ms: float
    ) -> None:
        """Publish a request that the champion failed on."""
        if not tried.is_measured:
            self._publisher.leave_out(len(table))
            return
        self._publisher.offer(active.desired.artifact, table, tried, request_id=request_id, latency_ms=latency_ms)

    def _tried(self, trial: ActiveTrial, active: ActiveVersion) -> TriedRequest:
        bench = self._bench(trial, active)
        return TriedRequest(bench.step, bench)

    def _bench(self, trial: ActiveTrial, active: ActiveVersion) -> Bench:
        name = active.desired.artifact.model_name
        bench = self._benches.get(name)
        if bench is None or not bench.is_of(trial, active):
            bench = self._benches[name] = Bench(self._settings, trial, active)
        return bench


def _attached(prediction: Prediction, tried: TriedRequest) -> Prediction:
    """Return another object: with a reference to itself by its outcomes, only the garbage collector would free it."""
    return Prediction(prediction.raw, prediction.labels, prediction.scores, tried)
