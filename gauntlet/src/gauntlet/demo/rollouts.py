"""Steps in which a version proves itself on live traffic, or does not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from contracts import Cause, Envelope, Promoted, Result, RolloutChanged, RolloutMeasured, Stage
from gauntlet.demo.checks import StepFailed
from gauntlet.demo.play import Play
from gauntlet.demo.traffic import BUSY, STEADY, until

TRIAL_SECONDS = 120.0
POLICY_SECONDS = 30.0
ALONE = 20
"""Responses in a row of one version after which it is alone."""


class Rollouts:
    """What the story sees of rollouts: on the topics, and in the answers."""

    def __init__(self, play: Play) -> None:
        self._play = play

    def await_step(self, version: int, stage: Stage, share: float = 0.0) -> Envelope[RolloutChanged]:
        """Await the begin of a step. Raises StepFailed when the rollout ends instead."""

        def ended() -> str | None:
            end = self.ends(version)
            return f"the rollout of v{version} {end[0].result}: {end[0].reason}" if end else None

        return self._play.journal.wait(
            RolloutChanged,
            seconds=TRIAL_SECONDS,
            what=f"{stage} of v{version}" + (f" at {share:.0%}" if share else ""),
            where=lambda found: (
                found.data.tried.model_version == version and found.data.stage == stage and found.data.share == share
            ),
            unless=ended,
        )

    def await_end(self, version: int, *, after: datetime | None = None) -> RolloutChanged:
        """Await the end of the version's trials, or with `after` of the watch over it since then.

        A promotion that is watched ends the trials: the rollout goes on as a watch of the new champion.
        """
        self._play.say(f"waiting for the end of the rollout of v{version}")
        until(lambda: bool(self.ends(version, after)), TRIAL_SECONDS, f"the end of the rollout of v{version}")
        return self.ends(version, after)[0]

    def ends(self, version: int, after: datetime | None = None) -> list[RolloutChanged]:
        changes = [found for found in self._play.journal.every(RolloutChanged) if after is None or found.time > after]
        if after is not None:
            return [one.data for one in changes if one.data.result and one.data.champion_version == version]
        return [one.data for one in changes if _ends_trials(one.data, version)]

    def measured(self, rollout_id: str, step: int) -> RolloutMeasured | None:
        """Return the last totals of a step."""
        found = self._play.journal.every(
            RolloutMeasured, where=lambda each: each.data.rollout_id == rollout_id and each.data.step == step
        )
        return found[-1].data if found else None

    # What a version goes through

    def in_shadow(self, version: int) -> str:
        """Await a shadow and what follows it, with the figures that decided."""
        play = self._play
        play.traffic.pace = BUSY
        began = self.await_step(version, Stage.SHADOW)
        play.say(f"v{version} predicts what v{play.champion} answers")
        canary = self.await_step(version, Stage.CANARY, 0.1)
        return f"{(canary.time - began.time).total_seconds():.1f} s; {canary.data.reason}"

    def in_canary(self, version: int, shares: tuple[float, ...] = (0.1, 0.5)) -> str:
        """Await the steps of a canary that ends well."""
        steps = [self.await_step(version, Stage.CANARY, share) for share in shares]
        end = self.await_end(version)
        if not _promotes(end, version):
            raise StepFailed(f"the rollout of v{version} {end.result}: {end.reason}")
        self._play.traffic.pace = STEADY
        return "; ".join(self._in_words(step.data) for step in steps)

    def promoted(self, version: int, old: int) -> tuple[Envelope[Promoted], str]:
        """Await the promotion that ends a rollout, and answers of that version alone."""
        promotion, seen = self._play.await_promoted(version, Cause.TRIAL)
        self._play.traffic.await_only(version, ALONE, TRIAL_SECONDS)
        if failures := self._play.traffic.failures:
            raise StepFailed(f"{len(failures)} requests failed; the first: {failures[0]}")
        return promotion, f"v{version} alone answers, v{old} no more; {seen}"

    def aborted(self, version: int) -> str:
        """Await the abort of a version that does harm, with the number of entities that met it."""
        self._play.traffic.pace = BUSY
        end = self.await_end(version)
        self._play.traffic.pace = STEADY
        if end.result is not Result.ABORTED:
            raise StepFailed(f"v{version} was to be aborted, but it was {end.result}: {end.reason}")
        assert self._play.champion is not None
        self._play.traffic.await_only(self._play.champion, ALONE, TRIAL_SECONDS)
        rows = self._play.traffic.rows_by_version.get(version, 0)
        return f"aborted: {end.reason}; it answered {rows:,} of {self._play.traffic.rows:,} rows; {self._met(end)}"

    def rolled_back(self, version: int, to: int, since: datetime) -> str:
        """Await the rollback of a champion that its watch ended; checked: nobody asked for it."""
        end = self.await_end(version, after=since)
        if end.result is not Result.ROLLED_BACK:
            raise StepFailed(f"v{version} was to be rolled back, but its watch ended {end.result}: {end.reason}")
        promotion, seen = self._play.await_promoted(to, Cause.ROLLBACK)
        self._play.traffic.await_only(to, ALONE, TRIAL_SECONDS)
        failed = len(self._play.traffic.expected_failures)
        took = (promotion.time - since).total_seconds()
        return f"{end.reason}; rolled back {took:.1f} s after it began; {failed} requests failed; {seen}"

    def follow(self, version: int) -> str:
        """Await the end of a rollout, whatever it is."""
        self._play.traffic.pace = BUSY
        end = self.await_end(version)
        self._play.traffic.pace = STEADY
        if _promotes(end, version):
            assert self._play.champion is not None
            return self.promoted(version, self._play.champion)[1]
        return f"{end.result}: {end.reason}"

    def require_policy(self, changed: Mapping[str, str], strategy: str) -> None:
        """Change keys of the policy, and await that the gatekeeper has taken it up, with this strategy."""
        site, name = self._play.site, self._play.model_name
        for key, value in changed.items():
            site.set_policy(name, key, value)
        gatekeeper = site.service("gatekeeper")
        until(
            lambda: gatekeeper.get(f"/models/{name}")["strategy"] == strategy,
            POLICY_SECONDS,
            f"strategy {strategy} in the gatekeeper",
        )

    def _met(self, end: RolloutChanged) -> str:
        """Return how many entities the version met, over its steps."""
        steps: dict[int, RolloutMeasured] = {}
        for found in self._play.journal.every(
            RolloutMeasured, where=lambda each: each.data.rollout_id == end.rollout_id
        ):
            steps[found.data.step] = found.data
        most = max((step.tried.units for step in steps.values()), default=0)
        return f"at most {sum(step.tried.units for step in steps.values()):,} aircraft met it ({most:,} in one step)"

    def _in_words(self, step: RolloutChanged) -> str:
        found: Any = self.measured(step.rollout_id, step.step)
        if found is None:
            return f"{step.share:.0%}: nothing measured"
        return (
            f"{step.share:.0%}: {found.tried.units:,} of {found.tried.units + found.champion.units:,} aircraft, "
            f"{found.tried.predictions:,} predictions, {found.tried.errors} failed"
        )


def _promotes(change: RolloutChanged, version: int) -> bool:
    return change.result is Result.PROMOTED or (change.stage is Stage.WATCH and change.champion_version == version)


def _ends_trials(change: RolloutChanged, version: int) -> bool:
    is_tried = change.tried.model_version == version
    return (is_tried and change.result is not None) or _promotes(change, version)
