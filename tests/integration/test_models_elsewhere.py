"""Models trained elsewhere: each script goes from plain MLflow to an answer of the champion over HTTP."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from embedded_kafka import EmbeddedKafka
from support.gatekeepers import TESTS, Gatekeepers
from support.mlflow_server import MlflowServer
from support.processes import end, spawn
from support.replica import Replica

SCRIPTS = TESTS.parent / "examples" / "elsewhere"
SCRIPT_SECONDS = 240


@dataclass(frozen=True)
class Expected:
    """`problem` as it is found, or stated; `classes`: all labels that an answer may have."""

    model: str
    problem: str = "binary"
    metric: str = "roc_auc"
    classes: tuple[Any, ...] = (0, 1)


EXPECTED = {
    "sklearn_regression": Expected("diabetes", "regression", "mae"),
    "sklearn_words": Expected("wine", "multiclass", "accuracy", ("barbera", "barolo", "grignolino")),
    "sklearn_autolog": Expected("tumours-autolog"),
    "lightgbm_booster": Expected("tumours-booster"),
    "lightgbm_sklearn": Expected("tumours-lightgbm"),
    "xgboost_sklearn": Expected("tumours-xgboost"),
    "catboost_classifier": Expected("tumours-catboost"),
    "pyfunc_plain": Expected("tumours-rule"),
    "models_from_code": Expected("tumours-code"),
    "onnx_flavour": Expected("diabetes-onnx", "regression", "mae"),
    "tensor_signature": Expected("diabetes-tensor", "regression", "mae"),
    "text_pipeline": Expected("docstrings", "binary", "roc_auc", ("numpy", "pandas")),
    "forecaster": Expected("sunspots", "regression", "mase"),
}
OF_EACH_KIND = (
    *("sklearn_words", "sklearn_autolog", "lightgbm_booster", "models_from_code", "onnx_flavour", "text_pipeline"),
    "forecaster",
)
"""Each problem, each way to log (autolog, a library's flavour, own code) and each kind of input: the others, of which
`make test` judges and serves such a model elsewhere, are `exhaustive`."""
NOT_MODELS = {"model_code", "no_signature"}


@dataclass(frozen=True)
class Stack:
    gatekeepers: Gatekeepers
    variables: dict[str, str]
    folder: Path

    def play(self, script: str) -> tuple[int, str]:
        """Run a script in a folder of its own, as its user would; exit status and output."""
        log = self.folder / f"{script}.log"
        folder = self.folder / script
        folder.mkdir()
        process = spawn(
            [sys.executable, "-m", "support.script", str(SCRIPTS / f"{script}.py")], self.variables, log, folder
        )
        try:
            status = process.wait(SCRIPT_SECONDS)
        finally:
            end(process)
        return status, log.read_text()


@pytest.fixture(scope="module")
def stack(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("elsewhere")
    prefix = f"{folder.name}."
    database = f"sqlite:///{folder / 'gatekeeper.db'}"
    gatekeepers = Gatekeepers(kafka.bootstrap_servers, prefix, database, mlflow_server.uri, folder)
    shutil.copytree(SCRIPTS / "policies", folder / "policies")
    replica = Replica(
        kafka.bootstrap_servers,
        prefix,
        mlflow_server.uri,
        folder / "serving",
        env={"POLICIES_DIR": str(folder / "policies")},
    )
    try:
        replica.start()
        gatekeepers.start_ready(GATEKEEPER_PROVES_FORM="true")
        variables = {
            "MLFLOW_TRACKING_URI": mlflow_server.uri,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "TOPIC_PREFIX": prefix,
            "GATEKEEPER_URL": f"http://127.0.0.1:{gatekeepers.ports[0]}",
            "SERVING_URL": f"http://127.0.0.1:{replica.port}",
            "POLICIES_DIR": str(folder / "policies"),
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
            "PYTHONPATH": str(TESTS),
            "GIT_PYTHON_REFRESH": "quiet",
        }
        yield Stack(gatekeepers, variables, folder)
    finally:
        gatekeepers.stop()
        replica.stop()


def test_every_script_is_played() -> None:
    assert {path.stem for path in SCRIPTS.glob("*.py")} - NOT_MODELS == EXPECTED.keys()


@pytest.mark.parametrize(
    "script",
    [pytest.param(script, marks=() if script in OF_EACH_KIND else pytest.mark.exhaustive) for script in EXPECTED],
)
def test_from_plain_mlflow_to_the_champions_answer(stack: Stack, script: str) -> None:
    if script == "catboost_classifier":
        pytest.importorskip("catboost", reason="CatBoost is not installed: it has no wheel for this machine")
    status, output = stack.play(script)
    assert status == 0, output
    expected, answer = EXPECTED[script], json.loads(output.splitlines()[-1])
    judged = stack.gatekeepers.candidate(expected.model, answer["model_version"])
    assert judged["state"] == "passed", judged
    found = judged["evidence"]["policy"]
    assert (found["problem"], found["metric"]) == (expected.problem, expected.metric)
    assert len(answer["predictions"]) == 3
    for each in answer["predictions"]:
        if expected.problem == "regression":
            assert each["score"] is None and math.isfinite(each["label"])
        else:
            assert each["label"] in expected.classes
        if expected.problem == "binary":
            assert 0 <= each["score"] <= 1
            assert each["label"] == expected.classes[each["score"] >= 0.5]


def test_without_a_signature_it_is_refused_with_the_line_that_adds_one(stack: Stack) -> None:
    status, output = stack.play("no_signature")
    assert status == 0, output
    assert "exit 1" in output
    assert "the signature: which columns it takes, of which types" in output
    assert "input_example=features.head()" in output
