"""A model as people log it, judged by the gates and then served: the same scores, labels and classes, or words."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import mlflow.catboost
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import onnx
import pandas as pd
import pytest
import xgboost
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from chassis.digests import digest_tree
from chassis.errors import Permanent
from forms.artifact import ServingArtifact
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import serving_artifact
from gatekeeper.sandbox.sandbox import Sandbox
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel
from serving.loading import serving_artifact as served
from serving.policy.versions import Artifact
from support.judging import Bench

GATES = {
    "lineage": False,
    "latency": {"p95_ms": 5000, "load_seconds": 100, "batch_p95_ms": 5000},
    "leakage": False,
    "integrity": {"dependencies": "ignore"},
    "robustness": False,
}
RANDOM = np.random.default_rng(1)
X = pd.DataFrame(RANDOM.normal(size=(900, 3)), columns=["a", "b", "c"])
CODES = (X["a"] + X["b"] + RANDOM.normal(size=900) > 0).astype(int).to_numpy()
WORDS = np.where(CODES == 1, "late", "early")
COLOURS = np.array(["blue", "green", "red"])[np.digitize(X["a"] + 0.3 * RANDOM.normal(size=900), [-0.5, 0.5])]
EXAMPLE = X.head(5)


class Judge:
    """A bench for each verdict; `policy` of the last one."""

    def __init__(self, root: Path, sandbox: Sandbox) -> None:
        self.root, self.sandbox, self.number = root, sandbox, 0

    def __call__(
        self, folder: Path, labels: Any, problem: str = "binary", metric: str = "roc_auc", features: Any = X
    ) -> Measurements:
        self.number += 1
        policy = {"problem": problem, "metric": metric, "label": "late", "gates": GATES}
        bench = Bench(self.root / f"judged-{self.number}", self.sandbox, proves_form=True, **policy)
        bench.folder("model").symlink_to(folder)
        self.found = bench.verdicts("model", bench.golden(features.assign(late=labels), index=False))
        return bench.measurements

    @property
    def verdicts(self) -> dict[str, tuple[str, str]]:
        """Outcome and reason of each gate, of the last verdict."""
        return {gate: (verdict.outcome.value, verdict.reason) for gate, verdict in self.found.items()}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Any:
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield shared
    shared.close()


@pytest.fixture
def judge(tmp_path: Path, sandbox: Sandbox) -> Judge:
    return Judge(tmp_path, sandbox)


def logged(folder: Path, model: Any, **options: Any) -> Path:
    """As a notebook logs it: the flavour's own function, a signature, an example; no metadata of ours."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    library = type(model).__module__.partition(".")[0]
    flavours = {"lightgbm": mlflow.lightgbm, "xgboost": mlflow.xgboost, "catboost": mlflow.catboost}
    flavour = flavours.get(library, mlflow.sklearn)
    if flavour is mlflow.sklearn:
        options["serialization_format"] = "cloudpickle"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"signature": infer_signature(X, WORDS), "input_example": EXAMPLE, "pip_requirements": [], **options}
        flavour.save_model(model, folder / "model", **options)
    return folder / "model"


def brought_in(folder: Path, measurements: Measurements) -> LoadedModel:
    """As a replica brings in what was promoted, with the golden rows and the compiled model of its gates."""
    model = load(Artifact("m", 1, digest_tree(folder), measurements.output), folder)
    recorded = serving_artifact.recorded(measurements)
    assert recorded is not None
    choice = served.warm_up(model, ServingArtifact(measurements.form, recorded), 1e-6)
    assert (choice is not None) is (measurements.form is not None)
    return model


def answers(model: LoadedModel, rows: pd.DataFrame) -> tuple[Any, Any]:
    found = model.predict(model.reader.read(rows.to_dict("records"), len(rows)))
    return found.labels, found.scores


