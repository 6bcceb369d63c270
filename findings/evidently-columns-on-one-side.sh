#!/usr/bin/env bash
# evidently 0.7.23 with pandas 2.3.3: DataDriftPreset, without a data definition.
#
# One would expect: a column that production no longer sends, or sends in addition, is a change of the data, and is in
# the report in one way or the other, alike on both sides.
# Seen: a column that only the reference has is left out in silence: the report counts the other columns, and says that
# none has drifted. A column that only the current rows have is an error of the whole report.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check evidently==0.7.23 pandas==2.3.3
DO_NOT_TRACK=1 "$folder/venv/bin/python" -W ignore - <<'PYTHON'
import numpy as np
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset

rng = np.random.default_rng(0)
both = pd.DataFrame(rng.normal(size=(1000, 3)), columns=["a", "b", "c"])
fewer = both[["a", "b"]]


def drifted(current: pd.DataFrame, reference: pd.DataFrame) -> dict[str, float]:
    found = Report([DataDriftPreset()]).run(current, reference).dict()
    return next(each["value"] for each in found["metrics"] if "DriftedColumnsCount" in str(each))


vanished = drifted(fewer, both)
print("a column vanished:", vanished, "(of 3 columns)")
try:
    new = f"{drifted(both, fewer)}"
except Exception as error:
    new = f"{type(error).__name__}: {str(error)[:120]}"
print("a column is new:", new)
raise SystemExit(0 if vanished["count"] == 0.0 and "Error" in new else 1)
PYTHON
