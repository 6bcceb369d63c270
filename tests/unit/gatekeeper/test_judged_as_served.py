"""A model as people log it, judged by the gates and then served: the same scores, labels and classes, or words."""

from __future__ import annotations

import logging
import threading
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import mlflow.lightgbm
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from chassis.digests import digest_file, digest_tree
from chassis.registry import RegisteredVersion
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from forms.artifact import ServingArtifact
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.evaluator import EvaluationTask, Evaluator
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.evidence import serving_artifact
from gatekeeper.sandbox.sandbox import Sandbox
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel
from serving.loading import serving_artifact as served
from serving.policy.versions import Artifact
from support.evidence_world import Kept

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
    """The gatekeeper's evaluator with a real sandbox, and a folder in MLflow's place."""

    def __init__(self, root: Path, sandbox: Sandbox) -> None:
        self.root, self.sandbox, self.number = root, sandbox, 0

    def __call__(self, folder: Path, labels: Any, problem: str = "binary", metric: str = "roc_auc") -> Measurements:
        self.number += 1
        root = self.root / f"judged-{self.number}"
        root.mkdir()
        kept = Kept(root / "mlflow")
        X.assign(late=labels).to_parquet(root / "golden.parquet", index=False)
        digest = digest_file(root / "golden.parquet")
        dataset = Dataset(uri=kept.upload("r", root / "golden.parquet", "datasets"), digest=digest)
        (kept.root / "model").symlink_to(folder)
        event = ModelRegistered(model_name="m", model_version=1, run_id="r", artifact_uri="model", evaluation=dataset)
        version = RegisteredVersion("m", 1, "r", "model", datetime.now(UTC), {})
        found = Provenance(event, version, run_found=True, training_digest="sha256:aa")
        self.policy = ModelPolicy.model_validate({"model": "m", "problem": problem, "metric": metric, "gates": GATES})
        artifacts = Artifacts(root / "cache", kept, 100)  # type: ignore[arg-type]
        evaluator = Evaluator(artifacts, PredictionCache(root / "predictions"), self.sandbox, timing_seconds=0.2)
        return evaluator.measure(EvaluationTask(found, self.policy), threading.Event(), lambda share, what: None)

    def verdicts(self, measurements: Measurements) -> dict[str, tuple[str, str]]:
        return {v.gate: (v.outcome.value, v.reason) for v in run_gates(measurements, self.policy)}


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
    flavours = {"lightgbm": mlflow.lightgbm, "xgboost": mlflow.xgboost, "catboost": getattr(mlflow, "catboost", None)}
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
CLASSIFIERS: dict[str, tuple[str, Any, Any, str]] = {
    "scikit-learn": ("binary", LogisticRegression().fit(X, CODES), CODES, "linear"),
    "scikit-learn, words": ("binary", PIPELINE.fit(X, WORDS), WORDS, "linear"),
    "scikit-learn, many words": ("multiclass", LogisticRegression().fit(X, COLOURS), COLOURS, "linear"),
    "LightGBM, words": (
        "binary",
        lightgbm.LGBMClassifier(n_estimators=9, verbose=-1).fit(X, WORDS),
        WORDS,
        "onnxruntime",
    ),
    "XGBoost": ("binary", xgboost.XGBClassifier(n_estimators=9).fit(X, CODES), CODES, "onnxruntime"),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_that_was_logged_without_a_word_is_judged_and_served_by_its_probabilities(
    name: str, judge: Judge, tmp_path: Path
) -> None:
    problem, estimator, labels, form = CLASSIFIERS[name]
    metric = "roc_auc" if problem == "binary" else "roc_auc_ovr"
    folder = logged(tmp_path, estimator)
    measurements = judge(folder, labels, problem, metric)
    verdicts = judge.verdicts(measurements)
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
    assert judge.verdicts(measurements)["performance"][0] == "Passed"
    found, scores = answers(brought_in(folder, measurements), X.head(50))
    assert np.allclose(scores, booster.predict(X.head(50)), atol=1e-6)
    assert found == (booster.predict(X.head(50)) >= 0.5).astype(int).tolist()


def test_labels_alone_are_said_to_be_labels_and_are_enough_for_accuracy(judge: Judge, tmp_path: Path) -> None:
    estimator = LinearSVC().fit(X, WORDS)
    folder = logged(tmp_path, estimator)
    outcome, reason = judge.verdicts(judge(folder, WORDS))["functional"]
    assert outcome == "Failed"
    assert "predict gives labels, such as 'late'; roc_auc needs scores: LinearSVC has no predict_proba" in reason

    measurements = judge(folder, WORDS, metric="accuracy")
    verdicts = judge.verdicts(measurements)
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
    assert judge.verdicts(measurements)["performance"][0] == "Passed"
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
    outcome, said = judge.verdicts(judge(logged(tmp_path, model), WORDS))["performance"]
    assert outcome == "Inconclusive" and reason in said
    folder = logged(tmp_path / "named", model, metadata={"gauntlet": {"classes": ["early", "late"]}})
    measurements = judge(folder, WORDS)
    assert judge.verdicts(measurements)["performance"][0] == "Passed"
    assert set(answers(brought_in(folder, measurements), X.head(50))[0]) == {"early", "late"}
