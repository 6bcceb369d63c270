"""Models from code: MLflow keeps a Python file instead of a pickle."""

import os
import subprocess
from pathlib import Path

import mlflow
import requests
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)

mlflow.set_experiment("tumours-code")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("model_code.py")),
        input_example=train[["mean area"]].head(),
        registered_model_name="tumours-code",
    )

subprocess.run(["gauntlet", "register", "tumours-code", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/tumours-code/predict",
    json={"rows": golden[:3][["mean area"]].to_dict("records")},
    timeout=30,
)
print(answer.text)
