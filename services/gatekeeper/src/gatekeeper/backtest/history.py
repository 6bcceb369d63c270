"""The predictions of every version of a model on every window after its training, with the labels."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from contracts import GateVerdict
from contracts.forecasts import naive_error, values_before
from contracts.metrics import Problem
from gatekeeper.policy.predictions import as_answers
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series, direction

FORMAT = 2


class Unreadable(ValueError):
    """The folder has no usable history."""


@dataclass(frozen=True, eq=False)
class Window:
    """The rows of one time window. `clusters`: the number of each row's entity; `series`: their order, if known."""

    name: str
    truth: NDArray[Any]
    clusters: NDArray[np.int64] | None = None
    series: Series | None = None


@dataclass(frozen=True, eq=False)
class History:
    """Windows are numbered from 0, versions from 1.

    Version v arrives when window v - 1 has its labels; it was trained on the data before that window, is judged on it
    first, and could serve from window v on. `answers` has (version, window) for every window from v - 1 on.
    """

    problem: Problem
    windows: tuple[Window, ...]
    answers: Mapping[tuple[int, int], Predictions]
    model: str = "model"
    trained_on: Mapping[int, str] = field(default_factory=dict)
    verdicts: dict[tuple[Any, ...], GateVerdict] = field(default_factory=dict, repr=False)
    """Cache of comparisons: similar contenders make the same ones."""
    _values: dict[tuple[str, int, int], float] = field(default_factory=dict, repr=False)

    @property
    def served(self) -> range:
        """The served windows: all but the first, which only judges version 1."""
        return range(1, len(self.windows))

    def versions(self, window: int) -> range:
        """The versions that could serve this window."""
        return range(1, window + 1)

    def value(self, metric: str, version: int, window: int) -> float:
        """The metric of a version on a window. Raises statistics.Unmeasurable."""
        key = (metric, version, window)
        if key not in self._values:
            found, answers = self.windows[window], self.answers[version, window]
            self._values[key] = estimates.value(metric, found.truth, answers, found.series)
        return self._values[key]

    def worth(self, metric: str, version: int, window: int) -> float:
        """The metric, signed so that higher is better."""
        return direction(metric) * self.value(metric, version, window)

    def weight(self, window: int) -> int:
        return len(self.windows[window].truth)


def _orders(
    times: NDArray[Any], truth: NDArray[Any], clusters: NDArray[np.int64] | None, parts: Sequence[slice]
) -> Iterator[Series]:
    """Yield the order of each window's rows; what was before a row may be in the window before."""
    known, ranks = ~np.isnat(times), np.full(len(times), -1, dtype=np.int64)
    ranks[known] = np.unique(times[known], return_inverse=True)[1]
    before = np.full(len(truth), np.nan)
    if truth.dtype.kind == "f":
        at = [rank if rank >= 0 else None for rank in ranks.tolist()]
        before = np.array(values_before(truth.tolist(), at, None if clusters is None else clusters.tolist()))
    for part in parts:
        yield Series(before[part], naive_error(truth[part].tolist(), before[part].tolist()), ranks[part])


def read(folder: Path) -> History:
    """Read the history written by `python -m trainer.history`. Raises Unreadable."""
    try:
        described = json.loads((folder / "history.json").read_text())
        rows = pq.read_table(folder / "rows.parquet")
    except FileNotFoundError as error:
        raise Unreadable(f"{folder} holds no history: {error.filename} is missing") from error
    except (ValueError, pa.ArrowException) as error:
        raise Unreadable(f"{folder} holds no readable history: {error}") from error
    if described.get("format") != FORMAT:
        raise Unreadable(f"{folder} has format {described.get('format')!r}; this reads format {FORMAT}")
    window_of = rows["window"].to_numpy()
    truth = rows["truth"].to_numpy()
    clusters = None
    if "entity" in rows.column_names:
        clusters = rows["entity"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    starts = np.searchsorted(window_of, np.arange(len(described["windows"]) + 1))
    parts = [slice(starts[at], starts[at + 1]) for at in range(len(described["windows"]))]
    orders: list[Series | None] = [None] * len(parts)
    if "time" in rows.column_names:
        orders = list(_orders(rows["time"].combine_chunks().to_numpy(zero_copy_only=False), truth, clusters, parts))
    windows = tuple(
        Window(named["name"], truth[part], None if clusters is None else clusters[part], order)
        for named, part, order in zip(described["windows"], parts, orders, strict=True)
    )
    answers: dict[tuple[int, int], Predictions] = {}
    problem, classes = described["problem"], tuple(described["classes"]) or None
    for version in described["versions"]:
        number, first = version["number"], version["golden"]
        try:
            values = np.load(folder / described["folder"] / version["answers"], allow_pickle=False)
        except (OSError, ValueError) as error:
            raise Unreadable(f"the answers of v{number} cannot be read: {error}") from error
        if len(values) != len(truth) - starts[first]:
            raise Unreadable(f"v{number} has {len(values)} answers to {len(truth) - starts[first]} rows")
        for at in range(first, len(windows)):
            part = values[starts[at] - starts[first] : starts[at + 1] - starts[first]]
            answers[number, at] = as_answers(part, problem, classes)
    trained_on = {version["number"]: version["trained_on"] for version in described["versions"]}
    return History(problem, windows, answers, described["model"], trained_on)
