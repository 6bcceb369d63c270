#!/usr/bin/env bash
# mlflow 3.17.2 with SQLAlchemy 2.1.9 and alembic 1.20.1, SQLite.
#
# One would expect: mlflow.artifacts.download_artifacts(artifact_uri=..., tracking_uri=X) asks the server X, whatever the
# process has as its default; for runs:/... it does.
# Seen: for the address of a logged model, models:/m-..., which `log_model` returns, the default of the process is
# asked: "Logged model with ID ... not found", although X has it. With X as the default it is downloaded.
#
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    mlflow==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1 "pandas<3"
cd "$folder"
MLFLOW_DISABLE_TELEMETRY=true "$folder/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import mlflow
from mlflow.artifacts import download_artifacts


class Constant(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [1.0] * len(model_input)


one, other = "sqlite:///one.db", "sqlite:///other.db"
mlflow.set_tracking_uri(one)
with mlflow.start_run() as run:
    model = mlflow.pyfunc.log_model(name="model", python_model=Constant())
    mlflow.log_text("here", "note.txt")
address = f"models:/{model.model_id}"


def downloaded(uri: str) -> str:
    try:
        download_artifacts(artifact_uri=uri, tracking_uri=one)
        return "downloaded"
    except mlflow.exceptions.MlflowException as error:
        return f"{error.error_code}: {str(error).splitlines()[0]}"


mlflow.set_tracking_uri(other)
of_run, of_model = downloaded(f"runs:/{run.info.run_id}/note.txt"), downloaded(address)
mlflow.set_tracking_uri(one)
with_default = downloaded(address)
print("runs:/…, tracking_uri of its server, another default:", of_run)
print("models:/m-…, tracking_uri of its server, another default:", of_model)
print("models:/m-…, with its server as the default:", with_default)
raise SystemExit(0 if (of_run, with_default) == ("downloaded",) * 2 and "not found" in of_model else 1)
PYTHON
