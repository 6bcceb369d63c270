"""Loads the version that a rollout tries, and carries the rollout's steps out."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from chassis.settings import MEBIBYTE
from chassis.waiting import set_within
from contracts import Mode
from serving.loading.executor import LimitedExecutor
from serving.loading.failure import attempt_after, failure_of
from serving.loading.load_reports import LoadReports
from serving.loading.load_steps import Source, bring_in, make_warm
from serving.loading.model_state import LoadedVersion, ModelState
from serving.loading.steps import IsStillNext, Steps, unless_overtaken
from serving.policy.trials import Begin, TrialAction
from serving.policy.versions import Fetch, Load, Nothing, RetryAt, WarmUp
from serving.settings import Settings
from serving.workers.swap_barrier import SwapBarrier

CHECK_SECONDS = 1.0
"""Between two looks at the process of a version that is tried."""
ENDS, WITHIN_SECONDS = 3, 60.0
"""A process that ends so often in so many seconds, without those of calls that hang, is not started again."""


class TrialLoader:
    """Carries out what `serving.policy.trials` returns. Its threads are not those that promotions wait for."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        reports: LoadReports,
        barrier: SwapBarrier | None,
        tolerance: Callable[[ModelState], float | None],
        tidy: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._source = source
        self._reports = reports
        self._barrier = barrier
        self._tolerance = tolerance
        self._tidy = tidy
        self._steps = Steps(settings.step_seconds)
        self._threads = LimitedExecutor("trial", settings.load_concurrency)

    def next(self, state: ModelState) -> TrialAction:
        wanted = state.trying.wanted
        return state.next_trial_action(cached=self._source.holds(wanted.tried if wanted else None))

    async def do(self, state: ModelState, action: TrialAction, is_still_next: IsStillNext) -> None:
        run = partial(self._steps.run, state, is_still_next, self._threads)
        failed = partial(self._load_failed, state)
        match action:
            case Fetch(tried):
                await run(partial(self._source.fetch, tried), failed)
            case Load(tried):
                work = partial(bring_in, self._source, tried, self._settings, isolated=True)
                loaded = await run(work, failed)
                if loaded is not None:
                    state.resident[tried.artifact] = loaded
            case WarmUp(tried):
                loaded = state.resident[tried.artifact]
                if await run(partial(make_warm, loaded, self._settings, self._tolerance(state)), failed):
                    loaded.warm = True
                    self._tidy()
            case Begin(trial):
                if self._barrier is not None:
                    reached = self._barrier.reached(_agreement(state), trial.revision)
                    if not await unless_overtaken(state, is_still_next, reached):
                        return
                is_first = state.begin(trial)
                if (host := state.resident[trial.tried.artifact].host) is not None:
                    host.limit(self._settings.trial_memory_mb * MEBIBYTE)
                self._reports.trial_begun(state, trial, is_first=is_first)
            case RetryAt(_, when):
                await set_within(state.changed, when - time.monotonic())
            case Nothing():
                if self._barrier is not None and state.trying.wanted is not None:
                    # This worker does what the revision says, or cannot: the others need not wait for it.
                    self._barrier.ready(_agreement(state), state.trying.wanted.revision)
                if (running := state.trial) is not None and running.version.loaded.host is not None:
                    await self._look_after(state, running.version.loaded, is_still_next)
                else:
                    await state.changed.wait()

    async def _look_after(self, state: ModelState, loaded: LoadedVersion, is_still_next: IsStillNext) -> None:
        """End a process that leaks, start one that has ended; give the version up when it ends again and again."""
        host = loaded.host
        assert host is not None
        host.check()
        within = WITHIN_SECONDS + ENDS * self._settings.request_seconds
        recent = [why for at, why in host.ends if time.monotonic() - at < within]
        if len(recent) >= ENDS:
            self.fail(state, f"its process ended {len(recent)} times in {within:g} s, the last time: {recent[-1]}")
            return
        if host.may_revive:
            with suppress(Exception):  # an end more, which counts
                await unless_overtaken(state, is_still_next, self._threads.run(host.revive))
        await set_within(state.changed, CHECK_SECONDS)

    def fail(self, state: ModelState, reason: str) -> None:
        """End the trial on this replica, for as long as the same rollout tries the same version."""
        self._load_failed(state, reason, True)
        state.changed.set()

    def evicted(self, state: ModelState, size: int) -> None:
        """Say so where it is wanted; one that may be promoted later is loaded then."""
        wanted = state.trying.wanted
        if wanted is not None and wanted.mode is not Mode.OFF:
            budget = self._settings.memory_mb
            what = f"it takes {size / MEBIBYTE:.0f} MiB, and with it the models take more than {budget} MiB"
            self.fail(state, f"no memory for it beside the champion: {what} (SERVING_MEMORY_MB)")

    def _load_failed(self, state: ModelState, reason: str, permanent: bool) -> None:
        trying = state.trying
        if trying.wanted is None:
            return
        trial = trying.wanted
        trying.attempt = attempt_after(trying.attempt, trial.tried, self._settings, permanent=permanent)
        trying.failure = failure_of(trying.attempt, reason)
        state.end_trial_unless_in_force()
        self._reports.trial_failed(state, trial, trying.attempt, reason)


def _agreement(state: ModelState) -> str:
    return f"{state.model_name} rollout"
