"""XGBoost's scikit-learn API: scores come from its `predict_proba`."""

import os
import subprocess

import mlflow
import requests
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)
features = train.drop(columns="target")
model = XGBClassifier(n_estimators=50, random_state=0).fit(features, train["target"])

mlflow.set_experiment("tumours-xgboost")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.xgboost.log_model(
        model, name="model", input_example=features.head(), registered_model_name="tumours-xgboost"
    )

subprocess.run(["gauntlet", "register", "tumours-xgboost", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/tumours-xgboost/predict",
    json={"rows": golden[:3].drop(columns="target").to_dict("records")},
    timeout=30,
)
print(answer.text)
