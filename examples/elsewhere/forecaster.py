"""A forecaster of statsmodels: next year's sunspots from the past years."""

import os
import subprocess

import mlflow
import pandas as pd
import requests
import statsmodels.api as sm

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

years = sm.datasets.sunspots.load_pandas().data  # yearly since 1700
rows = pd.DataFrame({f"ago_{k}": years["SUNACTIVITY"].shift(k) for k in range(1, 10)})
rows["target"] = years["SUNACTIVITY"]
rows["year"] = pd.to_datetime(years["YEAR"].astype(int).astype(str))
rows = rows.dropna()
train, golden = rows[:150], rows[150:]
past = train.drop(columns=["target", "year"])
model = sm.OLS(train["target"], past).fit()  # an autoregression of order 9

mlflow.set_experiment("sunspots")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.statsmodels.log_model(
        model,
        name="model",
        input_example=past.head(),
        registered_model_name="sunspots",
        metadata={"gauntlet": {"event_time": "year"}},  # golden rows are in this order
    )

subprocess.run(["gauntlet", "register", "sunspots", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/sunspots/predict",
    json={"rows": golden[:3].drop(columns=["target", "year"]).to_dict("records")},
    timeout=30,
)
print(answer.text)
