#!/usr/bin/env bash
# mlflow 3.17.2 with pandas 2.3.3, SQLite.
#
# One would expect: a run that logs a dataset with `mlflow.log_input` has the source that it logged it with.
# Seen: in one experiment, a second run that logs the same rows under the same name from another file is given the
# source of the first. If that file was removed meanwhile, the run points nowhere, though its own file is there. The
# name of the target column (`targets=`) is in neither.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 pandas==2.3.3
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - "$folder" 2>/dev/null <<'PYTHON'
import sys

import mlflow
import pandas as pd

mlflow.set_tracking_uri(f"sqlite:///{sys.argv[1]}/mlflow.db")
mlflow.set_experiment("one")
rows = pd.DataFrame({"x": [1.0, 2.0], "late": [0, 1]})
found = []
for file in ("first.parquet", "second.parquet"):
    with mlflow.start_run() as run:
        dataset = mlflow.data.from_pandas(rows, source=f"{sys.argv[1]}/{file}", name="june", targets="late")
        mlflow.log_input(dataset, context="evaluation")
    (logged,) = mlflow.get_run(run.info.run_id).inputs.dataset_inputs
    found.append(logged.dataset)
    print(f"logged from {file}: source {logged.dataset.source.replace(sys.argv[1], '…')}, profile {logged.dataset.profile}")
assert "first.parquet" in found[1].source and "second.parquet" not in found[1].source
assert all("targets" not in f"{each.profile} {each.source} {each.schema}" for each in found)
PYTHON
