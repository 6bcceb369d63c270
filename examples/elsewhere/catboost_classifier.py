"""A CatBoost classifier: scores come from its `predict_proba`."""

import os
import subprocess

import mlflow
import requests
from catboost import CatBoostClassifier
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_breast_cancer(as_frame=True).frame, test_size=0.5, random_state=0)
features = train.drop(columns="target")
model = CatBoostClassifier(iterations=50, random_seed=0, verbose=False, allow_writing_files=False)
model.fit(features, train["target"])

mlflow.set_experiment("tumours-catboost")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.catboost.log_model(
        model, name="model", input_example=features.head(), registered_model_name="tumours-catboost"
    )

subprocess.run(["gauntlet", "register", "tumours-catboost", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/tumours-catboost/predict",
    json={"rows": golden[:3].drop(columns="target").to_dict("records")},
    timeout=30,
)
print(answer.text)
