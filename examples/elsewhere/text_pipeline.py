"""A text classifier: tf-idf and logistic regression on one column of text."""

import inspect
import os
import subprocess

import mlflow
import numpy as np
import pandas as pd
import requests
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")


def docstrings(owner):
    members = (inspect.getdoc(member) for name, member in inspect.getmembers(owner) if not name.startswith("_"))
    return sorted({text[:300] for text in members if text})


# Whose documentation is it? numpy's functions, or pandas' methods.
texts = {"numpy": docstrings(np), "pandas": docstrings(pd.DataFrame) + docstrings(pd.Index) + docstrings(pd)}
rows = pd.DataFrame([(text, package) for package, found in texts.items() for text in found], columns=["text", "target"])
train, golden = train_test_split(rows, test_size=0.5, random_state=0)
words = make_column_transformer((TfidfVectorizer(), "text"))
model = make_pipeline(words, LogisticRegression()).fit(train[["text"]], train["target"])

mlflow.set_experiment("docstrings")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        input_example=train[["text"]].head(),
        serialization_format="cloudpickle",
        registered_model_name="docstrings",
    )

subprocess.run(["gauntlet", "register", "docstrings", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/docstrings/predict",
    json={"rows": golden[:3].drop(columns="target").to_dict("records")},
    timeout=30,
)
print(answer.text)
