"""Whether drift that is called harmful was followed by a loss: `python -m benchmarks.drift_harm [flights|churn]`.

Precision and recall of `harmful` against a real loss of the champion of at least 0.02 AUC, window by window, by the
product's own functions: calibration on golden predictions, estimate, correction by earlier windows whose labels have
come, and the rule of harm. `judged` is for other benchmarks.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from contracts import Harm, OutputFormat
from contracts.golden_predictions import EVENT_TIME, LABEL, PREDICTION, SCORE
from drift.database.window_rows import PredictedColumns
from drift.policy.harm import estimate_harm, least_loss
from drift.policy.proxy import corrected
from drift.scoring.estimators import fit
from drift.scoring.golden import read
from drift.scoring.scores import compare

METRIC, OUTPUT = "roc_auc", OutputFormat(problem="binary", classes=(0, 1))
GOLDEN_ROWS, IMPORTANCE_ROWS = 20_000, 2000


@dataclass(frozen=True)
class Window:
    """Rows of production with their labels: `scores` (n,) of the champion, `truth` (n,) of 0 and 1."""

    name: str
    features: pd.DataFrame
    scores: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class JudgedWindow:
    """`lost`: what the champion really lost against the golden rows. `drifted`: columns; empty: no alarm."""

    name: str
    harm: Harm
    lost: float
    drifted: tuple[str, ...]
    reason: str


Drifted = Callable[[pd.DataFrame], Sequence[str]]


def judged(
    golden: pd.DataFrame,
    importance: dict[str, float],
    windows: Sequence[Window],
    drifted: Sequence[Sequence[str]],
    *,
    labels_after: int = 1,
) -> list[JudgedWindow]:
    """Judge each window as the service does, whether columns of it have drifted or not.

    `golden`: as Promoted.golden_predictions names it. `drifted`: the columns of each window. `labels_after`: in how
    many windows labels of a window are known; 0: never.
    """
    baseline = float(roc_auc_score(golden[LABEL], golden[SCORE]))
    fitted = fit(read(golden), METRIC, OUTPUT, len(windows[0].truth))
    assert fitted.estimate is not None, fitted.why
    errors: list[float] = []
    found: list[JudgedWindow] = []
    for number, window in enumerate(windows):
        rows = PredictedColumns(window.scores, pd.Series(window.scores >= 0.5))
        raw = fitted.estimate(rows, window.features)
        assert raw is not None, "a window of scores"
        known = errors[: max(0, number - labels_after + 1)] if labels_after else []
        columns = tuple(drifted[number])
        said = estimate_harm(columns, importance, corrected(raw, [*fitted.errors, *known]), baseline)
        observed = float(roc_auc_score(window.truth, window.scores))
        errors.append(observed - raw.raw)
        found.append(JudgedWindow(window.name, said.harm, baseline - observed, columns, said.reason))
    return found


def quality(found: Sequence[JudgedWindow], *, alarmed_only: bool = False) -> dict[str, Any]:
    """Return how many windows were called what, and precision and recall of `harmful`."""
    chosen = [each for each in found if each.drifted or not alarmed_only]
    least = least_loss(METRIC, 1.0)
    hurt = [each for each in chosen if each.lost >= least]
    called = [each for each in chosen if each.harm is Harm.HARMFUL]
    both = [each for each in called if each.lost >= least]
    return {
        "windows": len(chosen),
        "hurt": len(hurt),
        **{str(harm): Counter(each.harm for each in chosen)[harm] for harm in Harm},
        "precision": len(both) / len(called) if called else None,
        "recall": len(both) / len(hurt) if hurt else None,
        "benign that hurt": sum(each.harm is Harm.BENIGN for each in hurt),
    }


def golden_of(model: Any, features: list[str], rows: pd.DataFrame, label: str, time: str | None) -> pd.DataFrame:
    """Return golden predictions as the gatekeeper keeps them."""
    scores = model.predict_proba(rows[features])[:, 1]
    own = {LABEL: rows[label].astype(int), PREDICTION: (scores >= 0.5).astype(int), SCORE: scores}
    return rows[features].assign(**own, **({EVENT_TIME: rows[time]} if time else {})).reset_index(drop=True)


def importance_of(model: Any, features: list[str], golden: pd.DataFrame) -> dict[str, float]:
    some = golden.head(IMPORTANCE_ROWS)
    order = np.random.default_rng(0).permutation(len(some))
    before = roc_auc_score(some[LABEL], some[SCORE])
    found: dict[str, float] = {}
    for name in features:
        shuffled = some[features].assign(**{name: some[name].iloc[order].array})
        found[name] = float(before - roc_auc_score(some[LABEL], model.predict_proba(shuffled)[:, 1]))
    return found


def windows_of(
    model: Any, features: list[str], rows: pd.DataFrame, label: str, size: int, name: str
) -> Iterator[Window]:
    for start in range(0, len(rows) - size + 1, size):
        part = rows.iloc[start : start + size]
        scores = model.predict_proba(part[features])[:, 1]
        yield Window(f"{name}{start // size}", part[features], scores, part[label].astype(int).to_numpy())


def beyond_fixed_limits(reference: pd.DataFrame) -> Drifted:
    """The columns whose distance reaches the fixed limit of the former rule."""
    return lambda rows: sorted({score.feature for score in compare(reference, rows).scores if score.drifted})


def flights(size: int = 4000) -> list[tuple[str, dict[str, Any]]]:
    """Champion of January and February, golden rows of March; April to December are judged by about four days."""
    from examples.flights import recipe

    features = list(recipe.features)
    months = {number: recipe.load(f"2013-{number:02d}") for number in range(1, 13)}
    model = recipe.train(pd.concat([months[1], months[2]]))
    march = months[3].sample(GOLDEN_ROWS, random_state=0)
    golden = golden_of(model, features, march, recipe.label, recipe.event_time)
    rest = pd.concat([months[number] for number in range(4, 13)])
    windows = list(windows_of(model, features, rest, recipe.label, size, ""))
    drifted = beyond_fixed_limits(golden[features])
    return _figures("flights", golden, importance_of(model, features, golden), windows, drifted)


def churn(kind: str, months: int = 12) -> list[tuple[str, dict[str, Any]]]:
    """Champion of the first snapshot, golden rows of a quarter of its subscribers; the later snapshots are judged."""
    from examples.churn import DATA_DIR_VARIABLE, recipe
    from examples.churn_data import write
    from trainer.policy import is_held_out

    features, size = list(recipe.features), 2000
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), months, users=7000, seed=7, drift=kind)
        os.environ[DATA_DIR_VARIABLE] = folder
        first, *later = (recipe.load(window) for window in recipe.windows())
    held = first["user_id"].map(lambda user: is_held_out(user, 0.25))
    model = recipe.train(first[~held])
    golden = golden_of(model, features, first[held], recipe.label, None)
    windows = [window for rows in later for window in windows_of(model, features, rows, recipe.label, size, "")]
    drifted = beyond_fixed_limits(golden[features])
    return _figures(f"churn, {kind}", golden, importance_of(model, features, golden), windows, drifted)


def _figures(
    name: str, golden: pd.DataFrame, importance: dict[str, float], windows: Sequence[Window], drifted: Drifted
) -> list[tuple[str, dict[str, Any]]]:
    found: list[tuple[str, dict[str, Any]]] = []
    columns = [drifted(window.features) for window in windows]
    for labels_after, when in ((1, "labels known one window later"), (4, "four windows later"), (0, "never")):
        seen = judged(golden, importance, windows, columns, labels_after=labels_after)
        found.append((f"{name}, {when}: all windows", quality(seen)))
        found.append((f"{name}, {when}: alarmed windows", quality(seen, alarmed_only=True)))
    return found


def main(argv: list[str]) -> None:
    warnings.filterwarnings("ignore")
    wanted = argv or ["flights", "churn"]
    found = flights() if "flights" in wanted else []
    for kind in ("gradual", "sudden", "none") if "churn" in wanted else ():
        found += churn(kind)
    columns = list(found[0][1])
    print("| stream | " + " | ".join(columns) + " |\n|---|" + "--:|" * len(columns))
    for name, row in found:
        cells = (
            "–" if row[key] is None else f"{row[key]:.2f}" if isinstance(row[key], float) else row[key]
            for key in columns
        )
        print(f"| {name} | " + " | ".join(map(str, cells)) + " |")


if __name__ == "__main__":
    main(sys.argv[1:])
