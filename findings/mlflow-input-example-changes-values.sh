#!/usr/bin/env bash
# mlflow 3.17.2 with pandas 2.3.3.
#
# One would expect: the input example of a model, which MLflow logs beside its signature, is read back as it was given,
# or the difference is said.
# Seen: read back with a signature of one optional boolean column and one of integers, a missing boolean has become True
# and 1.5 has become 1, without an error or a warning. What is tried with the example is not what was logged.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 pandas==2.3.3
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - "$folder/model" 2>"$folder/warnings" <<'PYTHON'
import sys

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.0] * len(model_input)


inputs = Schema([ColSpec("boolean", "flag", required=False), ColSpec("long", "count")])
example = pd.DataFrame({"flag": [True, None, False], "count": [1.5, 2.0, 3.0]})
mlflow.pyfunc.save_model(sys.argv[1], python_model=Echo(), signature=ModelSignature(inputs), input_example=example)
found = Model.load(sys.argv[1]).load_input_example(sys.argv[1])
print("given:", example.to_dict("list"))
print("read: ", found.to_dict("list"))
assert found["flag"].tolist() == [True, True, False], found["flag"].tolist()
assert found["count"].tolist() == [1, 2, 3], found["count"].tolist()
PYTHON
if grep -i "flag\|count" "$folder/warnings"; then exit 1; fi
