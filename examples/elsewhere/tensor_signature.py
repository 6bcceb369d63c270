"""A scikit-learn model that was trained on a numpy array: its columns have no names."""

import os
import subprocess

import mlflow
import requests
from mlflow.models import infer_signature
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

train, golden = train_test_split(load_diabetes(as_frame=True).frame, test_size=0.5, random_state=0)
features = train.drop(columns="target").to_numpy()
model = Ridge(alpha=0.1).fit(features, train["target"])

mlflow.set_experiment("diabetes-tensor")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        signature=infer_signature(features, model.predict(features)),
        input_example=features[:5],
        registered_model_name="diabetes-tensor",
    )

subprocess.run(["gauntlet", "register", "diabetes-tensor", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/diabetes-tensor/predict",
    json={"rows": golden[:3].drop(columns="target").to_numpy().tolist()},
    timeout=30,
)
print(answer.text)
