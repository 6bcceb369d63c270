"""A scikit-learn regression, logged with MLflow's defaults."""

import os
import subprocess

import mlflow
import requests
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_diabetes(as_frame=True).frame, test_size=0.5, random_state=0)
model = Ridge(alpha=0.1).fit(train.drop(columns="target"), train["target"])

mlflow.set_experiment("diabetes")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=train.drop(columns="target").head(),
        registered_model_name="diabetes",
    )

subprocess.run(["gauntlet", "register", "diabetes", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/diabetes/predict",
    json={"rows": golden[:3].drop(columns="target").to_dict("records")},
    timeout=30,
)
print(answer.text)
