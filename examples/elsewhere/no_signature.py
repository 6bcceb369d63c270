"""A model without a signature is refused, with the line that adds one."""

import os
import subprocess

import mlflow
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)
features = train.drop(columns="target")
model = LogisticRegression(max_iter=5000).fit(features, train["target"])

mlflow.set_experiment("tumours-bare")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.sklearn.log_model(model, name="model", registered_model_name="tumours-bare")

refused = subprocess.run(["gauntlet", "try", "tumours-bare", str(logged.registered_model_version)], check=False)
print("exit", refused.returncode)
