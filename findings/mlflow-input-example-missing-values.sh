#!/usr/bin/env bash
# mlflow 3.17.2 with pandas 2.3.3.
#
# One would expect: the input example of a model, which MLflow keeps beside its signature, is read back with the values
# that it was logged with, from a file that any reader of JSON takes.
# Seen: a missing value in an optional boolean column is read back as False, without a word; in a text column it stays
# missing. A missing number is written as NaN, which is not JSON: a strict reader refuses the whole file.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check mlflow==3.17.2 pandas==2.3.3
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" - "$folder/model" 2>/dev/null <<'PYTHON'
import json
import pathlib
import sys

import mlflow
import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema


class Zero(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [0.0] * len(model_input)


def refuse(constant):
    raise ValueError(f"{constant} is not JSON")


kinds = {"subscribed": "boolean", "plan": "string", "spent": "double"}
inputs = Schema([ColSpec(kind, name, required=False) for name, kind in kinds.items()])
example = pd.DataFrame({"subscribed": [True, None, False], "plan": ["a", None, "c"], "spent": [1.0, None, 3.0]})
mlflow.pyfunc.save_model(sys.argv[1], python_model=Zero(), signature=ModelSignature(inputs), input_example=example)
read = Model.load(sys.argv[1]).load_input_example(sys.argv[1])
print("given:", example.to_dict("list"))
print("read: ", read.to_dict("list"))
assert read["subscribed"].tolist() == [True, False, False]
assert read["plan"].isna().tolist() == [False, True, False]
text = pathlib.Path(sys.argv[1], "input_example.json").read_text()
print("file: ", text)
try:
    json.loads(text, parse_constant=refuse)
except ValueError as error:
    print("strict reader:", error)
else:
    raise SystemExit("the file is JSON now")
PYTHON
