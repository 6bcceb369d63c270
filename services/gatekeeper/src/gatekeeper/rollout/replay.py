"""Decide every step of a rollout again from the evidence that was kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts import Mode, RolloutMeasured
from gatekeeper.database import rollouts
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.policy.rollout import next_action
from gatekeeper.replay import Difference, differences


@dataclass(frozen=True)
class StepReplay:
    """One decision. `now` is None where nothing was computed: by people, by staging, or by another champion."""

    step: int
    stage: str
    then: str
    now: str | None
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class RolloutReplay:
    rollout_id: str
    steps: tuple[StepReplay, ...]

    @property
    def agrees(self) -> bool:
        """To the last digit of every figure."""
        return not any(step.differences for step in self.steps)


def replay_rollout(row: RolloutRow) -> RolloutReplay:
    """Decide again on the sums that each decision rested on, at its time."""
    return RolloutReplay(row.id, tuple(_again(row, entry) for entry in row.history))


def _again(row: RolloutRow, entry: dict[str, Any]) -> StepReplay:
    step = rollouts.plan_of(row)[entry["step"]]
    if step.mode is Mode.OFF or entry["decided"] not in DECIDED:
        return StepReplay(entry["step"], entry["stage"], entry["action"], None)
    measured = None if entry["measured"] is None else RolloutMeasured.model_validate(entry["measured"])
    action = next_action(
        step,
        datetime.fromisoformat(entry["began_at"]),
        measured,
        datetime.fromisoformat(entry["decided_at"]),
        loss=rollouts.loss_of_step(entry["loss"], step),
        load_failure=entry["load_failure"],
    )
    then = {"decided": entry["decided"], "figures": _numbers(entry["figures"])}
    now = {"decided": type(action).__name__, "figures": _numbers(rollouts.figures_to_json(action.figures))}
    found = tuple(differences(then, now, f"rollout.steps[{entry['step']}]"))
    return StepReplay(entry["step"], entry["stage"], entry["decided"], type(action).__name__, found)


def _numbers(figures: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures without their sentences, whose wording may change."""
    return [{name: each[name] for name in ("name", "observed", "bound", "n")} for each in figures]


DECIDED = ("Advance", "Keep", "Abort", "RollBack", "Continue")
"""Actions of `next_action`; a step that ended otherwise was ended by people, or by another champion."""
