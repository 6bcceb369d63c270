"""The integrity gate: what is found in real model folders without opening them, and what is decided on it."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.lightgbm
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import yaml
from lightgbm import LGBMClassifier
from mlflow.exceptions import MlflowException
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from xgboost import XGBClassifier

from contracts import Outcome
from contracts.gate_settings import Integrity
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.scan import inspect
from gatekeeper.policy.gates.integrity import Dependency, Facts, File, Vulnerability, decide
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError

MARK = "GAUNTLET_TEST_WAS_HERE"
ANY, LISTED, SAFE = (Integrity(serialisation=kind) for kind in ("any", "allow_listed", "safe"))


class Runs:
    """Unpickling it leaves a mark in this process."""

    def __reduce__(self) -> Any:
        return os.putenv, (MARK, "1")


def fitted(*steps: Any) -> Any:
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0]})
    return make_pipeline(*steps, LogisticRegression()).fit(frame, [0, 1, 0, 1])


def saved(folder: Path, estimator: Any, form: str = "cloudpickle", **options: Any) -> Path:
    mlflow.sklearn.save_model(estimator, folder, serialization_format=form, pip_requirements=["numpy"], **options)
    return folder


def with_pickle(folder: Path, raw: bytes, name: str = "model.pkl") -> Path:
    """A model whose file is these bytes, as a candidate could have made it by hand."""
    saved(folder, fitted())
    (folder / "model.pkl").unlink()
    (folder / name).write_bytes(raw)
    text = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(text.replace("model.pkl", name))
    return folder


def outcome(folder: Path, settings: Integrity = ANY) -> tuple[Outcome, str]:
    verdict = decide(inspect(folder, "sha256:a", "sha256:a", settings), settings)
    return verdict.outcome, verdict.reason


def test_a_model_of_known_parts_passes_whatever_the_policy_asks_of_pickles(tmp_path):
    folder = saved(tmp_path / "model", fitted())
    for settings in (ANY, LISTED):
        assert outcome(folder, settings) == (
            Outcome.PASSED,
            "the artifact is the one that was registered; loading it runs no code of its own; "
            "its 3 dependencies are satisfied; known vulnerabilities were not checked",
        )
    found, reason = outcome(folder, SAFE)
    assert found is Outcome.FAILED and "model.pkl is a pickle" in reason


def test_a_model_that_carries_a_function_is_said_to_run_code_of_its_own(tmp_path):
    folder = saved(tmp_path / "model", fitted(FunctionTransformer(lambda frame: frame * 2)))
    found, reason = outcome(folder)
    assert found is Outcome.PASSED
    assert "loading it runs code of its own (model.pkl with cloudpickle.cloudpickle." in reason
    assert "in the sandbox here and where it is served" in reason
    found, reason = outcome(folder, LISTED)
    assert found is Outcome.FAILED and "which the allow-list does not have" in reason


def test_skops_is_safe_unless_it_names_what_the_list_does_not_have(tmp_path):
    import skops.io  # it takes a second, which each process that runs tests would spend

    assert outcome(saved(tmp_path / "plain", fitted(), "skops"), SAFE)[0] is Outcome.PASSED
    own = fitted(FunctionTransformer(np.asarray))
    folder = saved(
        tmp_path / "own", own, "skops", skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(own))
    )
    found, reason = outcome(folder, SAFE)
    assert found is Outcome.FAILED, "that the model's own file trusts it counts for nothing"
    assert "uses numpy.asarray, which the allow-list does not have" in reason
    assert outcome(folder, SAFE.model_copy(update={"allow": ("numpy.asarray",)}))[0] is Outcome.PASSED


TREE = "sklearn.tree._tree.Tree"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
LIGHTGBM = ["collections.OrderedDict", "lightgbm.basic.Booster", "lightgbm.sklearn.LGBMClassifier"]
XGBOOST = ["xgboost.core.Booster", "xgboost.sklearn.XGBClassifier"]


def small(estimator: Any, *, alone: bool = False) -> Any:
    frame = pd.DataFrame({"a": np.arange(40.0)})
    return (estimator if alone else make_pipeline(StandardScaler(), estimator)).fit(frame, np.arange(40) % 2)


@pytest.mark.parametrize(
    ("estimator", "flavour", "trusted", "allow"),
    [
        (RandomForestClassifier(3), mlflow.sklearn, [TREE], []),
        (HistGradientBoostingClassifier(max_iter=2), mlflow.sklearn, [PREDICTOR], []),
        (LGBMClassifier(n_estimators=2, verbose=-1), mlflow.sklearn, LIGHTGBM, LIGHTGBM[1:]),
        (XGBClassifier(n_estimators=2), mlflow.sklearn, XGBOOST, XGBOOST),
        (LGBMClassifier(n_estimators=2, verbose=-1), mlflow.lightgbm, None, LIGHTGBM[1:]),
        (XGBClassifier(n_estimators=2), mlflow.xgboost, None, []),
    ],
    ids=str,
)
def test_trees_are_safe_as_the_how_to_logs_them(tmp_path, estimator, flavour, trusted, allow):
    """With MLflow's default, which is skops; and what the verdict says to allow is what it needs, no more."""
    model, options = small(estimator, alone=flavour is not mlflow.sklearn), {}
    if trusted:
        with pytest.raises(MlflowException, match="untrusted types") as refused:
            flavour.save_model(model, tmp_path / "refused", pip_requirements=["numpy"])
        assert all(name in str(refused.value) for name in trusted), "MLflow itself names them"
        options = {"skops_trusted_types": trusted}
    flavour.save_model(model, tmp_path / "model", pip_requirements=["numpy"], **options)
    for settings in (SAFE, LISTED):
        found, reason = outcome(tmp_path / "model", settings)
        assert found is (Outcome.FAILED if allow else Outcome.PASSED), reason
        if not allow:
            continue
        line = re.search(r"gates: \{.*\}", reason)
        assert line is not None, reason
        suggested = ModelPolicy.model_validate({"model": "m", **yaml.safe_load(line.group())}).gates.integrity
        assert isinstance(suggested, Integrity) and sorted(suggested.allow) == sorted(allow)
        allowed = settings.model_copy(update={"allow": suggested.allow})
        assert outcome(tmp_path / "model", allowed)[0] is Outcome.PASSED


