"""The form that a candidate would be served in: proven in the sandbox, kept as evidence, no reason for a verdict."""

from __future__ import annotations

import json
import textwrap
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from forms import loads
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evidence import document as evidence
from gatekeeper.sandbox.compiled_form import TOLERANCE, CompilationReport, Parity, RefusedForm, from_untrusted
from gatekeeper.sandbox.probe import Limits, Request
from gatekeeper.sandbox.sandbox import Sandbox
from support.evidence_world import POLICY, World
from support.versions import save

LIMITS = Limits(seconds=60, memory_mb=1024, timing_seconds=1)


def flights(rows: int = 600) -> pd.DataFrame:
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"distance": random.normal(800, 300, rows), "carrier": random.choice(["UA", "AA"], rows)})
    return frame.mask(random.random(frame.shape) < 0.02)


def boosting(frame: pd.DataFrame) -> Any:
    words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = make_column_transformer((words, ["carrier"]), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=10)).fit(frame, frame["distance"] > 800)


def code(folder: Path, load: str) -> Path:
    """A model of its own code, that runs `load` when it is loaded."""
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    signature = {
        "inputs": json.dumps([{"type": "double", "name": name, "required": True} for name in ("distance",)]),
        "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
    }
    flavors = {"python_function": {"loader_module": "candidate", "code": "code", "data": "data"}}
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": flavors, "signature": signature}))
    lines = ["import json, os, time", "class Model:", "    def predict(self, frame):"]
    lines += ["        return frame['distance'].to_numpy() * 0 + 0.5", "def _load_pyfunc(path):"]
    lines += [
        "    proving = json.load(open('request.json'))['form_tolerance'] is not None",
        textwrap.indent(textwrap.dedent(load), "    "),
    ]
    (folder / "code" / "candidate.py").write_text("\n".join([*lines, "    return Model()"]))
    return folder


def asked(model: Path, limits: Limits = LIMITS) -> Request:
    return Request(model, "binary", None, flights()[["distance"]].dropna(), limits)


def test_golden_rows_without_an_optional_column_prove_no_form(sandbox: Sandbox, tmp_path: Path) -> None:
    frame = flights()
    save(boosting(frame), tmp_path / "model", example=frame.assign(gate=["A", None] * 300))
    found, form = sandbox.form(
        Request(tmp_path / "model", "binary", [0, 1], frame, LIMITS), TOLERANCE, threading.Event()
    )
    assert (found.name, found.refused[0].reason, form) == ("native", "the golden rows lack 'gate'", None)


def test_compiled_trees_run_in_the_sandbox_and_are_proven_there(sandbox: Sandbox, tmp_path: Path) -> None:
    frame = flights()
    save(boosting(frame), tmp_path / "model", example=frame)  # with values missing, so that its columns are optional
    found, form = sandbox.form(
        Request(tmp_path / "model", "binary", [0, 1], frame, LIMITS), TOLERANCE, threading.Event()
    )
    assert (found.name, found.problem) == ("onnxruntime", None), found
    assert found.parity is not None and found.parity.rows > 600, "golden rows, and rows made of them"
    assert form is not None and loads(form).about()["parity"]["rows"] == found.parity.rows
    assert (found.parity.labels_differ, found.parity.tolerance) == (0, 1e-6)
    assert [each.form for each in found.refused] == ["linear"]


def test_scores_may_differ_as_much_as_the_policy_says_and_no_more(sandbox: Sandbox, tmp_path: Path) -> None:
    frame = flights()
    save(boosting(frame), tmp_path / "model", example=frame)
    found, _ = sandbox.form(Request(tmp_path / "model", "binary", [0, 1], frame, LIMITS), 1e-3, threading.Event())
    assert found.parity is not None and found.parity.tolerance == 1e-3
    said = {"rows": 5000, "labels_differ": 0, "largest_difference": 1e-4, "tolerance": 1e-3}
    assert from_untrusted({"name": "onnxruntime", "parity": said, "refused": []}, 1e-3).parity == Parity(
        5000, 0, 1e-4, 1e-3
    )


