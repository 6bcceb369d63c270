"""Drift on real and generated streams: alarms, and how many of them are followed by a loss of the champion.

Flights: windows of four days, limits calibrated on January to March, April to December judged. Subscribers:
generated snapshots, and StreamFlow's where the folder of the data is given by the recipe's variable.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from contracts import Outcome
from contracts.drift_settings import Budget, Drift
from drift.policy.windows import MINIMUM_ROWS, drift_share, judge_limits
from drift.scoring.calibration import Calibration, blocks_of, calibrated
from drift.scoring.scores import Reference, compare
from drift.scoring.summaries import Summary
from examples import churn, flights
from examples.churn_data import write
from trainer.policy import is_held_out

LOSS = 0.02
"""Of AUC: a loss of the champion that an alarm should have announced."""
FOUR_DAYS = 4 * 86_400.0
CHURN_ROWS, HELD_OUT = 2000, 0.25
RULES = (0.02, 0.1, 0.5)


class Judged(NamedTuple):
    """One window: whether it alarms, by rule, and by how much the champion's AUC is below its baseline."""

    rows: int
    alarms: dict[str, bool]
    loss: float


def judged(
    windows: Sequence[pd.DataFrame], reference: Reference, calibration: Calibration, losses: Sequence[float]
) -> list[Judged]:
    after = Drift().after
    found: list[Judged] = []
    for window, loss in zip(windows, losses, strict=True):
        calibrated_scores = compare(reference, window, calibration.limits).scores
        verdict = judge_limits(len(window), calibrated_scores, Budget().in_words, calibration.in_words)
        share = drift_share(compare(reference, window).scores) or 0.0
        alarms = {f"drift_share {fixed:g}": share >= fixed for fixed in RULES}
        alarms["budget"] = verdict.outcome is Outcome.FAILED
        newest = [item.alarms["budget"] for item in found[1 - after.windows :]] if found else []
        alarms[f"budget, {after}"] = alarms["budget"] and sum(newest) + 1 >= after.drifted
        found.append(Judged(len(window), alarms, loss))
    return found


def print_rows(name: str, calibration: Calibration, found: Sequence[Judged]) -> None:
    lost = [item.loss >= LOSS for item in found]
    for rule in found[0].alarms:
        alarms = [item.alarms[rule] for item in found]
        hits = sum(a and b for a, b in zip(alarms, lost, strict=True))
        first = next((sum(item.rows for item in found[: at + 1]) for at, alarm in enumerate(alarms) if alarm), None)
        basis = f"{calibration.assumption}, {calibration.windows}" if rule.startswith("budget") else "–"
        print(
            f"| {name} | {rule} | {basis} | {sum(alarms)} of {len(found)} | {'–' if first is None else f'{first:,}'} "
            f"| {hits} of {sum(alarms)} | {hits} of {sum(lost)} | – |",
            flush=True,
        )


def print_streams() -> None:
    print(
        "| stream | rule | limits from | windows that alarm | rows until the first | alarms with a loss ≥ 0.02 AUC ",
        end="",
    )
    print("| windows with that loss that alarm | called harmful |\n|---|---|---|--:|--:|--:|--:|--:|")
    print_flights()
    for drift in ("none", "gradual", "sudden", "recurring"):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), 12, users=7000, seed=7, drift=drift)
            print_churn(f"subscribers, {drift}", Path(folder))
    if folder := os.environ.get("STREAMFLOW_DIR"):
        print_churn("StreamFlow", Path(folder))


def print_flights() -> None:
    recipe = flights.recipe
    months = {window: recipe.load(window) for window in recipe.windows()}
    year = pd.concat(months.values(), ignore_index=True)
    names = list(recipe.features)
    known = year[year["scheduled_at"] < "2013-04-01"]
    reference = Reference.of(known, (recipe.label, recipe.entity))
    blocks = blocks_of(reference, FOUR_DAYS, MINIMUM_ROWS)
    to_come = year[year["scheduled_at"] >= "2013-04-01"]
    windows = list(_by_four_days(to_come))
    size = int(np.median([len(window) for window in windows]))
    calibration = calibrated(reference, size, Budget().share, [], blocks, 0.5)
    champion = recipe.train(pd.concat([months["2013-01"], months["2013-02"]]))
    baseline = _auc(champion, months["2013-03"], names, recipe.label)
    losses = [baseline - _auc(champion, window, names, recipe.label) for window in windows]
    print_rows("flights by four days", calibration, judged([w[names] for w in windows], reference, calibration, losses))


def _by_four_days(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    number = (rows["scheduled_at"] - rows["scheduled_at"].min()) // pd.Timedelta(days=4)
    for _, window in rows.groupby(number):
        if len(window) >= MINIMUM_ROWS:
            yield window


def print_churn(name: str, folder: Path) -> None:
    os.environ[churn.DATA_DIR_VARIABLE] = str(folder)
    recipe = churn.recipe
    frames = {window: recipe.load(window) for window in recipe.windows()}
    names = list(recipe.features)
    first = next(iter(frames))
    is_held = frames[first]["user_id"].map(lambda user: is_held_out(user, HELD_OUT))
    known, golden = frames[first][~is_held], frames[first][is_held]
    champion = recipe.train(known)
    baseline = _auc(champion, golden, names, recipe.label)
    reference = Reference.of(known[names])
    past: list[dict[str, Summary]] = []
    calibration = calibrated(reference, CHURN_ROWS, Budget().share, past, [], 0.5)
    later = list(frames.values())[1:]
    windows = [
        frame.iloc[at : at + CHURN_ROWS] for frame in later for at in range(0, len(frame) - CHURN_ROWS + 1, CHURN_ROWS)
    ]
    losses = [baseline - _auc(champion, window, names, recipe.label) for window in windows]
    print_rows(name, calibration, judged([w[names] for w in windows], reference, calibration, losses))


def _auc(model: object, rows: pd.DataFrame, names: list[str], label: str) -> float:
    return float(roc_auc_score(rows[label], model.predict_proba(rows[names])[:, 1]))  # type: ignore[attr-defined]
