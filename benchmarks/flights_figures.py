"""The figures of examples/flights.md: which model wins on which month, and how far consecutive windows drift.

`python benchmarks/flights_figures.py [models|windows|drift|limits]` prints Markdown tables; without an
argument all of them.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import Pipeline

from contracts.drift_settings import Budget
from drift.policy.windows import MINIMUM_ROWS
from drift.scoring.calibration import blocks_of, calibrated
from drift.scoring.scores import Reference, compare
from examples.flights import recipe

GOLDEN_ROWS = 20_000
REFERENCE_ROWS = 10_000
Z95 = 1.645
MARGIN_SHARE = 0.02
FEATURES = list(recipe.features)


def month(number: int) -> pd.DataFrame:
    return recipe.load(f"2013-{number:02d}")


@cache
def model(first: int, last: int) -> Pipeline:
    return recipe.train(pd.concat([month(number) for number in range(first, last + 1)]))


def scores(first: int, last: int, rows: pd.DataFrame) -> np.ndarray:
    return model(first, last).predict_proba(rows[FEATURES])[:, 1]


def delong(labels: np.ndarray, champion: np.ndarray, challenger: np.ndarray) -> tuple[float, float]:
    """Return the difference of the areas and its standard error (DeLong 1988 by midranks, Sun and Xu 2014)."""
    positive = labels == 1
    m, n = int(positive.sum()), int((~positive).sum())
    areas, v10, v01 = [], [], []
    for score in (champion, challenger):
        together = rankdata(np.concatenate([score[positive], score[~positive]]))
        areas.append((together[:m].sum() - m * (m + 1) / 2) / (m * n))
        v10.append((together[:m] - rankdata(score[positive])) / n)
        v01.append(1 - (together[m:] - rankdata(score[~positive])) / m)
    covariance = np.cov(v10) / m + np.cov(v01) / n
    return areas[1] - areas[0], float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))


def print_models() -> None:
    for first, last in ((1, 2), (4, 5)):
        print(f"\nChampion of months {first}-{last} against a challenger of the two months before\n")
        print("| golden | late | AUC | log loss | difference of AUC ± SE | lower, upper (95 %) | −margin |")
        print("|---|--:|---|---|--:|--:|--:|")
        for golden in range(last + 1, 13):
            rows = month(golden).sample(GOLDEN_ROWS, random_state=0)
            y = rows["late"].to_numpy()
            old, new = scores(first, last, rows), scores(golden - 2, golden - 1, rows)
            difference, error = delong(y, old, new)
            margin = MARGIN_SHARE * (roc_auc_score(y, old) - 0.5)
            print(
                f"| {golden:02d} | {y.mean():.1%} | {roc_auc_score(y, old):.4f} → {roc_auc_score(y, new):.4f} "
                f"| {log_loss(y, old):.4f} → {log_loss(y, new):.4f} | {difference:+.4f} ± {error:.4f} "
                f"| {difference - Z95 * error:+.4f}, {difference + Z95 * error:+.4f} | {-margin:.4f} |"
            )


def consecutive(number: int, size: int) -> Iterator[pd.DataFrame]:
    rows = month(number)
    for start in range(0, len(rows) - size + 1, size):
        yield rows.iloc[start : start + size]


def print_windows() -> None:
    for size in (2000, 4000):
        print(f"\nAUC of the model of months 1-2 on consecutive windows of {size} rows\n")
        print("| month | whole | windows | worst drop below golden March |\n|---|--:|---|--:|")
        march = roc_auc_score(month(3)["late"], scores(1, 2, month(3)))
        for number in range(3, 13):
            areas = [roc_auc_score(w["late"], scores(1, 2, w)) for w in consecutive(number, size)]
            whole = roc_auc_score(month(number)["late"], scores(1, 2, month(number)))
            listed = " ".join(f"{area:.2f}" for area in areas)
            print(f"| {number:02d} | {whole:.4f} | {listed} | {march - min(areas):.3f} |")


def print_drift() -> None:
    for first, last in ((1, 2), (4, 5)):
        training = pd.concat([month(number) for number in range(first, last + 1)])
        reference = training.sample(REFERENCE_ROWS, random_state=0)[FEATURES]
        for size in (2000, 4000):
            print(f"\nDrifted features of {len(FEATURES)}, reference months {first}-{last}, {size} consecutive rows\n")
            print(
                "| month | drifted features, window by window | drifted in some windows but not all (share of them) |"
            )
            print("|---|---|---|")
            for number in range(1, 13):
                windows = [compare(reference, window[FEATURES]).scores for window in consecutive(number, size)]
                sets = [{score.feature for score in found if score.drifted} for found in windows]
                shares = {name: sum(name in found for found in sets) / len(sets) for name in FEATURES}
                some = ", ".join(f"{name} {share:.2f}" for name, share in shares.items() if 0 < share < 1)
                print(f"| {number:02d} | {' '.join(str(len(found)) for found in sets)} | {some} |")


def print_limits() -> None:
    """Windows by the limits that the service calibrates with the first of them, as the policy has them."""
    print("\nFeatures beyond their limits, window by window of 4,000 rows\n")
    print("| reference | month | limits from | features beyond their limits | most often |\n|---|---|---|---|---|")
    for first, last, judged in ((1, 2, (3, 4, 5, 6)), (4, 5, (6, 7, 8, 9))):
        training = pd.concat([month(number) for number in range(first, last + 1)], ignore_index=True)
        sample = training.sample(REFERENCE_ROWS, random_state=0).sort_index()
        reference = Reference.of(sample, (recipe.label, recipe.entity))
        span = next(consecutive(judged[0], 4000))["scheduled_at"]
        blocks = blocks_of(reference, (span.max() - span.min()).total_seconds(), MINIMUM_ROWS)
        calibration = calibrated(reference, 4000, Budget().share, [], blocks, 0.5)
        for number in judged:
            found = [
                compare(reference, window[FEATURES], calibration.limits).scores for window in consecutive(number, 4000)
            ]
            sets = [{score.feature for score in scores if score.drifted} for scores in found]
            often = Counter(name for names in sets for name in names).most_common(4)
            named = ", ".join(f"{name} {count}" for name, count in often)
            beyond = " ".join(str(len(names)) for names in sets)
            print(f"| {first:02d}–{last:02d} | {number:02d} | {calibration.windows} blocks | {beyond} | {named} |")


PARTS = {"models": print_models, "windows": print_windows, "drift": print_drift, "limits": print_limits}


def main(argv: list[str]) -> None:
    unknown = [name for name in argv if name not in PARTS]
    if unknown:
        sys.exit(f"unknown part {unknown[0]!r}: choose from {', '.join(PARTS)}")
    for name in argv or PARTS:
        PARTS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
