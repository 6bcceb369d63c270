"""Loads the version that a rollout tries, and carries the rollout's steps out."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from chassis.waiting import set_within
from serving.loading.executor import LimitedExecutor
from serving.loading.failure import attempt_after, failure_of
from serving.loading.load_reports import LoadReports
from serving.loading.load_steps import Source, bring_in, make_warm
from serving.loading.model_state import ModelState
from serving.loading.steps import Steps, unless_overtaken
from serving.policy.trials import Begin, TrialAction
from serving.policy.versions import Fetch, Load, Nothing, RetryAt, WarmUp
from serving.settings import Settings
from serving.workers.swap_barrier import SwapBarrier


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

    async def do(self, state: ModelState, action: TrialAction) -> None:
        def is_still_next() -> bool:
            return self.next(state) == action

        run = partial(self._steps.run, state, is_still_next, self._threads)
        failed = partial(self._load_failed, state)
        match action:
            case Fetch(tried):
                await run(partial(self._source.fetch, tried), failed)
            case Load(tried):
                loaded = await run(partial(bring_in, self._source, tried, self._settings), failed)
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
                self._reports.trial_begun(state, trial, is_first=is_first)
            case RetryAt(_, when):
                await set_within(state.changed, when - time.monotonic())
            case Nothing():
                if self._barrier is not None and state.trying.wanted is not None:
                    # This worker does what the revision says, or cannot: the others need not wait for it.
                    self._barrier.ready(_agreement(state), state.trying.wanted.revision)
                await state.changed.wait()

    def fail(self, state: ModelState, reason: str) -> None:
        """End the trial on this replica, for as long as the same rollout tries the same version."""
        self._load_failed(state, reason, True)

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
