"""The part common to all protocols: find the active version, predict, report errors, count, and publish."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from prometheus_client import Counter

from chassis.http import Problem
from chassis.row_reader import InputBatch
from chassis.row_validation import Fault, RowsRefused, nearest, shown
from contracts import Mode
from serving.http.access import ModelCaller
from serving.http.asgi import ModelEvicted, RawRequest
from serving.inference.batcher import AdaptiveBatcher, TooSlow
from serving.inference.model import ModelFailed
from serving.inference.prediction import Prediction
from serving.loading.model_state import ActiveTrial, ActiveVersion, ModelState
from serving.loading.reconciler import ModelReconciler
from serving.publishing.predictions import PredictionPublisher
from serving.settings import Settings
from serving.trials.request import ask
from serving.trials.trials import Trials

INVALID = Counter(
    "gauntlet_serving_invalid_requests_total",
    "Requests whose rows do not fit the model, by the first fault: drift never sees these rows",
    ["model_name", "reason"],
)
MODEL_FAILED = Counter(
    "gauntlet_serving_model_failed_total", "Requests on which the model itself failed", ["model_name"]
)


class PredictionService:
    """Predicts for all protocols. Every error of a request is a Problem that names the field and the value."""

    def __init__(
        self, reconciler: ModelReconciler, batcher: AdaptiveBatcher, publisher: PredictionPublisher, settings: Settings
    ) -> None:
        self.reconciler = reconciler
        self.batcher = batcher
        self.publisher = publisher
        self.trials = Trials(batcher, publisher, settings)
        self.settings = settings

    def active(self, model_name: str | None, caller: ModelCaller | None = None) -> ActiveVersion:
        """Return the active version; without a name, of the only model that is served.

        Raises Problem 404, 422, 503, and ModelEvicted for a model that was evicted from memory; with authentication
        Problem 403.
        """
        state = self.state(model_name, caller)
        state.last_used = time.monotonic()
        active = state.active  # once: it may be evicted meanwhile, and then answers this request all the same
        if active is None:
            if state.is_evicted:
                raise ModelEvicted(partial(self._loaded, state))
            raise not_loaded(state, state.failure.reason if state.failure else "it is being loaded")
        return active

    def state(self, model_name: str | None, caller: ModelCaller | None = None) -> ModelState:
        """Return the state of a model that this replica serves, loaded or not. Raises Problem 404, 422, 503."""
        if model_name is None:
            model_name = self._only_one(caller)
        state = self.reconciler.state(model_name)
        if state is None:
            self._known_by_now(f"model {shown(model_name)}")
            served = self._served(caller)
            hint = nearest(model_name, served) if served else "none is, yet"
            raise Problem(404, "no such model", f"model {shown(model_name)}: no version of it {self._how()}; {hint}")
        return state

    async def predict(
        self, request: RawRequest, active: ActiveVersion, table: InputBatch, *, pinned: bool = False
    ) -> Prediction:
        """Predict; `pinned`: by the champion only, which the client has named.

        Raises Problem 422 for missing values that the model does not take, 503 when it fails.
        """
        trial = self.trial(active)
        try:
            if trial is None or (pinned and trial.desired.mode is Mode.SPLIT):
                return await self.batcher.predict(active.model, table)
            return await self.trials.predict(trial, active, table, request.request_id, with_raw=False)
        except RowsRefused as refusal:
            raise refused(active, refusal) from None
        except ModelFailed as failure:
            self.record_failure(request, active, table, failure)
            raise failed(active, failure) from failure
        except TooSlow as failure:
            self.record_failure(request, active, table, failure)
            raise

    async def predict_with_raw(self, request: RawRequest, active: ActiveVersion, table: InputBatch) -> Prediction:
        """Predict, with the raw output of MLflow's scoring server.

        Raises RowsRefused, ModelFailed, of which the caller records the failure, and Problem 503.
        """
        trial = self.trial(active)
        try:
            if trial is None:
                return await ask(self.batcher, active.model, table, None, with_raw=True)
            return await self.trials.predict(trial, active, table, request.request_id, with_raw=True)
        except TooSlow as failure:
            self.record_failure(request, active, table, failure)
            raise

    def shadowed(self, active: ActiveVersion, prediction: Prediction) -> Prediction:
        """Return a prediction that MLflow's own code made, as a part of the model's shadow, if there is one."""
        trial = self.trial(active)
        if trial is None or trial.desired.mode is Mode.SPLIT:
            return prediction
        return self.trials.shadowed(trial, active, prediction)

    def trial(self, active: ActiveVersion) -> ActiveTrial | None:
        """Return the version that a rollout tries beside `active`, if any."""
        state = self.reconciler.state(active.desired.artifact.model_name)
        trial = None if state is None else state.trial
        if trial is None or trial.desired.champion_epoch != active.desired.epoch:
            return None
        return trial

    def record(self, request: RawRequest, active: ActiveVersion, table: InputBatch, prediction: Prediction) -> None:
        """Count and publish; takes microseconds."""
        seconds = time.perf_counter() - request.started
        active.model.missing_texts.count(table)
        active.latency.observe(seconds)
        request_id, latency_ms = request.request_id, seconds * 1000
        if prediction.tried is not None and prediction.tried.is_recorded:
            self.trials.record(active, table, prediction.tried, request_id=request_id, latency_ms=latency_ms)
            return
        active.rows.inc(len(table))
        self.publisher.offer(active.desired.artifact, table, prediction, request_id=request_id, latency_ms=latency_ms)

    def record_failure(
        self, request: RawRequest, active: ActiveVersion, table: InputBatch, failure: ModelFailed | TooSlow
    ) -> None:
        """Publish a request that the champion failed on during a rollout."""
        if failure.tried is not None:
            latency_ms = (time.perf_counter() - request.started) * 1000
            self.trials.record_failure(
                active, table, failure.tried, request_id=request.request_id, latency_ms=latency_ms
            )

    async def _loaded(self, state: ModelState, started: float) -> None:
        """Wait until an evicted model is loaded, or fails. Raises Problem 503 on overload or timeout."""
        if state.waiting >= self.settings.max_waiting:
            raise not_loaded(state, f"{state.waiting} requests wait for its load already (SERVING_MAX_WAITING)")
        seconds = self.settings.request_seconds
        state.waiting += 1
        try:
            async with asyncio.timeout(started + seconds - time.perf_counter()):
                await self.reconciler.loaded(state)
        except TimeoutError:
            why = f"it was evicted (SERVING_MEMORY_MB), and not reloaded in {seconds:g} s (SERVING_REQUEST_SECONDS)"
            raise not_loaded(state, why) from None
        finally:
            state.waiting -= 1

    def _only_one(self, caller: ModelCaller | None) -> str:
        served = self._served(caller)
        if len(served) == 1:
            return served[0]
        if not served:
            self._known_by_now("which model")
            raise Problem(503, "no model", f"no model {self._how()} yet", headers={"Retry-After": "5"})
        expected = f"the name of one of the models served: {', '.join(served[:30])}"
        fault = Fault(None, "model", "missing", "missing", expected)
        raise invalid(fault, f"model is missing; expected {expected}")

    def _known_by_now(self, model: str) -> None:
        """Raise Problem 503 while the replica still reads what it should serve: the model may yet appear."""
        if not self.reconciler.knows_all:
            detail = f"{model}: this replica has just started, and still reads what {self._how()}; try again"
            raise Problem(503, "starting", detail, headers={"Retry-After": "2"})

    def _served(self, _caller: ModelCaller | None) -> list[str]:
        return [state.model_name for state in self.reconciler.states()]

    def _how(self) -> str:
        return "was promoted" if self.settings.role == "production" else "passed its gates"


class GuardedPredictionService(PredictionService):
    """With authentication: a caller learns nothing of models that they may not use, not even that they exist."""

    def state(self, model_name: str | None, caller: ModelCaller | None = None) -> ModelState:
        if caller is None:
            raise RuntimeError("a request came here without its caller")
        if model_name is None:
            model_name = self._only_one(caller)
        caller.require(model_name)  # before it is looked up
        return super().state(model_name, caller)

    def _served(self, caller: ModelCaller | None) -> list[str]:
        return [name for name in super()._served(caller) if caller is not None and caller.may(name)]


def not_loaded(state: ModelState, why: str) -> Problem:
    version = state.desired.artifact.model_version if state.desired else "?"
    detail = f"model {state.model_name!r} version {version} does not answer yet: {why}"
    return Problem(503, "model not loaded", detail, headers={"Retry-After": "2"}, model_name=state.model_name)


def refused(active: ActiveVersion, refusal: RowsRefused) -> Problem:
    artifact = active.desired.artifact
    INVALID.labels(artifact.model_name, refusal.reason).inc()
    return Problem(
        422,
        "invalid rows",
        str(refusal),
        errors=[about(fault) for fault in refusal.faults],
        model_name=artifact.model_name,
        model_version=artifact.model_version,
    )


def failed(active: ActiveVersion, failure: Exception) -> Problem:
    artifact = active.desired.artifact
    MODEL_FAILED.labels(artifact.model_name).inc()
    detail = f"{artifact.model_name!r} version {artifact.model_version} failed on valid rows: {failure}"
    return Problem(503, "model-failed", detail, headers={"Retry-After": "2"}, model_name=artifact.model_name)


def invalid(fault: Fault, detail: str) -> Problem:
    error = about(fault)
    del error["row"]
    return Problem(422, "invalid request", detail, errors=[error])


def about(fault: Fault) -> dict[str, Any]:
    return {  # dataclasses.asdict makes deep copies, and takes thirty times as long
        "row": fault.row,
        "field": fault.field,
        "value": fault.value,
        "type": fault.type,
        "expected": fault.expected,
    }
