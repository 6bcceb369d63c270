"""What every protocol does: find the model that answers, ask it, say what went wrong, count, and publish."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

from prometheus_client import Counter

from chassis.http import Problem
from serving.http.asgi import Call, Later
from serving.inference.batcher import Desk
from serving.inference.model import ModelFailed
from serving.inference.prediction import Outcome
from serving.inference.row_reader import Table
from serving.inference.validation import Fault, RowsRefused, nearest, shown
from serving.loading.model_state import Answering, Slot
from serving.loading.reconciler import Loader
from serving.publishing.predictions import Publisher
from serving.settings import Settings

MODEL_FAILED = Counter(
    "gauntlet_serving_model_failed_total", "Requests on which the model itself failed", ["model_name"]
)


class Front:
    """Everything wrong with a request is a Problem that names the field and the value."""

    def __init__(self, loader: Loader, desk: Desk, publisher: Publisher, settings: Settings) -> None:
        self.loader = loader
        self.desk = desk
        self.publisher = publisher
        self.settings = settings

    def answering(self, model_name: str | None) -> Answering:
        """The version in charge; without a name, of the one model that is served.

        Raises Problem 404, 422, 503, and Later for a model that was evicted from memory.
        """
        slot = self.slot(model_name)
        slot.asked = time.monotonic()
        answering = slot.answering  # once: it may be evicted meanwhile, and then answers this request all the same
        if answering is None:
            if slot.is_evicted:
                raise Later(partial(self._loaded, slot))
            raise not_loaded(slot, slot.failure.reason if slot.failure else "it is being loaded")
        return answering

    def slot(self, model_name: str | None) -> Slot:
        """Of a model that shall answer here, whether it does yet or not. Raises Problem 404, 422, 503."""
        if model_name is None:
            model_name = self._only_one()
        slot = self.loader.slot(model_name)
        if slot is None:
            served = self._served()
            hint = nearest(model_name, served) if served else "none is, yet"
            raise Problem(404, "no such model", f"model {shown(model_name)}: no version of it {self._how()}; {hint}")
        return slot

    async def ask(self, answering: Answering, table: Table) -> Outcome:
        """Raises Problem 422 for missing values that the model does not take, 503 when it fails."""
        try:
            return await self.desk.ask(answering.model, table)
        except RowsRefused as refusal:
            raise refused(answering, refusal) from None
        except ModelFailed as failure:
            raise failed(answering, failure) from failure

    def done(self, call: Call, answering: Answering, table: Table, outcome: Outcome) -> None:
        """Count and publish; takes microseconds."""
        seconds = time.perf_counter() - call.started
        artifact = answering.wanted.artifact
        answering.rows.inc(len(table))
        answering.latency.observe(seconds)
        self.publisher.offer(artifact, table, outcome, request_id=call.request_id, latency_ms=seconds * 1000)

    async def _loaded(self, slot: Slot, started: float) -> None:
        """Until an evicted model answers, or cannot. Raises Problem 503 when too many wait for it, or too long."""
        if slot.waiting >= self.settings.max_waiting:
            raise not_loaded(slot, f"{slot.waiting} requests wait for its load already (SERVING_MAX_WAITING)")
        seconds = self.settings.request_seconds
        slot.waiting += 1
        try:
            async with asyncio.timeout(started + seconds - time.perf_counter()):
                await self.loader.loaded(slot)
        except TimeoutError:
            why = f"it had been evicted (SERVING_MEMORY_MB), and {seconds:g} s (SERVING_REQUEST_SECONDS) did not do"
            raise not_loaded(slot, why) from None
        finally:
            slot.waiting -= 1

    def _only_one(self) -> str:
        served = self._served()
        if len(served) == 1:
            return served[0]
        if not served:
            raise Problem(503, "no model", f"no model {self._how()} yet", headers={"Retry-After": "5"})
        expected = f"the name of one of the models served: {', '.join(served[:30])}"
        fault = Fault(None, "model", "missing", "missing", expected)
        raise invalid(fault, f"model is missing; expected {expected}")

    def _served(self) -> list[str]:
        return [slot.model_name for slot in self.loader.slots()]

    def _how(self) -> str:
        return "was promoted" if self.settings.role == "production" else "passed its gates"


def not_loaded(slot: Slot, why: str) -> Problem:
    version = slot.desired.artifact.model_version if slot.desired else "?"
    detail = f"model {slot.model_name!r} version {version} does not answer yet: {why}"
    return Problem(503, "model not loaded", detail, headers={"Retry-After": "2"}, model_name=slot.model_name)


def refused(answering: Answering, refusal: RowsRefused) -> Problem:
    artifact = answering.wanted.artifact
    return Problem(
        422,
        "invalid rows",
        str(refusal),
        errors=[about(fault) for fault in refusal.faults],
        model_name=artifact.model_name,
        model_version=artifact.model_version,
    )


def failed(answering: Answering, failure: Exception) -> Problem:
    artifact = answering.wanted.artifact
    MODEL_FAILED.labels(artifact.model_name).inc()
    detail = f"{artifact.model_name!r} version {artifact.model_version} failed on valid rows: {failure}"
    return Problem(503, "model-failed", detail, model_name=artifact.model_name)


def invalid(fault: Fault, detail: str) -> Problem:
    error = about(fault)
    del error["row"]
    return Problem(422, "invalid request", detail, errors=[error])


def about(fault: Fault) -> dict[str, Any]:
    return {  # dataclasses.asdict copies deeply, and takes thirty times as long
        "row": fault.row,
        "field": fault.field,
        "value": fault.value,
        "type": fault.type,
        "expected": fault.expected,
    }
