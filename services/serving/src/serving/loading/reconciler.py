"""The executor: takes a snapshot of each model, calls the policy, executes its action, and repeats."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from chassis.artifact_cache import ArtifactCache
from chassis.errors import Permanent, Transient
from chassis.settings import MEBIBYTE
from chassis.telemetry import get_logger
from chassis.waiting import set_within
from contracts import Envelope, Event, GatePassed, ModelLoaded, ModelLoadFailed, Promoted
from serving.loading.executor import LimitedExecutor
from serving.loading.load_steps import Download, Source, bring_in, compile_form, make_warm
from serving.loading.memory import give_back, make_room
from serving.loading.model_state import ModelState
from serving.loading.preload import prepare
from serving.policy.versions import (
    Action,
    Attempt,
    Compile,
    DesiredVersion,
    Fetch,
    Load,
    Nothing,
    Release,
    RetryAt,
    Swap,
    WarmUp,
    next_action,
    retry_delay,
    supersedes,
)
from serving.settings import Settings
from serving.workers.swap_barrier import SwapBarrier

SWAPS = Counter("gauntlet_serving_swaps_total", "Versions swapped in", ["model_name"])
FAILURES = Counter("gauntlet_serving_load_failures_total", "Fetches, loads and warm-ups that failed", ["model_name"])
SECONDS = Histogram("gauntlet_serving_load_seconds", "From the event's arrival to the swap")
VERSION = Gauge("gauntlet_serving_model_version", "The version that answers", ["model_name"])
EPOCH = Gauge("gauntlet_serving_model_epoch", "The epoch that answers; production only", ["model_name"])

COMPILE_AFTER_SECONDS = 0.1
"""A version that is replaced sooner is not worth compiling, and its successor must not wait for the compiler."""

Report = Callable[[Event, Envelope[Any] | None], None]

log = get_logger(__name__)


class ModelReconciler:
    """A Part. `set_desired` sets what to serve; nothing is fetched or loaded before `begin` was awaited."""

    name = "loader"
    receives = (Promoted, GatePassed)  # the second in staging only

    def __init__(
        self,
        settings: Settings,
        cache: ArtifactCache,
        download: Download,
        report: Report,
        barrier: SwapBarrier | None = None,
        tolerances: Mapping[str, float] | None = None,
    ) -> None:
        """`tolerances`: for the scores of compiled models, by model name as they are now, where they override the
        settings."""
        self._settings = settings
        self._cache = cache
        self._source = Source(cache, download)
        self._report = report
        self._barrier = barrier
        self._tolerances = {} if tolerances is None else tolerances  # one without an entry yet may get some
        self._states: dict[str, ModelState] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fetching = LimitedExecutor("fetch", settings.fetch_concurrency)
        self._loading = LimitedExecutor("load", settings.load_concurrency)
        self._trimming = LimitedExecutor("trim", 1)
        self._caught_up = asyncio.Event()
        self._was_ready = False
        self._preparing: asyncio.Task[None] | None = None

    def hold_until(self, caught_up: asyncio.Event) -> None:
        """Wait at the start until all desired versions are known: only the newest is worth a load."""
        self._caught_up = caught_up

    async def start(self) -> None:
        """Start importing what models need. The first load waits for it."""
        preparing = prepare(self._settings.preload, self._is_idle)
        self._preparing = asyncio.create_task(preparing, name="loader prepares")

    async def stop(self) -> None:
        tasks = [*self._tasks.values(), *([self._preparing] if self._preparing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def set_desired(self, desired: DesiredVersion, cause: Envelope[Any]) -> None:
        """Set the desired version of a model; ignore a stale or repeated order."""
        name = desired.artifact.model_name
        state = self._states.get(name)
        if not supersedes(desired, state.desired if state else None):
            log.info("stale or repeated, ignored", model_name=name, model_version=desired.artifact.model_version)
            return
        if state is None:
            state = self._states[name] = ModelState(name)
        state.set_desired(desired, cause, time.monotonic())
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._drive(state), name=f"loader {name}")

    def desired(self, model_name: str) -> DesiredVersion | None:
        state = self._states.get(model_name)
        return state.desired if state else None

    async def loaded(self, state: ModelState) -> None:
        """Wait until an evicted model is loaded, or the load fails: one load for all waiting requests."""
        if state.is_evicted:
            await state.request_load(time.monotonic()).wait()

    @property
    def knows_all(self) -> bool:
        """Whether every version that was desired at the start is known; before that, a model may yet appear."""
        return self._caught_up.is_set()

    def state(self, model_name: str) -> ModelState | None:
        return self._states.get(model_name)

    def states(self) -> list[ModelState]:
        return sorted(self._states.values(), key=lambda state: state.model_name)

    def check(self) -> None:
        """Raise Transient until every version desired at the start is active, or failed permanently.

        Later ones do not count: while they load, the previous versions are served.
        """
        if self._was_ready:
            return
        if not self._caught_up.is_set():
            raise Transient("still reading which versions are desired")
        waiting = [state.as_waiting() for state in self.states() if not state.is_settled]
        if waiting:
            raise Transient(f"{len(waiting)} not loaded yet: {'; '.join(waiting[:10])}")
        self._was_ready = True

    async def _is_idle(self) -> bool:
        """Return whether no version is desired at the start."""
        await self._caught_up.wait()
        return not self._states

    async def _drive(self, state: ModelState) -> None:
        await self._caught_up.wait()
        if self._preparing is not None:
            await asyncio.wait({self._preparing})
        while True:
            state.changed.clear()
            action = next_action(state.snapshot(cached=self._source.holds(state.desired)), time.monotonic())
            state.loading = isinstance(action, Load | WarmUp | Swap)
            try:
                await self._do(state, action)
            except Exception as error:
                log.exception("unexpected error while loading", model_name=state.model_name)
                if state.desired is not None:
                    self._failed(state, state.desired, f"{type(error).__name__}: {error}", permanent=False)
                await asyncio.sleep(self._settings.retry_first_seconds)

    async def _do(self, state: ModelState, action: Action) -> None:
        match action:
            case Fetch(desired):
                await self._step(state, desired, self._fetching, partial(self._source.fetch, desired))
            case Load(desired):
                bringing = partial(bring_in, self._source, desired, self._settings)
                loaded = await self._step(state, desired, self._loading, bringing)
                if loaded is not None:
                    state.resident[desired.artifact] = loaded
            case WarmUp(desired):
                loaded = state.resident[desired.artifact]
                if await self._step(
                    state, desired, self._loading, partial(make_warm, loaded, self._settings, self._tolerance(state))
                ):
                    loaded.warm = True
            case Swap(desired):
                if self._barrier is not None and not await state.unless_changed(self._barrier.reached(desired)):
                    return
                state.swap(desired)
                self._swapped(state, desired)
                state.loading = False
                self._tidy()
            case Compile(desired):
                if await set_within(state.changed, COMPILE_AFTER_SECONDS):
                    return
                loaded = state.resident[desired.artifact]
                compiling = self._loading.run(partial(compile_form, loaded, self._settings, self._tolerance(state)))
                loaded.compiled = await state.unless_changed(compiling)
                self._tidy()
            case Release(artifacts):
                for artifact in artifacts:
                    del state.resident[artifact]
                    log.info("released", model_name=state.model_name, model_version=artifact.model_version)
            case RetryAt(_, when):
                await set_within(state.changed, when - time.monotonic())
            case Nothing():
                await state.changed.wait()

    async def _step(
        self, state: ModelState, desired: DesiredVersion, executor: LimitedExecutor, work: Callable[[], Any]
    ) -> Any:
        """Run `work` in a thread; return None when it failed, or when the desired version changed meanwhile."""
        running = asyncio.create_task(executor.run(work))
        changed = asyncio.create_task(state.changed.wait())
        try:
            limit = self._settings.step_seconds
            await asyncio.wait({running, changed}, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                return running.result()
            if not changed.done():
                self._failed(state, desired, f"no end after {limit:g} s (SERVING_STEP_SECONDS)", permanent=False)
        except (Transient, OSError, MemoryError) as error:
            self._failed(state, desired, str(error) or type(error).__name__, permanent=False)
        except Permanent as error:
            self._failed(state, desired, str(error), permanent=True)
        except Exception as error:  # a client library's own, such as one that is not installed
            self._failed(state, desired, f"{type(error).__name__}: {error}", permanent=True)
        finally:
            running.cancel()
            changed.cancel()
        return None

    def _tolerance(self, state: ModelState) -> float | None:
        """Return the tolerance of a model; None when compilation is disabled."""
        settings = self._settings
        return self._tolerances.get(state.model_name, settings.parity_tolerance) if settings.compile else None

    def _swapped(self, state: ModelState, desired: DesiredVersion) -> None:
        artifact, seconds = desired.artifact, time.monotonic() - state.desired_at
        SWAPS.labels(artifact.model_name).inc()
        SECONDS.observe(seconds)
        VERSION.labels(artifact.model_name).set(artifact.model_version)
        EPOCH.labels(artifact.model_name).set(desired.epoch or 0)
        log.info(
            "swapped in",
            model_name=artifact.model_name,
            model_version=artifact.model_version,
            epoch=desired.epoch,
            seconds=round(seconds, 4),
        )
        loaded = ModelLoaded(**self._report_of(desired, seconds), artifact_digest=artifact.digest)
        self._report(loaded, state.cause)

    def _tidy(self) -> None:
        """Evict what exceeds the memory budget, and delete what exceeds the cache's limit."""
        evicted = make_room(self.states(), self._settings.memory_mb * MEBIBYTE)
        keep = {item.digest for each in self._states.values() for item in each.resident}
        for desired in (
            desired for each in self._states.values() for desired in (each.desired, each.evicted) if desired
        ):
            keep |= {desired.artifact.digest, desired.artifact_ref.digest if desired.artifact_ref else ""}
        trimming = asyncio.create_task(self._trimming.run(partial(self._trim, keep, evicted)))
        trimming.add_done_callback(_note_trimmed)

    def _trim(self, keep: set[str], evicted: bool) -> list[str]:
        if evicted:
            give_back()
        return self._cache.trim(keep)

    def _failed(self, state: ModelState, desired: DesiredVersion, reason: str, *, permanent: bool) -> None:
        earlier = state.attempt.failures if state.attempt is not None and state.attempt.desired == desired else 0
        delay = retry_delay(earlier + 1, self._settings.retry_first_seconds, self._settings.retry_limit_seconds)
        retry_at = time.monotonic() + delay * random.uniform(0.8, 1.2)  # replicas must not call MLflow all at once
        state.fail(Attempt(desired, earlier + 1, permanent, retry_at), reason)
        FAILURES.labels(state.model_name).inc()
        log.error(
            "cannot load" if permanent else "cannot load now, will try again",
            model_name=state.model_name,
            model_version=desired.artifact.model_version,
            epoch=desired.epoch,
            attempt=earlier + 1,
            reason=reason,
        )
        if permanent and self._barrier is not None:
            self._barrier.ready(desired)  # the other workers need not wait for this one
        if earlier == 0 or permanent:  # not one event per retry
            seconds = time.monotonic() - state.desired_at
            failed = ModelLoadFailed(**self._report_of(desired, seconds), reason=reason, permanent=permanent)
            self._report(failed, state.cause)

    def _report_of(self, desired: DesiredVersion, seconds: float) -> dict[str, Any]:
        return {
            "model_name": desired.artifact.model_name,
            "model_version": desired.artifact.model_version,
            "epoch": desired.epoch,
            "replica": self._settings.replica,
            "role": self._settings.role,
            "seconds": max(0.0, seconds),
        }


def _note_trimmed(trimming: asyncio.Task[list[str]]) -> None:
    if trimming.cancelled():
        return
    if (error := trimming.exception()) is not None:
        log.warning("cannot trim the artifact cache", error=str(error))
    elif removed := trimming.result():
        log.info("removed from the artifact cache", digests=removed)
