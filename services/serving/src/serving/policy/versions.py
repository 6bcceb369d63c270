"""The next action of a replica for one model: a stateless function from a snapshot to one action.

Like TensorFlow Serving's version policy: the executor takes a snapshot, calls the policy, executes the action, and
repeats. The policy keeps no state, so a crash, a duplicate or a new desired version in between needs no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts import OutputFormat

RESIDENT = 2
"""Versions of a model that stay in memory: the active one and the one before, for a rollback in milliseconds.

The version that a rollout tries stays, too; in the watch after a promotion, that is the one before.
"""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A version's files and their reading: what is cached, loaded and kept in memory. Another digest is another one.

    `output`: how its gates read its predictions; None for a promotion of before that was said, whose model declares it.
    """

    model_name: str
    model_version: int
    digest: str
    output: OutputFormat | None = None


@dataclass(frozen=True, slots=True)
class ServingArtifactRef:
    """A version's serving artifact, which the gate built for the replicas."""

    uri: str
    digest: str


@dataclass(frozen=True, slots=True)
class DesiredVersion:
    """A version that a replica should serve; the highest `order` of a model wins."""

    artifact: Artifact
    uri: str
    order: int
    """The epoch in production; in staging, when it passed or was promoted, in microseconds."""
    epoch: int | None = None
    """None in staging: a challenger has none yet."""
    artifact_ref: ServingArtifactRef | None = None
    """Optional: a version is served without one, too."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A version in memory."""

    artifact: Artifact
    warm: bool
    answered: bool = False
    """True when it was ever swapped in: a rollback may return to it."""
    compiled: bool = False
    """True when compilation was attempted, whether it succeeded or not."""
    isolated: bool = False
    """Its own code runs in a process of its own, because a rollout tried it."""
    down: bool = False
    """That process has ended, and it has no compiled form: it cannot predict now."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Failures so far while loading `desired`."""

    desired: DesiredVersion
    failures: int
    permanent: bool
    retry_at: float
    """Seconds on the executor's clock."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The complete state of one model on one replica."""

    desired: DesiredVersion | None = None
    active: DesiredVersion | None = None
    resident: tuple[Resident, ...] = ()
    """Least recently swapped in first."""
    cached: bool = False
    """The desired artifact is on disk."""
    attempt: Attempt | None = None
    evicted: DesiredVersion | None = None
    """It was active until its memory was needed, and has not been requested since."""
    tried: Artifact | None = None
    """A rollout tries it, or may promote it at any time: it stays in memory."""
    promotion_due: bool = False
    """A rollout names a later epoch than any promotion that was read: what is in memory may be promoted."""


@dataclass(frozen=True, slots=True)
class Fetch:
    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class Load:
    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class WarmUp:
    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class Swap:
    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class Compile:
    """The version is already active, natively: a promotion does not wait for the compiled model."""

    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class MoveIn:
    """The version is already active, from a process of its own: load it into this one, as any champion."""

    desired: DesiredVersion


@dataclass(frozen=True, slots=True)
class RetryAt:
    desired: DesiredVersion
    time: float


@dataclass(frozen=True, slots=True)
class Release:
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Nothing:
    pass


Action = Fetch | Load | WarmUp | Swap | MoveIn | Compile | RetryAt | Release | Nothing


def supersedes(new: DesiredVersion, current: DesiredVersion | None) -> bool:
    """Return whether `new` replaces `current`; a stale order, or the same version repeated, changes nothing.

    Of two versions with one order the later one wins: after a restart it is the only one on the compacted topic.
    """
    return current is None or (new.order >= current.order and new != current)


def next_action(state: Snapshot, now: float) -> Action:
    """Return the next action; Nothing when the desired version is active, or failed permanently.

    An evicted version waits for a request. A newer one of the same model does not: a promotion is verified on every
    replica when it is made, not by the first request. It may well be evicted next. If it cannot be loaded, the evicted
    one is loaded again: whatever fails, the previous version stays in service.
    """
    desired = state.desired
    if desired is not None and desired == state.active:
        return _improve(desired, state, now) or _release_or_nothing(state)
    if desired is None or desired == state.evicted:
        return _release_or_nothing(state)
    warm = {resident.artifact: resident.warm for resident in state.resident if not resident.down}
    if warm.get(desired.artifact):
        return Swap(desired)
    if state.attempt is not None and state.attempt.desired == desired:
        if state.evicted is not None:
            return _bring_back(state.evicted, warm)
        if state.attempt.permanent:
            return _release_or_nothing(state)
        if now < state.attempt.retry_at:
            return RetryAt(desired, state.attempt.retry_at)
    if desired.artifact in warm:
        return WarmUp(desired)
    return Load(desired) if state.cached else Fetch(desired)


def retry_delay(failures: int, first: float, limit: float) -> float:
    """Return the seconds to wait after the nth failure in a row: doubles from `first` up to `limit`."""
    return min(limit, first * 2.0 ** min(failures - 1, 30))


def _improve(active: DesiredVersion, state: Snapshot, now: float) -> Action | None:
    """Return what makes the active version faster, if anything does.

    One that cannot move into this process now goes on from its own, and what else there is to do does not wait.
    """
    mine = next((each for each in state.resident if each.artifact == active.artifact), None)
    if mine is None:
        return None
    if mine.isolated:
        attempt = state.attempt if state.attempt is not None and state.attempt.desired == active else None
        waits = attempt is not None and (attempt.permanent or now < attempt.retry_at)
        return None if waits else MoveIn(active)
    return None if mine.compiled else Compile(active)


def _bring_back(evicted: DesiredVersion, warm: dict[Artifact, bool]) -> Action:
    """Reload an evicted version from disk, where it is kept as long as it may be needed."""
    if evicted.artifact not in warm:
        return Load(evicted)
    return Swap(evicted) if warm[evicted.artifact] else WarmUp(evicted)


def _release_or_nothing(state: Snapshot) -> Action:
    """Keep the active version, the one before it, and the one that is tried; release the others."""
    if state.promotion_due:
        return Nothing()
    active = state.active.artifact if state.active else None
    others = [resident for resident in state.resident if resident.artifact != active]
    previous = [resident.artifact for resident in others if resident.answered][-(RESIDENT - 1) :]
    stale = tuple(each.artifact for each in others if each.artifact not in (*previous, state.tried))
    return Release(stale) if stale else Nothing()
