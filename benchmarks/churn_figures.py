"""The figures of examples/churn.md: `python benchmarks/churn_figures.py [FOLDER]` (default: generated snapshots).

Each snapshot's model on each snapshot's held-out subscribers, and the first model on windows of consecutive rows.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
from sklearn.metrics import roc_auc_score

from drift.scoring.scores import compare
from examples.churn import DATA_DIR_VARIABLE, recipe
from examples.churn_data import write
from trainer.policy import is_held_out

SHARE = 0.25
WINDOW_ROWS = 2000
FEATURES = list(recipe.features)


def print_figures(folder: Path) -> None:
    os.environ[DATA_DIR_VARIABLE] = str(folder)
    frames = {window: recipe.load(window) for window in recipe.windows()}
    held = {window: frame["user_id"].map(lambda user: is_held_out(user, SHARE)) for window, frame in frames.items()}
    models = {window: recipe.train(frame[~held[window]]) for window, frame in frames.items()}
    first = next(iter(frames))
    reference = frames[first][~held[first]][FEATURES]
    print(
        f"| snapshot | churn | AUC on held-out rows, by model of | {first}'s model by {WINDOW_ROWS:,} rows | drifted |"
    )
    print("|---|--:|---|---|---|")
    for window, frame in frames.items():
        golden = frame[held[window]]
        by_model = ", ".join(f"{name[-3:]} {_auc(model, golden):.4f}" for name, model in models.items())
        windows = [frame.iloc[at : at + WINDOW_ROWS] for at in range(0, len(frame) - WINDOW_ROWS + 1, WINDOW_ROWS)]
        areas = " ".join(f"{_auc(models[first], part):.2f}" for part in windows)
        moved = [sum(score.drifted for score in compare(reference, part[FEATURES]).scores) for part in windows]
        print(f"| {window} | {frame['churn_label'].mean():.1%} | {by_model} | {areas} | {' '.join(map(str, moved))} |")


def _auc(model: object, rows: pd.DataFrame) -> float:
    return float(roc_auc_score(rows["churn_label"], model.predict_proba(rows[FEATURES])[:, 1]))  # type: ignore[attr-defined]


def main(argv: list[str]) -> None:
    if argv:
        print_figures(Path(argv[0]))
        return
    for drift, months in (("gradual", 6), ("sudden", 2), ("none", 6)):
        with tempfile.TemporaryDirectory() as folder:
            print(f"\n--months {months} --users 7000 --seed 7 --drift {drift}\n")
            write(Path(folder), months, users=7000, seed=7, drift=drift)
            print_figures(Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
