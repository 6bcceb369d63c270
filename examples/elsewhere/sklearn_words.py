"""A scikit-learn classifier of three classes whose names are words."""

import os
import subprocess

import mlflow
import requests
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

rows = load_wine(as_frame=True).frame
rows["target"] = rows["target"].map({0: "barolo", 1: "grignolino", 2: "barbera"})
train, golden = train_test_split(rows, test_size=0.5, random_state=0, stratify=rows["target"])
model = RandomForestClassifier(n_estimators=50, random_state=0).fit(train.drop(columns="target"), train["target"])

mlflow.set_experiment("wine")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=train.drop(columns="target").head(),
        serialization_format="cloudpickle",  # MLflow's default, skops, refuses the trees of scikit-learn
        registered_model_name="wine",
    )

subprocess.run(["gauntlet", "register", "wine", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/wine/predict", json={"rows": golden[:3].drop(columns="target").to_dict("records")}, timeout=30
)
print(answer.text)
