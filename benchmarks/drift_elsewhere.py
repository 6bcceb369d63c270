"""NannyML's univariate detectors, and river's ADWIN and KSWIN, on windows in files; runs in an environment of its own.

`python drift_elsewhere.py FOLDER`: reference.parquet and DRIFT-NUMBER.parquet with a column `score`; prints JSON, by
detector and drift a list of alarms. It imports nothing of this repository.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nannyml
import pandas as pd
from river import drift


def by_nannyml(reference: pd.DataFrame, window: pd.DataFrame) -> bool:
    names = [name for name in reference.columns if name != "score"]
    found = nannyml.UnivariateDriftCalculator(
        column_names=names,
        continuous_methods=["wasserstein"],
        categorical_methods=["jensen_shannon"],
        chunk_size=len(window),
    ).fit(reference)
    results = found.calculate(window).filter(period="analysis").to_df()
    return bool(results.loc[:, [column for column in results.columns if column[-1] == "alert"]].to_numpy().any())


def by_river(detector: object, reference: pd.DataFrame, window: pd.DataFrame) -> bool:
    for value in reference["score"]:
        detector.update(value)  # type: ignore[attr-defined]
    alarm = False
    for value in window["score"]:
        detector.update(value)  # type: ignore[attr-defined]
        alarm |= detector.drift_detected  # type: ignore[attr-defined]
    return alarm


def main() -> None:
    folder = Path(sys.argv[1])
    reference = pd.read_parquet(folder / "reference.parquet")
    found: dict[str, dict[str, list[bool]]] = {}
    for path in sorted(folder.glob("*-*.parquet")):
        window = pd.read_parquet(path)
        name = path.stem.rsplit("-", 1)[0]
        alarms = {
            "NannyML": by_nannyml(reference, window),
            "river ADWIN": by_river(drift.ADWIN(), reference, window),
            "river KSWIN": by_river(drift.KSWIN(seed=0), reference, window),
        }
        for detector, alarm in alarms.items():
            found.setdefault(detector, {}).setdefault(name, []).append(bool(alarm))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
