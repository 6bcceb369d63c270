"""How far each feature has moved from the reference: Evidently's scores, on all rows, in milliseconds.

Numbers: Wasserstein distance over the reference's standard deviation. Categories: Jensen-Shannon distance. Both are
what Evidently computes (a test holds the two equal); Evidently drops missing values first and raises where none are
left, leaves a column out that one side does not have, and knows no unseen categories: these shares are scores of their
own here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from contracts import FeatureScore
from drift.scoring.columns import DURATION, TIME, Column, Floats, Numbers, kind_of, read, seconds, series
from drift.scoring.summaries import (
    JENSEN_SHANNON,
    LEAST_VALUES,
    MISSING,
    UNSEEN,
    WASSERSTEIN,
    Summary,
    distances,
    summary_of,
)

__all__ = ["JENSEN_SHANNON", "LIMIT", "MISSING", "UNSEEN", "WASSERSTEIN", "Comparison", "Reference", "compare"]

LIMIT = 0.1
"""Of `drift_share`: Evidently's default for both distances, and ten points for the shares."""
MOST_NAMED = 5
"""Columns that are named in a sentence."""
SHARES = (MISSING, UNSEEN)

Signal = tuple[str, str]


@dataclass(frozen=True)
class Reference:
    """The rows that windows are compared with, read once. `kinds` has all columns, `columns` those to compare.

    `times`: seconds, of the first column of times; None without one.
    """

    rows: int
    kinds: dict[str, str]
    columns: dict[str, Column]
    summaries: dict[str, Summary]
    times: Floats | None = None

    @classmethod
    def of(cls, frame: pd.DataFrame, leave_out: Collection[str | None] = ()) -> Reference:
        kinds = {str(name): kind_of(frame[name]) for name in frame.columns if name not in leave_out}
        compared = {name: kind for name, kind in kinds.items() if kind not in (TIME, DURATION)} if len(frame) else {}
        columns = {name: read(frame[name], kind) for name, kind in compared.items()}
        summaries = {name: summary_of(column) for name, column in columns.items()}
        times = next((seconds(frame[name]) for name, kind in kinds.items() if kind == TIME), None)
        return cls(len(frame), kinds, columns, summaries, times)


@dataclass(frozen=True)
class Comparison:
    """Scores of every feature on both sides. The frames hold the compared features only, numbers or strings.

    `nothing`: why not a single feature could be compared; None where one was. `summaries`: of the window's columns.
    """

    scores: tuple[FeatureScore, ...]
    reference: pd.DataFrame
    current: pd.DataFrame
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    not_compared: dict[str, str] = field(default_factory=dict)
    nothing: str | None = None
    summaries: dict[str, Summary] = field(default_factory=dict)

    @property
    def distances(self) -> tuple[str, ...]:
        """Return the features whose distributions were compared, not only their missing and unseen shares."""
        return tuple(score.feature for score in self.scores if score.method not in SHARES)


def compare(
    reference: pd.DataFrame | Reference,
    current: pd.DataFrame,
    limits: Mapping[Signal, tuple[float, float]] | None = None,
    expected: Collection[str] = (),
) -> Comparison:
    """Score the features that both sides have; the reference's types decide which are numeric.

    `limits`: of each signal its mean without drift and its limit; without them LIMIT is that of all. `expected`:
    columns that earlier windows had; one that this window does not have is missing in all rows.
    """
    known = Reference.of(reference) if isinstance(reference, pd.DataFrame) else reference
    not_compared = {name: "not in the reference" for name in current.columns if name not in known.kinds}
    read_columns: dict[str, Column] = {}
    summaries: dict[str, Summary] = {}
    scores: list[FeatureScore] = []
    for name, kind in known.kinds.items() if known.rows else ():
        if kind in (TIME, DURATION):
            not_compared[name] = f"a {kind}: it moves by itself"
            continue
        if name in current.columns:
            column = read(current[name], kind)
        elif name in expected:
            column = read(pd.Series(np.full(len(current), np.nan)), kind)
            not_compared[name] = "vanished: in no prediction of the window, but in earlier ones"
        else:
            not_compared[name] = "in the reference, but in no prediction of the window"
            continue
        before, now = known.summaries[name], summary_of(column)
        if not before.present and not now.present and name in current.columns:
            not_compared[name] = "no value on either side"
            continue
        if min(before.present, now.present) < LEAST_VALUES:
            fewer = f"fewer than {LEAST_VALUES} values on one side: only the missing share is compared"
            not_compared.setdefault(name, fewer)
        read_columns[name], summaries[name] = column, now
        scores += _scored(name, before, now, limits)
    return Comparison(
        tuple(scores),
        _frame({name: known.columns[name] for name in read_columns}, known.rows),
        _frame(read_columns, len(current)),
        tuple(name for name, column in read_columns.items() if isinstance(column, Numbers)),
        tuple(name for name, column in read_columns.items() if not isinstance(column, Numbers)),
        not_compared,
        None if scores else _nothing(known, current, not_compared),
        summaries,
    )


def _scored(
    name: str, before: Summary, now: Summary, limits: Mapping[Signal, tuple[float, float]] | None
) -> Iterable[FeatureScore]:
    """Return a feature's scores; a share that is 0 on both sides is none, unless nothing else was compared."""
    found = distances(before, now)
    for method, score in found.items():
        never = method == UNSEEN and not score
        never |= method == MISSING and not (before.missing or now.missing) and len(found) > 1
        if not never:
            expected, limit = (None, LIMIT) if limits is None else limits.get((name, method), (None, LIMIT))
            # A distance of huge numbers may overflow; clip it to the largest float, so that the event stays valid JSON.
            finite = score if np.isfinite(score) else float(np.finfo(np.float64).max)
            yield FeatureScore(
                feature=name, method=method, score=finite, limit=limit, drifted=finite >= limit, expected=expected
            )


def _frame(columns: dict[str, Column], rows: int) -> pd.DataFrame:
    return pd.DataFrame({name: series(column) for name, column in columns.items()}, index=range(rows), copy=False)


def _nothing(reference: Reference, current: pd.DataFrame, not_compared: dict[str, str]) -> str:
    if not reference.rows:
        return "the reference has no rows"
    if not reference.kinds:
        return "the reference has no columns"
    if not len(current.columns):
        return "the predictions of the window carry no features"
    common = [name for name in reference.kinds if name in current.columns]
    if not common:
        return (
            f"the features of the predictions ({_some(current.columns)}) and of the reference "
            f"({_some(reference.kinds)}) differ"
        )
    return "; ".join(f"{name}: {not_compared[name]}" for name in common[:MOST_NAMED])


def _some(names: Iterable[str]) -> str:
    listed = list(map(str, names))
    return ", ".join(listed[:MOST_NAMED]) + (", …" if len(listed) > MOST_NAMED else "")