def test_a_pickle_under_safe_is_told_how_to_be_none_and_what_no_name_can_allow_is_not_suggested(tmp_path):
    found, reason = outcome(saved(tmp_path / "pickle", small(RandomForestClassifier(3))), SAFE)
    assert found is Outcome.FAILED and 'serialization_format="skops", skops_trusted_types=' in reason
    assert "can allow" not in reason
    own = fitted(FunctionTransformer(lambda frame: frame * 2))
    found, reason = outcome(saved(tmp_path / "code", own), LISTED)
    assert found is Outcome.FAILED and "can allow" not in reason
    found, reason = outcome(with_pickle(tmp_path / "runs", RAW), LISTED)
    assert found is Outcome.FAILED and "the policy can allow them" not in reason, "it calls os.putenv"


RAW = pickle.dumps(Runs())


def in_archive(raw: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", raw)
    return made.getvalue()


def array_of(thing: Any) -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([thing], dtype=object), allow_pickle=True)
    return made.getvalue()


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (RAW, "model.pkl"),
        (pickle.dumps(Runs(), protocol=0), "model.pkl"),
        (RAW, "model.json"),
        (pickle.dumps(Runs(), protocol=0), "model.txt"),
        (RAW, "model.onnx"),
        (in_archive(RAW), "model.pt"),
        (array_of(Runs()), "model.npy"),
    ],
)
def test_a_pickle_that_calls_is_found_under_any_name_and_nothing_of_it_runs(tmp_path, raw, name):
    folder = with_pickle(tmp_path / "model", raw, name)
    for settings in (ANY, LISTED, SAFE):
        found, reason = outcome(folder, settings)
        assert found is Outcome.FAILED
        assert "putenv" in reason or "is a pickle" in reason
    assert MARK not in os.environ and not os.popen(f"printenv {MARK}").read()
    allowed = LISTED.model_copy(update={"allow": ("os.putenv", "posix.putenv", "numpy._core.numeric._frombuffer")})
    assert outcome(folder, allowed)[0] is Outcome.PASSED


def test_a_pickle_too_long_for_the_scanner_is_looked_through_all_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr("gatekeeper.artifacts.scan.MOST_SCANNED", 2)
    folder = with_pickle(tmp_path / "model", RAW)
    assert "calls" in outcome(folder)[1] and "putenv" in outcome(folder)[1]
    monkeypatch.setattr("gatekeeper.artifacts.pickles.MOST_OPCODES", 2)
    assert "more than 2 opcodes" in outcome(folder, LISTED)[1]


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (RAW[:-5], "cannot be known"),
        (pickle.dumps(fitted()) + RAW, "something follows the pickle"),
        (b"", "cannot be known"),
        (b"PK\x03\x04 no archive", "cannot be looked into"),
        (b"\x93NUMPY no array", "cannot be looked into"),
        (b"\x00\x01\x02\x03 something", "cannot be known"),
    ],
)
def test_what_cannot_be_read_passes_no_stricter_policy(tmp_path, raw, says):
    folder = with_pickle(tmp_path / "model", raw)
    found, reason = outcome(folder, LISTED)
    assert found is Outcome.FAILED
    assert says in reason


