"""A category that was never seen, scored as a known one without a word: real models, and the table of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from gatekeeper.policy.unseen_categories import CategoryAnswers, CategoryTrial, read, scored_as
from gatekeeper.sandbox.sandbox import Sandbox
from support.judging import Bench

N = 900
CARRIERS = ["AA", "B6", "DL", "UA"]
SHARES = dict(zip(CARRIERS, (0.9, 0.3, 0.2, 0.1), strict=True))
MLMODEL = """\
flavors:
  python_function: {loader_module: candidate, code: code, data: data}
signature:
  inputs: '[{"type": "string", "name": "carrier", "required": true}, {"type": "double", "name": "a", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
metadata: {gauntlet: {label: late, classes: [0, 1]}}
"""
CODE = """\
import xgboost

class Model:
    def __init__(self, path):
        self.model = xgboost.Booster(model_file=f"{path}/model.ubj")

    def predict(self, frame):
        given = frame.assign(carrier=frame["carrier"].astype(KIND))
        return self.model.predict(xgboost.DMatrix(given, enable_categorical=True))

def _load_pyfunc(path):
    return Model(path)
"""


def rows() -> pd.DataFrame:
    random = np.random.default_rng(2)
    frame = pd.DataFrame({"carrier": random.choice(CARRIERS, N), "a": random.normal(size=N)})
    frame["late"] = (random.random(N) < frame["carrier"].map(SHARES)).astype(int)
    return frame


def bench_of(folder: Path, sandbox: Sandbox, **robustness: Any) -> Bench:
    settings = {"rows": 300, "margin_share": 0.95, "perturbations": ["noise", "unseen"], "share": 0.01, **robustness}
    return Bench(folder, sandbox, gates={"robustness": settings})


def boosted(bench: Bench, kind: str) -> None:
    """A booster of pandas categories, which makes them of the texts that it is given."""
    frame = rows()
    features = frame[["carrier", "a"]].astype({"carrier": "category"})
    folder = bench.folder("model")
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    model = xgboost.XGBClassifier(n_estimators=10, enable_categorical=True).fit(features, frame["late"])
    model.get_booster().save_model(folder / "data" / "model.ubj")
    (folder / "MLmodel").write_text(MLMODEL)
    (folder / "code" / "candidate.py").write_text(f"import pandas as pd\n{CODE.replace('KIND', kind)}")


def test_xgboost_scores_what_sorts_before_its_categories_as_the_first_and_the_verdict_says_so(
    tmp_path: Path, sandbox: Sandbox
) -> None:
    """XGBoost 3.2: 3.4.1 raises. If this fails with a newer one, robustness says that it raised, which is as well."""
    bench = bench_of(tmp_path, sandbox)
    boosted(bench, "'category'")
    verdict = bench.verdicts("model", bench.golden(rows()))["robustness"]
    assert verdict.details["unseen_as_known"] == {"carrier": ["AA"]}, verdict.reason
    says = "warning: a value of 'carrier' that was never seen is scored exactly as 'AA', and not as a missing one"
    assert says in verdict.reason


def test_the_policy_may_say_that_this_fails(tmp_path: Path, sandbox: Sandbox) -> None:
    bench = bench_of(tmp_path, sandbox, unseen_as_known="fail", perturbations=["unseen"])
    boosted(bench, "'category'")
    verdict = bench.verdicts("model", bench.golden(rows()))["robustness"]
    assert verdict.outcome.value == "Failed" and "warning" not in verdict.reason
    assert "is scored exactly as 'AA'" in verdict.reason


def test_categories_that_were_declared_are_scored_as_missing_and_pass(tmp_path: Path, sandbox: Sandbox) -> None:
    bench = bench_of(tmp_path, sandbox, unseen_as_known="fail")
    boosted(bench, f"pd.CategoricalDtype({CARRIERS})")
    verdict = bench.verdicts("model", bench.golden(rows()))["robustness"]
    assert (verdict.outcome.value, verdict.details["unseen_as_known"]) == ("Passed", {}), verdict.reason


def test_an_encoder_that_ignores_them_passes(tmp_path: Path, sandbox: Sandbox) -> None:
    bench = bench_of(tmp_path, sandbox, unseen_as_known="fail")
    frame = rows()
    features = frame[["carrier", "a"]]
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough")
    bench.sklearn("model", make_pipeline(columns, LogisticRegression()).fit(features, frame["late"]), features)
    verdict = bench.verdicts("model", bench.golden(frame))["robustness"]
    assert (verdict.outcome.value, verdict.details["unseen_as_known"]) == ("Passed", {}), verdict.reason


ONE, TWO, THREE = np.array([0.1, 0.2]), np.array([0.3, 0.2]), np.array([0.5, 0.2])
KNOWN = {"x": ONE, "y": TWO, "z": THREE, "w": THREE + 0.1}


@pytest.mark.parametrize(
    ("known", "unseen", "missing", "names"),
    [
        (KNOWN, {"first": ONE}, THREE + 0.2, ("x",)),
        (KNOWN, {"first": ONE + 0.05, "last": TWO}, None, ("y",)),
        (KNOWN, {"first": ONE}, ONE, ()),
        (KNOWN, {"first": ONE + 0.05}, THREE, ()),
        (KNOWN, {}, None, ()),
        (KNOWN | {"y": ONE}, {"first": ONE}, None, ("x", "y")),
        ({"x": ONE, "y": ONE, "z": ONE}, {"first": ONE}, TWO, ()),
        ({"x": np.array(["a", "b"]), "y": np.array(["c", "b"])}, {"first": np.array(["c", "b"])}, None, ("y",)),
    ],
)
def test_what_an_unseen_value_is_scored_as(known: Any, unseen: Any, missing: Any, names: Any) -> None:
    assert scored_as(CategoryAnswers("c", known, unseen, missing)) == names


def test_a_trial_is_read_from_the_answers_to_dirty_rows() -> None:
    trial = CategoryTrial("c", ("x", "y"), 0)
    together = np.array([0.1, 0.2, 0.3, 0.4])
    found = read(trial, {"category-0-known": together, "category-0-last": ONE})
    assert found is not None and found.missing is None and list(found.unseen) == ["last"]
    assert {name: values.tolist() for name, values in found.known.items()} == {"x": [0.1, 0.2], "y": [0.3, 0.4]}
    assert read(trial, {"category-0-last": ONE}) is None