def test_a_model_of_its_own_code_is_served_as_it_is(sandbox: Sandbox, tmp_path: Path) -> None:
    found, form = sandbox.form(asked(code(tmp_path / "model", "pass")), TOLERANCE, threading.Event())
    assert (found.name, found.parity, form) == ("native", None, None)
    assert found.refused == (RefusedForm("any", "a pyfunc of its own code: there is no estimator to compile"),)


@pytest.mark.parametrize(
    ("load", "says"),
    [
        ("if proving: raise KeyError('form')", "raised KeyError: 'form'"),
        ("if proving: os._exit(0)", "ended before it was proven"),
        ("if proving: os._exit(3)", "exited with code 3"),
        ("if proving: time.sleep(600)", "did not end within 2 s"),
        ("if proving: open('facts.json', 'w').write(json.dumps({'form': 7})); os._exit(0)", "makes no sense"),
        ("if proving: os.symlink('/etc/passwd', 'form.bin'); os._exit(0)", "ended before it was proven"),
    ],
)
def test_who_misbehaves_while_its_form_is_proven_is_ended_and_what_it_did_is_said(
    sandbox: Sandbox, tmp_path: Path, load: str, says: str
) -> None:
    request = asked(code(tmp_path / "model", load))
    assert sandbox.probe(request, threading.Event()).fault is None
    limits = Limits(seconds=2, memory_mb=1024, timing_seconds=1)
    found, form = sandbox.form(asked(request.model, limits), TOLERANCE, threading.Event())
    assert found.name is None and form is None and says in str(found.problem)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "<script>"},
        {"name": 7},
        {"name": "native"},
        {"parity": None},
        {"parity": {"rows": 0}},
        {"parity": {"rows": 10**9}},
        {"parity": {"labels_differ": 1}},
        {"parity": {"largest_difference": 1e-3}},
        {"parity": {"largest_difference": float("nan")}},
        {"parity": {"largest_difference": 10**400}},
        {"refused": 7},
        {"refused": [{"form": "linear"}]},
    ],
)
def test_what_cannot_be_true_is_not_believed(change: dict[str, Any]) -> None:
    parity = {"rows": 5000, "labels_differ": 0, "largest_difference": 1e-16, "tolerance": 1e-6}
    refused = [{"form": "linear", "reason": "no \x1b[31m\nlinear model"}]
    said = {"name": "onnxruntime", "parity": parity, "refused": refused}
    assert from_untrusted(said, 1e-6) == CompilationReport(
        "onnxruntime", Parity(5000, 0, 1e-16, 1e-6), (RefusedForm("linear", "no [31m linear model"),)
    )
    changed = change | ({"parity": parity | change["parity"]} if change.get("parity") else {})
    assert from_untrusted(said | changed, 1e-6).problem == "what its process said of it makes no sense"


@pytest.mark.parametrize("said", [None, 7, [], "native", {}])
def test_nonsense_is_not_believed(said: Any) -> None:
    assert from_untrusted(said, 1e-6).problem is not None


def test_a_verdict_is_reached_again_with_its_form_and_from_evidence_that_has_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    form = CompilationReport("treelite", Parity(1999, 0, 0.0, 1e-6), (RefusedForm("linear", "trees"),), seconds=0.4)
    measurements = world.measurements(serving_form=form)
    verdicts = run_gates(measurements, POLICY)
    document = world.written(measurements)
    assert document["measured"]["serving_form"]["parity"]["rows"] == 1999
    again, _ = evidence.read(document, lambda digest: world.store.load("m", digest))
    assert again.serving_form == form
    assert world.replayer.replay(document, verdicts).agrees
    del document["measured"]["serving_form"]
    document["format"] = 1
    assert world.replayer.replay(document, verdicts).agrees
