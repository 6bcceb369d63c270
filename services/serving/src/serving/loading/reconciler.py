"""The executor: takes a snapshot of each model, calls the policy, executes its action, and repeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from chassis.artifact_cache import ArtifactCache
from chassis.errors import Transient
from chassis.settings import MEBIBYTE
from chassis.telemetry import get_logger
from chassis.waiting import set_within
from contracts import Envelope, GatePassed, Promoted, RolloutChanged
from serving.loading.executor import LimitedExecutor
from serving.loading.failure import attempt_after
from serving.loading.load_reports import LoadReports, Report
from serving.loading.load_steps import Download, Source, bring_in, compile_form, make_warm, moved_in
from serving.loading.memory import give_back, make_room
from serving.loading.model_state import ModelState
from serving.loading.preload import prepare
from serving.loading.steps import Steps, unless_overtaken
from serving.loading.trials import TrialLoader
from serving.policy.trials import DesiredTrial, supersedes_trial
from serving.policy.versions import (
    Action,
    Compile,
    DesiredVersion,
    Fetch,
    Load,
    MoveIn,
    Nothing,
    Release,
    RetryAt,
    Swap,
    WarmUp,
    next_action,
    supersedes,
)
from serving.settings import Settings
from serving.workers.swap_barrier import SwapBarrier

COMPILE_AFTER_SECONDS = 0.1
"""A version that is replaced sooner is not worth compiling, and its successor must not wait for the compiler."""

log = get_logger(__name__)


class ModelReconciler:
    """A Part. `set_desired` sets what to serve; nothing is fetched or loaded before `begin` was awaited."""

    name = "loader"
    receives = (Promoted, GatePassed, RolloutChanged)  # the second in staging only, the third in production only

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
        self._reports = LoadReports(settings, report)
        self._barrier = barrier
        self._tolerances = {} if tolerances is None else tolerances  # one without an entry yet may get some
        self._states: dict[str, ModelState] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fetching = LimitedExecutor("fetch", settings.fetch_concurrency)
        self._loading = LimitedExecutor("load", settings.load_concurrency)
        self._trimming = LimitedExecutor("trim", 1)
        self._steps = Steps(settings.step_seconds)
        self._trials = TrialLoader(settings, self._source, self._reports, barrier, self._tolerance, self._tidy)
        self._early_trials: dict[str, tuple[DesiredTrial, Envelope[Any]]] = {}
        """Of models of which no version was desired yet: the topics are read in any order."""
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
            if early := self._early_trials.pop(name, None):
                state.set_trial(*early, time.monotonic())
        state.set_desired(desired, cause, time.monotonic())
        if name not in self._tasks:
            self._tasks[name] = asyncio.create_task(self._drive(state), name=f"loader {name}")

    def set_trial(self, trial: DesiredTrial, cause: Envelope[Any]) -> None:
        """Set what a rollout wants of this replica; ignore a stale or repeated revision."""
        name = trial.tried.artifact.model_name
        state = self._states.get(name)
        current = state.trying.wanted if state is not None else self._early_trials.get(name, (None,))[0]
        if not supersedes_trial(trial, current):
            log.info("stale or repeated, ignored", model_name=name, revision=trial.revision)
        elif state is None:
            self._early_trials[name] = (trial, cause)
        else:
            state.set_trial(trial, cause, time.monotonic())

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
            action = self._next(state)
            state.loading = isinstance(action, Load | WarmUp | Swap)
            try:
                if isinstance(action, Nothing):
                    await self._do_for_rollout(state)
                else:
                    await self._do(state, action)
            except Exception as error:
                log.exception("unexpected error while loading", model_name=state.model_name)
                reason = f"{type(error).__name__}: {error}"
                if isinstance(action, Nothing):
                    self._trials.fail(state, reason)
                elif state.desired is not None:
                    self._failed(state, state.desired, reason, False)
                await asyncio.sleep(self._settings.retry_first_seconds)

    def _next(self, state: ModelState) -> Action:
        return next_action(state.snapshot(cached=self._source.holds(state.desired)), time.monotonic())

    async def _do_for_rollout(self, state: ModelState) -> None:
        action = self._trials.next(state)

        def is_still_next() -> bool:
            return isinstance(self._next(state), Nothing) and self._trials.next(state) == action

        await self._trials.do(state, action, is_still_next)

    async def _do(self, state: ModelState, action: Action) -> None:
        def is_still_next() -> bool:
            return self._next(state) == action

        run = partial(self._steps.run, state, is_still_next)
        work: Callable[[], Any]
        match action:
            case Fetch(desired):
                work = partial(self._source.fetch, desired)
                await run(self._fetching, work, partial(self._failed, state, desired))
            case Load(desired):
                work = partial(bring_in, self._source, desired, self._settings)
                loaded = await run(self._loading, work, partial(self._failed, state, desired))
                if loaded is not None:
                    state.resident[desired.artifact] = loaded
            case WarmUp(desired):
                loaded = state.resident[desired.artifact]
                work = partial(make_warm, loaded, self._settings, self._tolerance(state))
                if await run(self._loading, work, partial(self._failed, state, desired)):
                    loaded.warm = True
            case Swap(desired):
                if self._barrier is not None:
                    reached = self._barrier.reached(state.model_name, desired.order)
                    if not await unless_overtaken(state, is_still_next, reached):
                        return
                state.swap(desired)
                self._reports.swapped(state, desired)
                state.loading = False
                self._tidy()
            case MoveIn(desired):
                if await set_within(state.changed, COMPILE_AFTER_SECONDS):
                    return
                work = partial(moved_in, self._source, desired, self._settings, self._tolerance(state))
                loaded = await run(self._loading, work, partial(self._not_moved, state, desired))
                if loaded is not None:
                    state.move_in(loaded)
                    self._tidy()
            case Compile(desired):
                if await set_within(state.changed, COMPILE_AFTER_SECONDS):
                    return
                loaded = state.resident[desired.artifact]
                compiling = self._loading.run(partial(compile_form, loaded, self._settings, self._tolerance(state)))
                loaded.compiled = await unless_overtaken(state, is_still_next, compiling)
                self._tidy()
            case Release(artifacts):
                for artifact in artifacts:
                    del state.resident[artifact]
                    log.info("released", model_name=state.model_name, model_version=artifact.model_version)
            case RetryAt(_, when):
                await set_within(state.changed, when - time.monotonic())

    def _tolerance(self, state: ModelState) -> float | None:
        """Return the tolerance of a model; None when compilation is disabled."""
        settings = self._settings
        return self._tolerances.get(state.model_name, settings.parity_tolerance) if settings.compile else None

    def _tidy(self) -> None:
        """Evict what exceeds the memory budget, and delete what exceeds the cache's limit."""
        evicted = make_room(self.states(), self._settings.memory_mb * MEBIBYTE)
        for each in evicted:
            if each.was_tried:
                self._trials.evicted(each.state, each.size)
        keep = {item.digest for each in self._states.values() for item in each.resident}
        for desired in (desired for each in self._states.values() for desired in each.needed_versions()):
            keep |= {desired.artifact.digest, desired.artifact_ref.digest if desired.artifact_ref else ""}
        trimming = asyncio.create_task(self._trimming.run(partial(self._trim, keep, bool(evicted))))
        trimming.add_done_callback(_note_trimmed)

    def _trim(self, keep: set[str], evicted: bool) -> list[str]:
        if evicted:
            give_back()
        return self._cache.trim(keep)

    def _failed(self, state: ModelState, desired: DesiredVersion, reason: str, permanent: bool) -> None:
        attempt = attempt_after(state.attempt, desired, self._settings, permanent=permanent)
        state.fail(attempt, reason)
        if permanent and self._barrier is not None:
            self._barrier.ready(state.model_name, desired.order)  # the other workers need not wait for this one
        self._reports.failed(state, attempt, reason)

    def _not_moved(self, state: ModelState, desired: DesiredVersion, reason: str, permanent: bool) -> None:
        """It goes on answering; unlike after `RetryAt`, nothing waits for the next attempt."""
        self._failed(state, desired, f"it still runs in a process of its own: {reason}", permanent)
        if state.attempt is not None and not permanent:
            left = state.attempt.retry_at - time.monotonic()
            asyncio.get_running_loop().call_later(left, state.changed.set)


def _note_trimmed(trimming: asyncio.Task[list[str]]) -> None:
    if trimming.cancelled():
        return
    if (error := trimming.exception()) is not None:
        log.warning("cannot trim the artifact cache", error=str(error))
    elif removed := trimming.result():
        log.info("removed from the artifact cache", digests=removed)
