"""An ONNX model, as other tools export them: y = x·W + b."""

import os
import subprocess

import mlflow
import numpy as np
import onnx
import requests
from mlflow.models import infer_signature
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split

SERVING = os.environ.get("SERVING_URL", "http://127.0.0.1:8001")

rows = load_diabetes(as_frame=True).frame.astype(np.float32)
train, golden = train_test_split(rows, test_size=0.5, random_state=0)
features = train.drop(columns="target").to_numpy()
fitted = LinearRegression().fit(features, train["target"])
weights = numpy_helper.from_array(fitted.coef_.reshape(-1, 1).astype(np.float32), "W")
intercept = numpy_helper.from_array(np.array([fitted.intercept_], dtype=np.float32), "b")
graph = helper.make_graph(
    [helper.make_node("Gemm", ["x", "W", "b"], ["y"])],
    "linear",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, features.shape[1]])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    [weights, intercept],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
onnx.checker.check_model(model)

mlflow.set_experiment("diabetes-onnx")
with mlflow.start_run():
    golden.to_parquet("evaluation.parquet", index=False)
    mlflow.log_artifact("evaluation.parquet", "datasets")
    logged = mlflow.onnx.log_model(
        model,
        name="model",
        signature=infer_signature(features, fitted.predict(features).reshape(-1, 1).astype(np.float32)),
        input_example=features[:5],
        registered_model_name="diabetes-onnx",
    )

subprocess.run(["gauntlet", "register", "diabetes-onnx", str(logged.registered_model_version), "--wait"], check=True)
answer = requests.post(
    f"{SERVING}/models/diabetes-onnx/predict",
    json={"rows": golden[:3].drop(columns="target").to_numpy().tolist()},
    timeout=30,
)
print(answer.text)
