"""Other detectors on the windows of `drift_quality`: Evidently, NannyML, river, Kolmogorov–Smirnov with Bonferroni."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from benchmarks.drift_quality import NOTHING, REFERENCE_ROWS, SHARE
from benchmarks.drift_streams import DRIFTS, World, score
from scipy import stats

from drift.scoring.calibration import calibrated
from drift.scoring.scores import Reference, compare

REQUIREMENTS = ("nannyml==0.13.1", "river==0.22.0", "pyarrow")
HERE = Path(__file__).parent


def print_peers(windows: int, sizes: Sequence[int]) -> None:
    """One reference, rows that are independent; NannyML and river in an environment that uv makes, if it can."""
    world = World(100, 0.0)
    frame = world.reference(REFERENCE_ROWS)
    reference = Reference.of(frame)
    for size in sizes:
        limits = calibrated(reference, size, SHARE, [], [], 0.5).limits
        found: dict[str, dict[str, list[bool]]] = {}
        with tempfile.TemporaryDirectory() as folder:
            frame.assign(score=score(frame)).to_parquet(Path(folder) / "reference.parquet")
            for number in range(windows):
                usual = world.window(size, 1000 + number)
                for drift, change in {NOTHING: lambda window: window, **DRIFTS}.items():
                    changed = change(usual)
                    window = usual.assign(**{name: changed[name] for name in changed.columns})
                    alarms = {
                        "this": any(item.drifted for item in compare(reference, window, limits).scores),
                        "Evidently": _evidently(frame, window),
                        "KS and χ², Bonferroni": _tested(frame, window),
                    }
                    for detector, alarm in alarms.items():
                        found.setdefault(detector, {}).setdefault(drift, []).append(alarm)
                    window.assign(score=score(window)).to_parquet(Path(folder) / f"{drift}-{number}.parquet")
            found |= _elsewhere(Path(folder))
        print(f"\n| window | what moved | {' | '.join(found)} |\n|---|---|{'--:|' * len(found)}")
        for drift in (NOTHING, *DRIFTS):
            cells = " | ".join(f"{np.mean(of[drift]):.0%}" for of in found.values())
            print(f"| {size:,} | {drift} | {cells} |", flush=True)


def _elsewhere(folder: Path) -> dict[str, dict[str, list[bool]]]:
    wanted = [argument for requirement in REQUIREMENTS for argument in ("--with", requirement)]
    own = HERE.parent / ".tools" / "bin" / "uv"
    command = [
        str(own) if own.exists() else "uv",
        "run",
        "--no-project",
        "--python",
        "3.11",
        *wanted,
        "python",
        str(HERE / "drift_elsewhere.py"),
    ]
    made = subprocess.run([*command, str(folder)], capture_output=True, text=True, cwd=folder, check=False)
    if made.returncode:
        print(f"NannyML and river left out: {made.stderr.strip().splitlines()[-1]}")
        return {}
    found: dict[str, dict[str, list[bool]]] = json.loads(made.stdout.splitlines()[-1])
    return found


def _evidently(reference: pd.DataFrame, window: pd.DataFrame) -> bool:
    """Return whether Evidently's preset, with its defaults, says that the dataset has drifted."""
    from evidently import Dataset, Report
    from evidently.presets import DataDriftPreset

    frames = [
        frame.astype({c: object for c in frame.columns if c.startswith("category")}) for frame in (window, reference)
    ]
    snapshot = Report([DataDriftPreset()]).run(*map(Dataset.from_pandas, frames))
    counted = next(m for m in snapshot.dict()["metrics"] if m["config"]["type"].endswith("DriftedColumnsCount"))
    return bool(counted["value"]["share"] >= 0.5)


def _tested(reference: pd.DataFrame, window: pd.DataFrame) -> bool:
    """Return whether a two-sample test of any column is significant, at 5 % divided by the columns."""
    level = SHARE / len(reference.columns)
    for name in reference.columns:
        before, now = reference[name].dropna(), window[name].dropna()
        if name.startswith("number"):
            p = stats.ks_2samp(before, now).pvalue
        else:
            counts = pd.crosstab(np.repeat([0, 1], [len(before), len(now)]), pd.concat([before, now]).astype(str))
            p = stats.chi2_contingency(counts).pvalue
        if p < level:
            return True
    return False
