"""Limits of one version for windows of one size: scores of windows without drift, and what they are calibrated to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from drift.policy import limits as policy
from drift.policy.limits import IID, WINDOWS
from drift.scoring.columns import Column, Floats, Numbers
from drift.scoring.scores import LIMIT, Reference, Signal
from drift.scoring.splits import row_splits
from drift.scoring.summaries import MISSING, UNSEEN, NumberSummary, Summary, distances, jensen_shannon, summary_of

LEAST_FLOOR = 1e-9
"""Of a distance: equal columns have not drifted."""


@dataclass(frozen=True)
class Calibration:
    """Limits, and on what they were calibrated.

    `windows`: past windows, or blocks of the reference's rows in order of time (`blocks`), without those of
    `considered` in which there was an incident. `limits`: of each signal its mean without drift and its limit.
    `share_rule`: on how many of the scored windows `drift_share` would alarm.
    """

    assumption: str
    windows: int
    blocks: bool
    splits: int
    share: float
    size: int
    reference_rows: int
    considered: int = 0
    limits: dict[Signal, tuple[float, float]] = field(default_factory=dict)
    share_rule: dict[str, Any] = field(default_factory=dict)

    @property
    def in_words(self) -> str:
        """Return where the limits come from, such as `limits from 40 past windows`."""
        past = "windows of the reference in order of time" if self.blocks else "past windows"
        if self.assumption == WINDOWS:
            return f"limits from {self.windows} {past}"
        wider = f" and {self.windows} {past}" if self.windows else ", which assumes independent rows"
        return f"limits from {self.splits} random splits of the reference{wider}"

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        columns = [
            {"feature": feature, "method": method, "expected": expected, "limit": limit}
            for (feature, method), (expected, limit) in self.limits.items()
        ]
        return self.basis() | {"columns": columns}

    def basis(self) -> dict[str, Any]:
        """Return what is shown with each window: all but the limits themselves."""
        names = (
            "assumption",
            "windows",
            "blocks",
            "splits",
            "share",
            "size",
            "reference_rows",
            "considered",
            "share_rule",
        )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def read(cls, document: dict[str, Any]) -> Calibration:
        limits = {(item["feature"], item["method"]): (item["expected"], item["limit"]) for item in document["columns"]}
        return cls(**{name: document[name] for name in cls("", 0, False, 0, 0, 0, 0).basis()}, limits=limits)


def calibrated(
    reference: Reference,
    size: int,
    share: float,
    past: Sequence[dict[str, Summary]],
    blocks: Sequence[dict[str, tuple[Summary, Summary]]],
    drift_share: float,
) -> Calibration:
    """Calibrate limits that a window without drift exceeds with probability `share`.

    `past`: sketches of earlier windows; `blocks`: of the reference, each block and the rest. With enough of either they
    are what windows to come are like. Else rows are taken as independent, which they seldom are (weather, weekdays):
    a few past windows widen the limits then.
    """
    splits = policy.splits_for(share)
    drawn = row_splits(reference.columns, size, splits)
    floors = _floors(reference, drawn.signals, size, share)
    of_splits = policy.calibrate(drawn.scores, share, floors)
    scores, is_of_blocks = _of_past(reference, drawn.signals, past), False
    enough = policy.fewest_windows(share)
    if len(past) < enough and len(blocks) > len(past):
        scores, is_of_blocks = _of_blocks(drawn.signals, blocks), True
    considered = len(scores)
    scores = scores[policy.ordinary(scores, np.nanstd(drawn.scores, axis=0, ddof=1))]
    assumption = WINDOWS if len(scores) >= enough else IID
    found, counted = of_splits, drawn.scores
    if len(scores) >= policy.SOME_WINDOWS:
        counted = scores
        of_windows = policy.calibrate_on_windows(scores, share, floors)
        joined = policy.where_known if assumption == WINDOWS else policy.wider
        found = joined(of_windows, of_splits) if assumption == WINDOWS else joined(of_splits, of_windows)
    windows = len(scores) if len(scores) >= policy.SOME_WINDOWS else 0
    pairs = zip(drawn.signals, found.expected.tolist(), found.limit.tolist(), strict=True)
    return Calibration(
        assumption,
        windows,
        is_of_blocks and windows > 0,
        splits,
        share,
        size,
        reference.rows,
        considered if considered >= policy.SOME_WINDOWS else 0,
        {signal: (_finite(expected), _finite(limit)) for signal, expected, limit in pairs},
        _share_rule(drawn.signals, counted, drift_share),
    )


def blocks_of(reference: Reference, seconds: float, fewest_rows: int) -> list[dict[str, tuple[Summary, Summary]]]:
    """Cut the reference into blocks of `seconds` by its column of times; return each block and the other rows.

    None without such a column. A block of fewer rows than `fewest_rows` is none.
    """
    if reference.times is None or not seconds > 0:
        return []
    number = np.floor((reference.times - np.nanmin(reference.times)) / seconds)
    found = []
    for block in np.unique(number[~np.isnan(number)]):
        inside = number == block
        if fewest_rows <= inside.sum() <= len(inside) / 2:
            found.append({name: _parted(column, inside) for name, column in reference.columns.items()})
    return found


def _parted(column: Column, inside: Any) -> tuple[Summary, Summary]:
    if isinstance(column, Numbers):
        return summary_of(Numbers(column.values[inside])), summary_of(Numbers(column.values[~inside]))
    inner, outer = column._replace(codes=column.codes[inside]), column._replace(codes=column.codes[~inside])
    return summary_of(inner), summary_of(outer)


def _of_past(reference: Reference, signals: Sequence[Signal], past: Sequence[dict[str, Summary]]) -> Floats:
    found = np.full((len(past), len(signals)), np.nan)
    for row, window in zip(found, past, strict=True):
        known = {
            name: distances(reference.summaries[name], window[name]) for name in reference.summaries if name in window
        }
        row[:] = [known.get(name, {}).get(method, np.nan) for name, method in signals]
    return found


def _of_blocks(signals: Sequence[Signal], blocks: Sequence[dict[str, tuple[Summary, Summary]]]) -> Floats:
    found = np.full((len(blocks), len(signals)), np.nan)
    for row, block in zip(found, blocks, strict=True):
        known = {name: distances(rest, inside) for name, (inside, rest) in block.items()}
        row[:] = [known[name].get(method, np.nan) for name, method in signals]
    return found


def _floors(reference: Reference, signals: Sequence[Signal], size: int, share: float) -> Floats:
    """Return the lowest limit of each signal: what a few unexpected rows do, and no drift of a constant column."""
    rows = policy.unexpected_rows(size, reference.rows, share / max(1, len(signals)))
    few = min(1.0, rows / size)
    return np.array([_floor(reference.summaries[name], method, few) for name, method in signals], dtype=float)


def _floor(summary: Summary, method: str, few: float) -> float:
    if method in (MISSING, UNSEEN):
        return few
    if isinstance(summary, NumberSummary):
        points = summary.points
        return LIMIT if points.size and points.min() == points.max() else LEAST_FLOOR
    if len(summary.counts) > 1:
        return LEAST_FLOOR
    return jensen_shannon({"": 1.0}, {"": 1.0 - few, "other": few}) if few < 1 else 1.0


def _share_rule(signals: Sequence[Signal], scores: Floats, share: float) -> dict[str, Any]:
    """Return on how many of the windows at least `share` of the features reach the fixed limit."""
    features = sorted({name for name, _ in signals})
    drifted = np.zeros((len(scores), len(features)), dtype=bool)
    for at, (name, _) in enumerate(signals):
        drifted[:, features.index(name)] |= scores[:, at] >= LIMIT
    alarms = int((drifted.mean(axis=1) >= share).sum()) if features else 0
    return {"share": share, "alarms": alarms, "of": len(scores)}


def _finite(value: float) -> float:
    """Return `value`, or the nearest number that JSON has."""
    return float(np.nan_to_num(value, nan=0.0))
