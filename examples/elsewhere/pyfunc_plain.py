"""A model of one's own: a plain pyfunc that gives one probability a row."""

import os
import subprocess

import mlflow
import numpy as np
import pandas as pd
import requests
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")


class Rule(mlflow.pyfunc.PythonModel):
    """Large tumours are likely to be malignant (class 0)."""

    def predict(self, context, model_input: pd.DataFrame) -> np.ndarray:
        return 1 / (1 + np.exp((model_input["mean radius"].to_numpy() - 15) * 2))


train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)

mlflow.set_experiment("tumours-rule")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=Rule(),
        input_example=train[["mean radius"]].head(),
        registered_model_name="tumours-rule",
    )

subprocess.run(["gauntlet", "register", "tumours-rule", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/tumours-rule/predict",
    json={"rows": golden[:3][["mean radius"]].to_dict("records")},
    timeout=30,
)
print(answer.text)
