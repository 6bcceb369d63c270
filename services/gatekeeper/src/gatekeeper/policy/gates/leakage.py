"""Gate: enough golden rows remain that neither the candidate nor the champion was trained on.

On training rows a model scores better than in production. They are removed, and models are compared on the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Leakage
from contracts.policy import Golden, ModelPolicy
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series, Unmeasurable

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "leakage"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION, Need.TRAINING_KEYS})

Mask = NDArray[np.bool_]

EXACT, ROUNDED, ENTITY, TIME = "exact", "rounded", "entity", "time"
WORDS = {EXACT: "exactly", ROUNDED: "to three digits", ENTITY: "by entity", TIME: "not later than the training rows"}
MOST_SHARED = 0.05
"""Maximum share of golden rows with duplicate keys: above it, equal keys do not indicate the same row."""


@dataclass(frozen=True, eq=False)
class Overlap:
    """Golden rows that a model was trained on: a mask (n,) per kind of match; `unknown`: why none is known.

    `shared`: share of golden rows whose key another golden row also has. `later`: whether all golden rows are later
    than all training rows; None without times.
    """

    unknown: str | None = None
    rows: int = 0
    """Number of training rows."""
    masks: Mapping[str, Mask] = field(default_factory=dict)
    shared: Mapping[str, float] = field(default_factory=dict)
    later: bool | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """One model: its overlap, the kinds of match that count, and its predictions on the golden rows."""

    label: str
    overlap: Overlap | None
    counted: tuple[str, ...] = ()
    answers: Predictions | None = None

    def trained_on(self, n: int) -> Mask:
        return trained_on(self.overlap, self.counted, n)


@dataclass(frozen=True, eq=False)
class Facts:
    """The candidate first, then the champion, if any; `truth` holds the labels of the n golden rows."""

    metric: str
    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    sides: tuple[Side, ...] = ()
    series: Series | None = None


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error = measurements.other_error()
    if measurement_error is not None or measurements.golden is None:
        return Facts(policy.metric, measurement_error)
    settings = policy.gates.leakage or Leakage()
    sides = [("the candidate", measurements.overlap, measurements.challenger_answers)]
    if measurements.champion is not None:
        label = f"champion v{measurements.champion.model_version}"
        sides.append((label, measurements.champion_overlap, measurements.champion_answers))
    return Facts(
        metric=policy.metric,
        truth=measurements.golden.truth,
        sides=tuple(
            Side(label, overlap, ways(overlap, settings, policy.golden), answers) for label, overlap, answers in sides
        ),
        series=measurements.golden.series,
    )


def ways(overlap: Overlap | None, settings: Leakage, golden: Golden) -> tuple[str, ...]:
    """Return the kinds of match that count: keys that are distinct enough; entity and time as set by the policy."""
    if overlap is None:
        return ()
    found = [way for way in (EXACT, ROUNDED) if way in overlap.masks and overlap.shared.get(way, 0.0) <= MOST_SHARED]
    held_out = golden.window == "holdout" and golden.dataset is None
    another_time = overlap.later and not held_out
    if ENTITY in overlap.masks and (settings.entity == "always" or (settings.entity == "auto" and not another_time)):
        found.append(ENTITY)
    if TIME in overlap.masks and golden.window == "previous" and golden.dataset is None:
        found.append(TIME)
    return tuple(found)


def trained_on(overlap: Overlap | None, counted: tuple[str, ...], n: int) -> Mask:
    """Return the mask (n,) of golden rows that count as trained on."""
    found = np.zeros(n, dtype=np.bool_)
    if overlap is not None:
        for way in counted:
            found |= overlap.masks[way]
    return found


def clean_rows(measurements: Measurements, policy: ModelPolicy) -> Mask:
    """Return the mask (n,) of golden rows for judging both models; all rows if the policy disables this gate."""
    n = 0 if measurements.golden is None else len(measurements.golden.truth)
    return clean_for(measurements.overlap, policy, n) & clean_for(measurements.champion_overlap, policy, n)


def clean_for(overlap: Overlap | None, policy: ModelPolicy, n: int) -> Mask:
    """Return the mask (n,) of golden rows for judging one model; rows count as clean if the overlap is unknown."""
    settings = policy.gates.leakage
    if settings is False:
        return np.ones(n, dtype=np.bool_)
    return ~trained_on(overlap, ways(overlap, settings, policy.golden), n)


def decide(facts: Facts, settings: Leakage) -> GateVerdict:
    """Pass if enough clean rows remain; the candidate is not blamed for training on the others.

    Inconclusive if the overlap is unknown, unless the policy sets `unknown: pass`.
    """
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.truth is None:
        return _verdict(Outcome.INCONCLUSIVE, "there are no golden rows with labels", {}, 0)
    n = len(facts.truth)
    clean = np.ones(n, dtype=np.bool_)
    for side in facts.sides:
        clean &= ~side.trained_on(n)
    left = int(clean.sum())
    details: dict[str, Any] = {
        "rows": n,
        "clean": left,
        "models": {side.label: _about(side, n) for side in facts.sides},
        "all_rows": _metrics(facts, np.ones(n, dtype=np.bool_)),
        "clean_rows": _metrics(facts, clean),
    }
    reason = _told(facts, n, left, details)
    unknown = [f"{side.label}: {_unknown(side)}" for side in facts.sides if _unknown(side)]
    if unknown and settings.unknown == "inconclusive":
        return _verdict(Outcome.INCONCLUSIVE, "; ".join(unknown), details, n)
    if unknown:
        reason = f"{reason} Not known, and let pass by the policy: {'; '.join(unknown)}."
    if left < min(settings.minimum_rows, n):
        few = f"only {left} clean rows are left, {settings.minimum_rows} are asked"
        return _verdict(Outcome.INCONCLUSIVE, f"{reason} But {few}: make a new golden dataset.", details, n)
    return _verdict(Outcome.PASSED, reason, details, n)


def _unknown(side: Side) -> str | None:
    return "it is not known what it was trained on" if side.overlap is None else side.overlap.unknown


def _told(facts: Facts, n: int, left: int, details: dict[str, Any]) -> str:
    if left == n:
        return f"none of {n} golden rows was trained on."
    parts = []
    for side in facts.sides:
        about = details["models"][side.label]
        if about["trained_on"]:
            how = ", ".join(f"{about[way]} {WORDS[way]}" for way in side.counted if about[way])
            parts.append(f"{side.label} was trained on {about['trained_on']} of them ({about['share']:.1%}: {how})")
    before, after = details["all_rows"], details["clean_rows"]
    told = f"{n - left} of {n} golden rows are taken out: {'; '.join(parts)}."
    if all(side.label in before and side.label in after for side in facts.sides):
        both = [" against ".join(f"{found[side.label]:.4f}" for side in facts.sides) for found in (before, after)]
        told += f" {facts.metric} was {both[0]} on all rows and is {both[1]} on the {left} clean ones."
    return told


def _about(side: Side, n: int) -> dict[str, Any]:
    overlap = side.overlap
    if overlap is None or overlap.unknown:
        return {"unknown": _unknown(side), "trained_on": 0}
    found = int(side.trained_on(n).sum())
    counts = {way: int(mask.sum()) for way, mask in overlap.masks.items()}
    return {
        "training_rows": overlap.rows,
        "trained_on": found,
        "share": found / n if n else 0.0,
        "counted": list(side.counted),
        "shared_keys": dict(overlap.shared),
        "golden_is_later": overlap.later,
        **counts,
    }


def _metrics(facts: Facts, rows: Mask) -> dict[str, float]:
    """Return the metric of each model on these rows, where it is defined."""
    found: dict[str, float] = {}
    assert facts.truth is not None, "asked for with labels only"
    series = None if facts.series is None else facts.series.only(rows)
    for side in facts.sides:
        if side.answers is None or not rows.any():
            continue
        try:
            found[side.label] = estimates.value(facts.metric, facts.truth[rows], side.answers.only(rows), series)
        except Unmeasurable:
            continue
    return found


def _verdict(outcome: Outcome, reason: str, details: dict[str, Any], n: int) -> GateVerdict:
    share = 1 - details["clean"] / n if n and "clean" in details else None
    metric = None if share is None else "share of golden rows trained on"
    return GateVerdict(gate=name, outcome=outcome, reason=reason, metric=metric, observed=share, n=n, details=details)


def section(verdict: GateVerdict) -> Section:
    """Show both comparisons: on all rows, and on the clean ones."""
    details = verdict.details
    if "models" not in details:
        return Section()
    before, after = details["all_rows"], details["clean_rows"]
    rows = tuple(
        (label, about["trained_on"], before.get(label), after.get(label)) for label, about in details["models"].items()
    )
    columns = (
        "model",
        "golden rows it was trained on",
        f"on all {details['rows']:,}",
        f"on {details['clean']:,} clean",
    )
    missing = None
    if verdict.outcome is not Outcome.PASSED:
        missing = "Golden rows that neither model was trained on, and the training keys of both models."
    return Section(tables=(Table("Before and after the rows were taken out", columns, rows),), to_pass=missing)