def test_code_beside_the_model_and_other_loaders_are_code(tmp_path):
    folder = saved(tmp_path / "model", fitted())
    (folder / "code").mkdir()
    (folder / "code" / "steps.py").write_text("print('hello')")
    found, reason = outcome(folder, LISTED)
    assert found is Outcome.FAILED and "code/steps.py is code that runs" in reason
    assert "runs code of its own (code/steps.py)" in outcome(folder)[1]
    text = (folder / "MLmodel").read_text().replace("loader_module: mlflow.sklearn", "loader_module: steps")
    (folder / "MLmodel").write_text(text)
    assert "its loader steps runs code of the model" in outcome(folder, SAFE)[1]
    (folder / "link").symlink_to("/etc/passwd")
    assert "link" in outcome(folder, LISTED)[1]


GOOD = Facts(declared="sha256:a", measured="sha256:a", loader="mlflow.sklearn", advisories=9)
OLD = Dependency("numpy", "numpy==1.0", "2.4.6", False)
NEAR = Dependency("pandas", "pandas==2.3.1", "2.3.3", False, same_major=True)
PYTHON = Dependency("python", "python 3.10.1", "3.11.9", False, same_major=True)
CODE = File("model.pkl", "pickle", opened=True, names=("cloudpickle.cloudpickle._make_function",))
HOLE = Vulnerability("numpy", "2.4.6", "PYSEC-2030-1", "it says too much")
EXECUTES = File("model.pkl", "pickle", True, ("os.system",), ("os.system",))


@pytest.mark.parametrize(
    ("facts", "changes", "expected", "says"),
    [
        (GOOD, {}, Outcome.PASSED, "the artifact is the one that was registered"),
        (
            replace(GOOD, measured="sha256:b"),
            {},
            Outcome.FAILED,
            "has digest sha256:b, but sha256:a was registered",
        ),
        (replace(GOOD, declared=None), {}, Outcome.PASSED, "no digest was registered"),
        (replace(GOOD, files=(EXECUTES,)), {}, Outcome.FAILED, "opening model.pkl calls os.system"),
        (replace(GOOD, files=(EXECUTES,)), {"allow": ("os.system",)}, Outcome.PASSED, "runs no code of its own"),
        (
            replace(GOOD, dependencies=(OLD,)),
            {},
            Outcome.FAILED,
            "needs numpy==1.0, and where it would be served 2.4.6",
        ),
        (replace(GOOD, dependencies=(replace(OLD, installed=None),)), {}, Outcome.FAILED, "it is not installed"),
        (replace(GOOD, dependencies=(OLD,)), {"dependencies": "ignore"}, Outcome.PASSED, "registered"),
        (
            replace(GOOD, dependencies=(NEAR, *GOOD.dependencies)),
            {},
            Outcome.PASSED,
            "1 of them in another minor or patch version: pandas==2.3.1 (here 2.3.3)",
        ),
        (replace(GOOD, dependencies=(NEAR,)), {"dependencies": "exact"}, Outcome.FAILED, "needs pandas==2.3.1"),
        (replace(GOOD, dependencies=(PYTHON,)), {}, Outcome.PASSED, "python 3.10.1 (here 3.11.9)"),
        (replace(GOOD, dependencies=(PYTHON,), files=(CODE,)), {}, Outcome.FAILED, "needs python 3.10.1"),
        (
            replace(GOOD, vulnerabilities=(HOLE,)),
            {},
            Outcome.FAILED,
            "numpy 2.4.6 has a known vulnerability, PYSEC-2030-1",
        ),
        (replace(GOOD, vulnerabilities=(HOLE,)), {"accepted": ("PYSEC-2030-1",)}, Outcome.PASSED, "registered"),
        (replace(GOOD, vulnerabilities=(HOLE,)), {"vulnerabilities": "ignore"}, Outcome.PASSED, "registered"),
        (replace(GOOD, advisories=None), {}, Outcome.PASSED, "known vulnerabilities were not checked"),
        (replace(GOOD, advisories=None), {"vulnerabilities": "require"}, Outcome.INCONCLUSIVE, "no advisories"),
        (
            replace(GOOD, advisories=None, measured="sha256:b"),
            {"vulnerabilities": "require"},
            Outcome.FAILED,
            "sha256:b",
        ),
        (Facts(MeasurementError(ErrorSource.EARLIER, "not measured")), {}, Outcome.INCONCLUSIVE, "not measured"),
    ],
)
def test_what_is_decided(facts, changes, expected, says):
    verdict = decide(facts, Integrity(**changes))
    assert (verdict.outcome, verdict.gate) == (expected, "integrity")
    assert says in verdict.reason
    json.dumps(verdict.model_dump(mode="json"))
