"""What a replica does for a rollout: which version is tried beside the champion, and how.

Like `versions`: a stateless function from a snapshot to one action. It is called when nothing is left to do for the
desired version, so a version that is tried never delays a promotion.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts import Mode
from serving.policy.versions import Artifact, Attempt, DesiredVersion, Fetch, Load, Nothing, Resident, RetryAt, WarmUp


@dataclass(frozen=True, slots=True)
class DesiredTrial:
    """The last RolloutChanged of a model, as a replica carries it out."""

    rollout_id: str
    revision: int
    step: int
    mode: Mode
    share: float
    salt: str
    champion_epoch: int
    """It is carried out only while the replica's champion has this epoch."""
    tried: DesiredVersion
    may_be_promoted: bool = True
    """False when the rollout ended otherwise: then its version is released."""

    def is_of_same(self, other: DesiredTrial) -> bool:
        """Return whether both are steps of one rollout that tries one version."""
        return (self.rollout_id, self.tried) == (other.rollout_id, other.tried)


@dataclass(frozen=True, slots=True)
class TrialSnapshot:
    """The complete state of a model's rollout on one replica."""

    trial: DesiredTrial | None = None
    running: DesiredTrial | None = None
    """The one that is carried out."""
    active: DesiredVersion | None = None
    resident: tuple[Resident, ...] = ()
    cached: bool = False
    """The tried artifact is on disk."""
    attempt: Attempt | None = None
    """Failures of the tried version in this rollout."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Carry out the trial from here on: its version is warm."""

    trial: DesiredTrial


TrialAction = Fetch | Load | WarmUp | Begin | RetryAt | Nothing


def supersedes_trial(new: DesiredTrial, current: DesiredTrial | None) -> bool:
    """Return whether `new` replaces `current`; as with versions, of one revision the later event wins."""
    return current is None or (new.revision >= current.revision and new != current)


def is_in_force(trial: DesiredTrial | None, active: DesiredVersion | None) -> bool:
    """Return whether `trial` is to be carried out beside `active`."""
    if trial is None or active is None:
        return False
    return trial.mode is not Mode.OFF and active.epoch == trial.champion_epoch


def goes_on(running: DesiredTrial, trial: DesiredTrial | None, active: DesiredVersion | None) -> bool:
    """Return whether what is carried out may go on until the next step of the same rollout begins."""
    return trial is not None and running.is_of_same(trial) and is_in_force(trial, active)


def kept(trial: DesiredTrial | None, active: DesiredVersion | None, attempt: Attempt | None) -> Artifact | None:
    """Return the version that stays in memory for a rollout.

    While people approve, and until a promotion that ends the rollout is read, it is not carried out, and stays: its
    promotion is a swap.
    """
    if trial is None or active is None or active.epoch != trial.champion_epoch:
        return None
    failed = attempt is not None and attempt.permanent
    return trial.tried.artifact if trial.may_be_promoted and not failed else None


def is_promotion_due(trial: DesiredTrial | None, desired: DesiredVersion | None) -> bool:
    """Return whether `trial` belongs to a promotion that was not read yet: the topics are read in any order."""
    return trial is not None and desired is not None and (desired.epoch or 0) < trial.champion_epoch


def next_trial_action(state: TrialSnapshot, now: float) -> TrialAction:
    """Return the next action; Nothing when the trial is carried out, is not in force, or its version failed."""
    trial = state.trial
    if trial is None or trial == state.running or not is_in_force(trial, state.active):
        return Nothing()
    tried = trial.tried
    if state.attempt is not None:
        if state.attempt.permanent:
            return Nothing()
        if now < state.attempt.retry_at:
            return RetryAt(tried, state.attempt.retry_at)
    warm = {resident.artifact: resident.warm for resident in state.resident}
    if tried.artifact in warm:
        # One whose process is down begins, too: its errors count, and the process is started again.
        return Begin(trial) if warm[tried.artifact] else WarmUp(tried)
    return Load(tried) if state.cached else Fetch(tried)