PIPELINE = make_pipeline(StandardScaler(), LogisticRegression())
CLASSIFIERS: dict[str, tuple[str, Callable[[], Any], Any, str]] = {
    "scikit-learn": ("binary", lambda: LogisticRegression().fit(X, CODES), CODES, "linear"),
    "scikit-learn, words": ("binary", lambda: PIPELINE.fit(X, WORDS), WORDS, "linear"),
    "scikit-learn, many words": ("multiclass", lambda: LogisticRegression().fit(X, COLOURS), COLOURS, "linear"),
    "LightGBM, words": (
        "binary",
        lambda: lightgbm.LGBMClassifier(n_estimators=9, verbose=-1).fit(X, WORDS),
        WORDS,
        "onnxruntime",
    ),
    "XGBoost": ("binary", lambda: xgboost.XGBClassifier(n_estimators=9).fit(X, CODES), CODES, "onnxruntime"),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_that_was_logged_without_a_word_is_judged_and_served_by_its_probabilities(
    name: str, judge: Judge, tmp_path: Path
) -> None:
    problem, fitted, labels, form = CLASSIFIERS[name]
    estimator = fitted()
    metric = "roc_auc" if problem == "binary" else "roc_auc_ovr"
    folder = logged(tmp_path, estimator)
    measurements = judge(folder, labels, problem, metric)
    verdicts = judge.verdicts
    assert {outcome for outcome, _ in verdicts.values()} == {"Passed"}, verdicts
    probabilities = estimator.predict_proba(X)
    expected = roc_auc_score(labels, probabilities[:, 1] if problem == "binary" else probabilities, multi_class="ovr")
    assert f"{metric} {expected:.4f}" in verdicts["performance"][1]
    classes = tuple(estimator.classes_.tolist())
    assert measurements.output is not None and measurements.output.classes == classes
    assert measurements.serving_form is not None and measurements.serving_form.name == form, measurements.serving_form

    model = brought_in(folder, measurements)
    found, scores = answers(model, X.head(50))
    assert np.allclose(scores, probabilities[:50, 1] if problem == "binary" else probabilities[:50], atol=1e-6)
    assert found == estimator.predict(X.head(50)).tolist()
    assert model.signature.classes == classes
    invoked = model.invoked(model.reader.read(X.head(50).to_dict("records"), 50))
    assert invoked.raw.tolist() == estimator.predict(X.head(50)).tolist(), "/invocations: as MLflow's scoring server"
    assert invoked.scores == scores, "and its event has the scores"


@pytest.mark.parametrize("labels", [CODES, CODES == 1], ids=["0 and 1", "booleans"])
def test_a_booster_is_judged_and_served_by_what_it_predicts(labels: Any, judge: Judge, tmp_path: Path) -> None:
    booster = lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, CODES), 9)
    folder = logged(tmp_path, booster)
    measurements = judge(folder, labels)
    assert judge.verdicts["performance"][0] == "Passed"
    found, scores = answers(brought_in(folder, measurements), X.head(50))
    assert np.allclose(scores, booster.predict(X.head(50)), atol=1e-6)
    assert found == (booster.predict(X.head(50)) >= 0.5).astype(int).tolist()


def test_labels_alone_are_said_to_be_labels_and_are_enough_for_accuracy(judge: Judge, tmp_path: Path) -> None:
    estimator = LinearSVC().fit(X, WORDS)
    folder = logged(tmp_path, estimator)
    judge(folder, WORDS)
    outcome, reason = judge.verdicts["functional"]
    assert outcome == "Failed"
    assert "predict gives labels, such as 'late'; roc_auc needs scores: LinearSVC has no predict_proba" in reason

    measurements = judge(folder, WORDS, metric="accuracy")
    verdicts = judge.verdicts
    assert {outcome for outcome, _ in verdicts.values()} == {"Passed"}, verdicts
    assert f"accuracy {np.mean(estimator.predict(X) == WORDS):.4f}" in verdicts["performance"][1]
    found, scores = answers(brought_in(folder, measurements), X.head(50))
    assert scores is None and found == estimator.predict(X.head(50)).tolist()


ONE_NUMBER = """
import mlflow
import numpy as np

class OneNumber(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return 1 / (1 + np.exp(-(model_input["a"] + model_input["b"]).to_numpy()))

mlflow.models.set_model(OneNumber())
"""


