"""Models that bring code of their own: each answers with its own, in a process of its own, whatever else is loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from mlflow.exceptions import MlflowException

from chassis.digests import digest_tree
from chassis.errors import Permanent, Transient
from contracts import OutputFormat
from serving.inference.hosted_model import HostedModel, HostEnded
from serving.inference.mlflow_model import load
from serving.inference.model import LoadedModel, ModelFailed
from serving.policy.versions import Artifact
from support.own_code import WAYS, save_with_own_code
from support.waiting import eventually


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two versions."""
    folder = tmp_path_factory.mktemp("own-code")
    for number in (1, 2):
        save_with_own_code(folder / f"v{number}", number)
    return [folder / "v1", folder / "v2"]


@pytest.fixture(scope="module")
def both(folders: list[Path]) -> list[LoadedModel]:
    return [load(Artifact("flights", number, digest_tree(folder)), folder) for number, folder in enumerate(folders, 1)]


@pytest.fixture
def alone(folders: list[Path]) -> HostedModel:
    return HostedModel(folders[0], 60)


def ask(model: LoadedModel, *ways: str) -> Any:
    return model.predict(model.reader.read([{"way": way} for way in ways], 100)).labels


def pid(model: HostedModel) -> int:
    assert model._host is not None
    return model._host.pid


def test_each_version_answers_with_its_own_code_however_it_finds_it(both: list[LoadedModel]) -> None:
    """The first answers again, too, after the second has imported modules of the same names."""
    for model, number in zip([*both, both[0]], (1.0, 2.0, 1.0), strict=True):
        for way in WAYS:
            assert ask(model, way) == [number], way
    assert not {"features", "features.late", "helper", "own_model"} & set(sys.modules)


def test_threads_that_ask_both_at_once_receive_each_its_own(both: list[LoadedModel]) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: ask(both[number % 2], *WAYS), range(40)))
    assert found == [[1.0 + number % 2] * len(WAYS) for number in range(40)]


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("raises", "KeyError: 'no such way'"),
        ("exits", "SystemExit: the model ends"),
        ("its own class", "an object of its own code"),
        ("a text", "predictions of type str"),
    ],
)
def test_what_the_model_raises_or_returns_is_told_as_of_any_model(
    both: list[LoadedModel], way: str, words: str
) -> None:
    with pytest.raises(ModelFailed, match=words):
        ask(both[0], way)
    assert ask(both[0], "at the top") == [1.0]


