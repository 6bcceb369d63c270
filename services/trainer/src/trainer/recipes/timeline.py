"""A simulated model history: the training rows of each version, and the windows that follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from chassis.errors import Permanent
from contracts.metrics import Problem
from trainer.policy import name_of
from trainer.recipes.recipe import Recipe, load_window, recipe_name


@dataclass(frozen=True)
class Step:
    """A version is trained on `training` and judged on the window directly after them."""

    training: NDArray[np.int64]
    trained_on: str
    window: str
    rows: NDArray[np.int64]


@dataclass(frozen=True)
class Timeline:
    """Rows in order of time, and the steps. The version judged in step i serves step i + 1's window."""

    frame: pd.DataFrame
    steps: tuple[Step, ...]


def by_window(recipe: Recipe, problem: Problem, training_windows: int) -> Timeline:
    """Build one step per window of the recipe, trained on `training_windows` windows before it."""
    names = list(recipe.windows())
    _enough(names, training_windows + 2, f"{training_windows} windows to train on")
    frame, bounds = _load(recipe, names, problem)
    rows = np.arange(len(frame), dtype=np.int64)
    steps = [
        Step(
            training=rows[bounds[at - training_windows] : bounds[at]],
            trained_on=name_of(names[at - training_windows : at]),
            window=names[at],
            rows=rows[bounds[at] : bounds[at + 1]],
        )
        for at in range(training_windows, len(names))
    ]
    return Timeline(frame, tuple(steps))


def by_time(
    recipe: Recipe,
    problem: Problem,
    every: timedelta,
    train: timedelta,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Timeline:
    """Build one step per `every`, trained on the rows of the preceding `train`; the last may be shorter."""
    if recipe.event_time is None:
        raise Permanent(
            f"recipe {recipe_name(recipe)!r} names no event time to cut by; leave out --every to go by its windows"
        )
    frame, _ = _load(recipe, list(recipe.windows()), problem)
    frame = frame.sort_values(recipe.event_time, kind="stable").reset_index(drop=True)
    times = frame[recipe.event_time].dt.tz_convert(UTC)
    begin = _whole_day(times.iloc[0]) if since is None else since
    end = times.iloc[-1].to_pydatetime() + timedelta(microseconds=1) if until is None else until
    steps: list[Step] = []
    start = begin + train
    while start < end:
        stop = min(start + every, end)
        training, rows = _between(times, start - train, start), _between(times, start, stop)
        if not len(training) or not len(rows):
            empty_from = start if len(training) else start - train
            raise Permanent(f"there are no rows between {_named(empty_from)} and {_named(stop)}")
        steps.append(Step(training, _span(start - train, start), _named(start), rows))
        start += every
    _enough(steps, 3, f"{train.days} days to train on and {every.days} days a window")
    return Timeline(frame, tuple(steps))


def _load(recipe: Recipe, names: Sequence[str], problem: Problem) -> tuple[pd.DataFrame, list[int]]:
    frames = [load_window(recipe, name, problem) for name in names]
    return pd.concat(frames, ignore_index=True), [0, *np.cumsum([len(frame) for frame in frames]).tolist()]


def _between(times: pd.Series, start: datetime, stop: datetime) -> NDArray[np.int64]:
    first, last = times.searchsorted(pd.Timestamp(start)), times.searchsorted(pd.Timestamp(stop))
    return np.arange(first, last, dtype=np.int64)


def _whole_day(time: pd.Timestamp) -> datetime:
    found: datetime = time.floor("D").to_pydatetime()
    return found


def _named(time: datetime) -> str:
    return f"{time:%Y-%m-%d}" if time == time.replace(hour=0, minute=0, second=0) else f"{time:%Y-%m-%dT%H:%M}"


def _span(start: datetime, stop: datetime) -> str:
    return f"{start:%Y-%m-%d}..{stop - timedelta(seconds=1):%Y-%m-%d}"


def _enough(found: Sequence[object], needed: int, what: str) -> None:
    if len(found) < needed:
        raise Permanent(f"too short a history for {what}: {len(found)} windows, {needed} are needed")
