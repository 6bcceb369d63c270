"""Choice of training and golden windows, held-out entities, and the outcome of a training process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from contracts import DriftDetected, DriftKind, Harm
from contracts.policy import Golden, ModelPolicy

TEMPORARY_FAILURE = 75
"""The exit status (EX_TEMPFAIL) of a training process that could not reach MLflow."""

RANGE = ".."


@dataclass(frozen=True)
class Plan:
    """The training windows, and the golden rows."""

    training: tuple[str, ...]
    golden: str | None
    """The golden window; None when a share of the training windows' entities is held out instead."""
    holdout: float | None = None

    @property
    def training_name(self) -> str:
        return name_of(self.training)

    @property
    def golden_name(self) -> str:
        return self.golden if self.golden is not None else f"holdout {self.holdout:g} of {self.training_name}"


@dataclass(frozen=True)
class Refusal:
    """No training is possible; the reason is for the requester."""

    reason: str


def plan(
    windows: Sequence[str],
    *,
    training_windows: int,
    golden: Golden,
    requested: str | None = None,
    drift_window: str | None = None,
) -> Plan | Refusal:
    """Choose windows from a recipe's ordered ones.

    A request names its training windows. A drift names the window with the newest labels: it is the golden one, and
    earlier windows are trained on. Without either, the newest window is the golden one.
    With fewer earlier windows than `training_windows`, those that exist are trained on.
    """
    ordered = list(windows)
    if not ordered:
        return Refusal("the recipe has no windows")
    held_out = golden.share if golden.window == "holdout" else None
    if requested is not None:
        chosen = _requested(ordered, requested)
        if isinstance(chosen, Refusal):
            return chosen
        first, last = chosen
        if held_out is None and last == len(ordered) - 1:
            return Refusal(
                f"window {ordered[last]!r} is the last one, so no golden window comes after {requested!r}; "
                f"train on an earlier window, or set `golden: {{window: holdout}}` in the policy"
            )
        return Plan(tuple(ordered[first : last + 1]), None if held_out is not None else ordered[last + 1], held_out)
    newest = len(ordered) - 1
    if drift_window is not None:
        if drift_window not in ordered:
            return Refusal(_unknown(ordered, drift_window))
        newest = ordered.index(drift_window)
    if held_out is not None:
        return Plan(tuple(ordered[max(0, newest + 1 - training_windows) : newest + 1]), None, held_out)
    if newest == 0:
        return Refusal(f"window {ordered[0]!r} is the first one: there are no earlier rows to train on")
    return Plan(tuple(ordered[max(0, newest - training_windows) : newest]), ordered[newest])


@dataclass(frozen=True)
class Train:
    """The drift leads to a training."""


@dataclass(frozen=True)
class Ignore:
    """The drift leads to no training, for this reason."""

    reason: str


def after_drift(drift: DriftDetected, policy: ModelPolicy | None) -> Train | Ignore:
    """Decide whether a drift leads to a training. Its cooldown was observed before it was announced."""
    if policy is None or policy.recipe is None:
        return Ignore("no policy names a recipe for the model: there is nothing to train")
    if not drift.decides:
        estimated = "an estimate without labels" if drift.proxy or drift.kind is DriftKind.PROXY else "a changed score"
        return Ignore(f"kind {drift.kind}: {estimated} decides nothing alone")
    if drift.kind is DriftKind.DATA and policy.drift.retrain == "on harmful":
        if drift.harm is None:
            return Ignore("retrain: on harmful, and the harm of this drift was not estimated")
        if drift.harm.harm is not Harm.HARMFUL:
            return Ignore(f"retrain: on harmful, and this drift is {drift.harm.harm}: {drift.harm.reason}")
    return Train()


def name_of(windows: Sequence[str]) -> str:
    """Return `2013-04..2013-05`, or the one name."""
    return windows[0] if len(windows) == 1 else f"{windows[0]}{RANGE}{windows[-1]}"


def is_held_out(entity: str, share: float) -> bool:
    """Return whether the entity is held out for the golden rows: stable, independent of the other data."""
    return int.from_bytes(hashlib.sha256(entity.encode()).digest()[:8], "big") < share * 2**64


def _requested(ordered: list[str], requested: str) -> tuple[int, int] | Refusal:
    if requested in ordered:
        index = ordered.index(requested)
        return index, index
    first, separator, last = requested.partition(RANGE)
    if not separator:
        return Refusal(_unknown(ordered, requested))
    for name in (first, last):
        if name not in ordered:
            return Refusal(_unknown(ordered, name))
    if ordered.index(first) > ordered.index(last):
        return Refusal(f"window {requested!r} ends before it begins; did you mean {last}{RANGE}{first}?")
    return ordered.index(first), ordered.index(last)


def _unknown(ordered: list[str], name: str) -> str:
    nearest = get_close_matches(name, ordered, n=3, cutoff=0.3)
    hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
    return f"unknown window {name!r}; {hint}there are {len(ordered)}: {name_of(ordered)}"


@dataclass(frozen=True)
class Done:
    """The process wrote a result."""


@dataclass(frozen=True)
class Retry:
    """An external dependency was unavailable: wait and run again."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """Running again would end the same way."""

    reason: str


def ending(exit_status: int, reported: str | None, last_log_line: str | None) -> Done | Retry | Failed:
    """Decide what follows after a training process has ended by itself.

    `exit_status` is negative for a signal, as `subprocess` has it; `reported` is the error that the process wrote.
    """
    if exit_status == 0 and reported is None:
        return Done()
    if exit_status == TEMPORARY_FAILURE:
        return Retry(reported or last_log_line or "the training process requested a later retry")
    if exit_status < 0:
        cause = " (SIGKILL: out of memory, most often)" if exit_status == -9 else ""
        return Failed(f"the training process was ended by signal {-exit_status}{cause}")
    return Failed(
        reported or last_log_line or f"the training process exited with status {exit_status} and said nothing"
    )