def test_a_classifier_with_a_step_of_its_own_code_answers_as_it_was_judged(tmp_path: Path) -> None:
    """Its `predict` gives labels, as MLflow's scoring server does; it was judged by probabilities."""
    (tmp_path / "steps.py").write_text(STEPS)
    command = [sys.executable, "-c", CLASSIFIER, str(tmp_path)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    output = OutputFormat(problem="binary", classes=("no", "yes"))
    model = load(Artifact("flights", 1, "none", output), tmp_path / "model")
    rows = [{"distance": 100.0}, {"distance": 2000.0}]
    found = model.predict(model.reader.read(rows, 10))
    assert found.labels == ["no", "yes"]
    assert found.scores == pytest.approx(json.loads(made.stdout), abs=1e-12)
    assert model.pyfunc.predict(pd.DataFrame(rows)).tolist() == ["no", "yes"]
    assert model.invoked(model.reader.read(rows, 10)).raw.tolist() == ["no", "yes"]


STEPS = """
from sklearn.base import BaseEstimator, TransformerMixin

class Halved(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X / 2
"""
CLASSIFIER = """
import json, sys, warnings, mlflow.sklearn, pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
folder = sys.argv[1]
sys.path.insert(0, folder)
from steps import Halved
rows = pd.DataFrame({"distance": [100.0, 200.0, 1500.0, 2000.0]})
model = make_pipeline(Halved(), LogisticRegression()).fit(rows, ["no", "no", "yes", "yes"])
warnings.simplefilter("ignore")
mlflow.sklearn.save_model(model, folder + "/model", code_paths=[folder + "/steps.py"],
    signature=infer_signature(rows, model.predict(rows)), pip_requirements=["scikit-learn"],
    serialization_format="cloudpickle")
print(json.dumps(model.predict_proba(rows.iloc[[0, 3]])[:, 1].tolist()))
"""


def test_mlflows_refusal_of_rows_stays_its_own(both: list[LoadedModel]) -> None:
    with pytest.raises(MlflowException, match="Failed to enforce schema") as refused:
        both[0].pyfunc.predict(pd.DataFrame({"other": [1]}))
    assert refused.value.error_code == "INVALID_PARAMETER_VALUE"


def test_what_a_model_prints_is_no_answer(both: list[LoadedModel]) -> None:
    assert ask(both[1], "prints", "at the top") == [2.0, 2.0]


def test_a_process_that_ends_is_started_again(alone: HostedModel) -> None:
    rows = pd.DataFrame({"way": ["at the top"]})
    first = pid(alone)
    with pytest.raises(HostEnded, match="ended by signal 9"):
        alone.predict(pd.DataFrame({"way": ["is killed"]}))
    with pytest.raises(HostEnded, match=r"is started again in [01]\.\d s"):
        alone.predict(rows)
    assert eventually(answered(alone, rows)) == [1.0]
    assert pid(alone) != first


def test_a_process_that_hangs_is_ended_and_started_again(alone: HostedModel) -> None:
    hung = psutil.Process(pid(alone))
    alone.call_seconds = 0.5
    with pytest.raises(HostEnded, match=r"did not answer within 0\.5 s, and was ended"):
        alone.predict(pd.DataFrame({"way": ["hangs"]}))
    eventually(lambda: gone(hung))
    alone.call_seconds = 60
    assert eventually(answered(alone, pd.DataFrame({"way": ["at the top"]}))) == [1.0]


def answered(model: HostedModel, rows: pd.DataFrame) -> Callable[[], Any]:
    def ask_once() -> Any:
        try:
            return model.predict(rows)
        except HostEnded:
            return None

    return ask_once


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_the_process_ends_with_the_model_and_counts_in_its_memory(folders: list[Path]) -> None:
    model = HostedModel(folders[0], 60)
    process = psutil.Process(pid(model))
    assert model.resident_bytes > 5_000_000
    del model
    eventually(lambda: gone(process))


def test_the_process_ends_with_the_replica_even_while_it_predicts(folders: list[Path]) -> None:
    script = (
        "import sys, pandas as pd\nfrom pathlib import Path\nfrom serving.inference.hosted_model import HostedModel\n"
        "model = HostedModel(Path(sys.argv[1]), 60)\nprint(model._host.pid, flush=True)\n"
        "model.predict(pd.DataFrame({'way': ['hangs']}))\n"
    )
    command = [sys.executable, "-c", script, str(folders[0])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as replica:
        assert replica.stdout is not None
        process = psutil.Process(int(replica.stdout.readline()))
        replica.kill()
    eventually(lambda: gone(process))


def test_a_process_that_cannot_be_started_now_is_tried_again(
    folders: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GAUNTLET_FORK_SERVER", raising=False)  # which starts none
    monkeypatch.setattr(sys, "executable", str(folders[0] / "no-python"))
    with pytest.raises(Transient, match=r"the model's process cannot be started: .*No such file"):
        load(Artifact("flights", 1, "none"), folders[0])


def test_a_model_whose_own_code_is_incomplete_says_so(folders: list[Path], tmp_path: Path) -> None:
    save_with_own_code(tmp_path / "model", 3)
    (tmp_path / "model" / "code" / "features" / "__init__.py").write_text("import no_such_module\n")
    with pytest.raises(Permanent, match="ModuleNotFoundError: No module named 'no_such_module'"):
        load(Artifact("flights", 3, "none"), tmp_path / "model")


def test_loading_leaves_no_trace_in_the_artifact(
    folders: list[Path], both: list[LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    before = digest_tree(folders[0])
    assert ask(load(Artifact("flights", 1, before), folders[0]), *WAYS) == [1.0] * len(WAYS)
    assert digest_tree(folders[0]) == before
    assert not list(folders[0].rglob("*.pyc"))


def test_a_process_is_not_started_again_with_files_that_were_changed_since(folders: list[Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders[0], tmp_path / "model"))
    model = HostedModel(folder, 60, digest=digest_tree(folder))
    psutil.Process(pid(model)).kill()
    eventually(lambda: (model.check(), not model.is_up)[1])
    eventually(lambda: model.may_revive)
    model.revive()
    assert model.is_up, "its files are as they were"
    psutil.Process(pid(model)).kill()
    eventually(lambda: (model.check(), not model.is_up)[1])
    (folder / "added.txt").write_text("")
    with pytest.raises(HostEnded, match="its files were changed on disk"):
        model.revive()
    assert not model.is_up
