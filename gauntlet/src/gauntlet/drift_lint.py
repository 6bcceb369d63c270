"""Warnings of rules of drift that never alarm, alarm on ordinary days, or alarm late."""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts.drift_settings import Drift
from contracts.policy import ModelPolicy, Retained

Sentence = tuple[str, str]

LOW_SHARE = 0.1
"""Measured with 20 columns: at this share 2,000 rows alarm on 83 % of ordinary days, 200 rows always."""
KEPT_WINDOWS = 200
"""Past windows that drift keeps of a version for calibration, at most."""
LATE_ROWS = 50_000
"""From which on a drift is announced late."""


def drift_warnings(policy: ModelPolicy) -> list[Sentence]:
    """Return (subject, sentence) for the sections `drift` and `benchmark`."""
    drift = policy.drift
    return [*_share(drift), *_budget(drift), *_rows(drift), *_retrain(policy), *_tournament(policy)]


def _share(drift: Drift) -> Iterator[Sentence]:
    share = drift.drift_share
    if share is None:
        return
    seen = math.floor(1 / share + 1e-9)
    columns = "column" if seen == 1 else "columns"
    said = (
        f"{share:g} never alarms on a single broken column, such as one replaced by zeros, where a model has more than"
        f" {seen} {columns}."
    )
    if share <= LOW_SHARE:
        said += (
            " With fewer columns, and where columns move together, it alarms on ordinary days: with 20 columns and"
            " windows of 2,000 rows on most of them."
        )
    said += " Without drift_share, the limits are calibrated for `budget`: 1 false alarm in 20 windows."
    yield "drift.drift_share", said


def _budget(drift: Drift) -> Iterator[Sentence]:
    needed = math.ceil(1 / drift.budget.share - 1e-9) - 1
    if drift.drift_share is None and needed > KEPT_WINDOWS:
        yield (
            "drift.budget",
            f"{drift.budget.in_words} needs {needed:,} past windows ({needed * drift.window.rows:,} rows) to be"
            f" calibrated on, and at most {KEPT_WINDOWS} are kept: what so rarely happens is not known from them."
            f" 1 in {KEPT_WINDOWS} is the rarest.",
        )


def _rows(drift: Drift) -> Iterator[Sentence]:
    rows, after = drift.window.rows, drift.after
    if after.drifted > 1 and after.drifted * rows >= LATE_ROWS:
        yield (
            "drift.after",
            f"{after}: with windows of {rows:,} rows drift is announced {after.drifted * rows:,} rows after it began at"
            f" the earliest. Smaller windows see it sooner; 1 of 1 would announce each false alarm.",
        )


def _retrain(policy: ModelPolicy) -> Iterator[Sentence]:
    if policy.drift.retrain == "on harmful" and policy.recipe is None:
        yield "drift.retrain", "on harmful decides nothing: there is no recipe, so nothing is trained after a drift."


def _tournament(policy: ModelPolicy) -> Iterator[Sentence]:
    if policy.benchmark is not None and policy.benchmark.tournament and not isinstance(policy.candidates, Retained):
        yield (
            "benchmark.tournament",
            "decides nothing with candidates: newest: no earlier version is kept that could play. candidates: retained"
            " keeps them.",
        )
