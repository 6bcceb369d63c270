"""`mlflow.autolog()`: two lines, and whatever is fitted is logged and registered."""

import os
import subprocess

import mlflow
import requests
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)
features = train.drop(columns="target")

mlflow.set_experiment("tumours-autolog")
mlflow.sklearn.autolog(registered_model_name="tumours-autolog", log_input_examples=True)
with mlflow.start_run() as run:
    make_pipeline(StandardScaler(), LogisticRegression()).fit(features, train["target"])
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
logged = mlflow.search_model_versions(filter_string=f"run_id='{run.info.run_id}'")[0]

subprocess.run(["gauntlet", "register", "tumours-autolog", str(logged.version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/tumours-autolog/predict",
    json={"rows": golden[:3].drop(columns="target").to_dict("records")},
    timeout=30,
)
print(answer.text)