def test_one_probability_a_row_is_a_score_at_the_gate_and_in_serving(judge: Judge, tmp_path: Path) -> None:
    (tmp_path / "one_number.py").write_text(ONE_NUMBER)
    options = {"signature": infer_signature(X, np.array([0.5])), "pip_requirements": [], "input_example": EXAMPLE}
    folder = tmp_path / "model"
    mlflow.pyfunc.save_model(folder, python_model=str(tmp_path / "one_number.py"), **options)
    measurements = judge(folder, CODES)
    assert judge.verdicts["performance"][0] == "Passed"
    found, scores = answers(brought_in(folder, measurements), X.head(50))
    expected = 1 / (1 + np.exp(-(X["a"] + X["b"]).to_numpy()[:50]))
    assert scores == expected.tolist() and found == (expected >= 0.5).astype(int).tolist()


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (
            xgboost.XGBClassifier(n_estimators=9).fit(X, CODES),
            "and the model's classes are [0, 1]; log it with its classes",
        ),
        (
            lightgbm.train({"objective": "binary", "verbose": -1}, lightgbm.Dataset(X, CODES), 9),
            "nothing says whether the model's scores are those of 'early' or of 'late'; log it with its classes",
        ),
    ],
    ids=["trained on codes", "without classes"],
)
def test_words_that_no_class_of_the_model_has_leave_it_undecided_with_what_to_log(
    model: Any, reason: str, judge: Judge, tmp_path: Path
) -> None:
    judge(logged(tmp_path, model), WORDS)
    outcome, said = judge.verdicts["performance"]
    assert outcome == "Inconclusive" and reason in said
    folder = logged(tmp_path / "named", model, metadata={"gauntlet": {"classes": ["early", "late"]}})
    measurements = judge(folder, WORDS)
    assert judge.verdicts["performance"][0] == "Passed"
    assert set(answers(brought_in(folder, measurements), X.head(50))[0]) == {"early", "late"}


UNNAMED = pd.DataFrame(X.to_numpy())


@pytest.mark.parametrize("trained_on", [X.to_numpy(), UNNAMED], ids=["a matrix", "a frame without names"])
@pytest.mark.parametrize("golden", [X, UNNAMED.set_axis(["0", "1", "2"], axis=1)], ids=["named", "numbered"])
def test_columns_without_names_are_judged_and_served_by_their_position(
    trained_on: Any, golden: pd.DataFrame, judge: Judge, tmp_path: Path
) -> None:
    estimator = LogisticRegression().fit(trained_on, WORDS)
    folder = logged(tmp_path, estimator, signature=infer_signature(trained_on, WORDS), input_example=trained_on[:3])
    measurements = judge(folder, WORDS, features=golden)
    assert {outcome for outcome, _ in judge.verdicts.values()} == {"Passed"}, judge.verdicts
    expected = estimator.predict_proba(trained_on)[:, 1]
    assert f"roc_auc {roc_auc_score(WORDS, expected):.4f}" in judge.verdicts["performance"][1]
    assert measurements.serving_form is not None and measurements.serving_form.name == "linear"
    model = brought_in(folder, measurements)
    found, scores = answers(model, UNNAMED.head(50).set_axis(["0", "1", "2"], axis=1))
    assert np.allclose(scores, expected[:50]) and found == estimator.predict(trained_on[:50]).tolist()


@pytest.mark.parametrize("dtype", ["float32", "int64"])
def test_golden_rows_are_brought_to_the_type_of_the_matrix(dtype: str, judge: Judge, tmp_path: Path) -> None:
    matrix = (10 * X).round().astype(dtype).to_numpy()
    estimator = LogisticRegression().fit(matrix, WORDS)
    folder = logged(tmp_path, estimator, signature=infer_signature(matrix, WORDS), input_example=matrix[:3])
    measurements = judge(folder, WORDS, features=(10 * X).round())
    assert judge.verdicts["performance"][0] == "Passed", judge.verdicts
    brought_in(folder, measurements)


def test_golden_rows_of_another_width_say_so(judge: Judge, tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(X.to_numpy(), WORDS)
    folder = logged(tmp_path, estimator, signature=infer_signature(X.to_numpy(), WORDS), input_example=X.to_numpy()[:3])
    judge(folder, WORDS, features=X.assign(more=1.0))
    outcome, reason = judge.verdicts["performance"]
    assert outcome == "Inconclusive"
    assert "takes 3 columns without names; the golden rows have 4 besides the label (columns: a, b, c, more)" in reason


ARRAYS = ModelSignature(Schema([*(ColSpec(DataType.double, name) for name in "abc"), ColSpec(Array("double"), "many")]))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"signature": ARRAYS}, "column 'many' has type Array(double); served columns are double, float, long"),
        (
            {"signature": ModelSignature(Schema([TensorSpec(np.dtype(float), (-1, 3, 1))]))},
            "a tensor of shape (-1, 3, 1)",
        ),
        ({"signature": infer_signature({"x": X.to_numpy()})}, "the model takes named tensors"),
        ({"metadata": {"gauntlet": ["late"]}}, "the model's metadata 'gauntlet' is ['late']; expected a mapping"),
    ],
    ids=["array", "cube", "named tensor", "metadata"],
)
def test_what_serving_would_not_load_fails_at_the_gate_in_the_words_of_serving(
    options: Any, said: str, judge: Judge, tmp_path: Path
) -> None:
    folder = logged(tmp_path, LogisticRegression().fit(X, CODES), **{"input_example": None, **options})
    measurements = judge(folder, CODES)
    outcome, reason = judge.verdicts["functional"]
    assert outcome == "Failed" and "the model cannot be served: " in reason and said in reason
    with pytest.raises(Permanent) as refused:
        load(Artifact("m", 1, digest_tree(folder), measurements.output), folder)
    assert str(refused.value) in reason


def test_catboost_is_judged_and_served_by_its_probabilities(judge: Judge, tmp_path: Path) -> None:
    catboost = pytest.importorskip("catboost")
    estimator = catboost.CatBoostClassifier(iterations=9, verbose=0, allow_writing_files=False).fit(X, COLOURS)
    folder = logged(tmp_path, estimator)
    measurements = judge(folder, COLOURS, "multiclass", "roc_auc_ovr")
    assert {outcome for outcome, _ in judge.verdicts.values()} == {"Passed"}, judge.verdicts
    found, scores = answers(brought_in(folder, measurements), X.head(50))
    assert np.allclose(scores, estimator.predict_proba(X.head(50)))
    assert found == estimator.predict(X.head(50))[:, 0].tolist()


def onnx_classifier() -> onnx.ModelProto:
    """As a converter writes a logistic regression: a label, and the probabilities by class."""
    classes, weights = ["early", "late"], [0.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    nodes = [
        helper.make_node(
            "LinearClassifier", ["X"], ["label", "scores"], domain="ai.onnx.ml",
            coefficients=weights, intercepts=[0.0, 0.0], classlabels_strings=classes, post_transform="SOFTMAX",
        ),
        helper.make_node("ZipMap", ["scores"], ["probabilities"], domain="ai.onnx.ml", classlabels_strings=classes),
    ]  # fmt: skip
    by_class = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
        helper.make_value_info("probabilities", by_class),
    ]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 3])]
    opsets = [helper.make_opsetid("", 15), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, outputs), opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("columns", ["named", "unnamed"])
def test_an_onnx_classifier_is_judged_and_served_by_the_probabilities_beside_its_label(
    columns: str, judge: Judge, tmp_path: Path
) -> None:
    rows = X.astype("float32")
    given = rows if columns == "named" else rows.to_numpy()
    options = {"signature": infer_signature(given, WORDS), "input_example": given[:3], "pip_requirements": []}
    folder = tmp_path / "model"
    mlflow.onnx.save_model(onnx_classifier(), folder, **options)
    measurements = judge(folder, WORDS)
    assert {outcome for outcome, _ in judge.verdicts.values()} == {"Passed"}, judge.verdicts
    expected = 1 / (1 + np.exp(-(rows["a"] + rows["b"]).to_numpy()))
    assert f"roc_auc {roc_auc_score(WORDS, expected):.4f}" in judge.verdicts["performance"][1]
    assert measurements.output is not None and measurements.output.classes == ("early", "late")
    names = ["a", "b", "c"] if columns == "named" else ["0", "1", "2"]
    found, scores = answers(brought_in(folder, measurements), rows.head(50).astype(float).set_axis(names, axis=1))
    assert np.allclose(scores, expected[:50], atol=1e-6)
    assert found == np.where(expected[:50] >= 0.5, "late", "early").tolist()


def test_what_mlflow_has_no_type_for_fails_at_the_gate_by_the_name_of_its_column(judge: Judge, tmp_path: Path) -> None:
    unsigned = X.assign(c=(10 * X["c"]).abs().astype("uint64"))
    folder = logged(
        tmp_path, LogisticRegression().fit(X, CODES), signature=infer_signature(unsigned), input_example=None
    )
    measurements = judge(folder, CODES, features=unsigned)
    outcome, reason = judge.verdicts["functional"]
    assert outcome == "Failed" and "'c'" in reason and "uint64" in reason
    with pytest.raises(Permanent, match="no named columns, but Any"):
        load(Artifact("m", 1, digest_tree(folder), measurements.output), folder)
