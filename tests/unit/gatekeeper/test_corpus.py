"""Untrusted candidates, each through the real gates and the real sandbox: the right words, and nothing left behind.

docs/explanation/untrusted-candidates.md has the table of them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from chassis.digests import digest_file, digest_tree
from chassis.registry import RegisteredVersion
from contracts import Dataset, GateVerdict, ModelRegistered, Outcome
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.sandbox import descendants
from gatekeeper.sandbox.sandbox import Sandbox
from support.corpus import CORPUS, Bad
from support.stores import FolderStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is tested is what Linux does")

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "untrusted-candidates.md"
SECRET = "tell-nobody"
GATES = {"latency": False, "leakage": False}
LIMITS = {"memory_mb": 1024, "disk_mb": 64}
ROWS = 900


@dataclass
class Place:
    """A gatekeeper's measuring, with things around it that candidates must not touch."""

    root: Path
    sandbox: Sandbox
    evaluator: Evaluator
    server: socket.socket
    neighbour: subprocess.Popen[bytes]
    """Of the same user, with a secret in its environment."""

    def judge(self, name: str, policy: dict[str, object], seconds: float = 60) -> tuple[tuple[GateVerdict, ...], str]:
        """The verdicts, and what the candidate printed."""
        golden = Dataset(uri="golden", digest=digest_file(self.root / "store" / "golden"))
        event = ModelRegistered(
            model_name="m", model_version=2, run_id="r", artifact_uri=name, code_version="c", evaluation=golden
        )
        rules = {"model": "m", "gates": {**GATES, **policy}, "sandbox": {**LIMITS, "seconds": seconds}}
        version = RegisteredVersion("m", 2, "r", name, datetime.now(UTC), {})
        found = Provenance(event, version, run_found=True, training_digest="sha256:aa")
        task = EvaluationTask(found, ModelPolicy.model_validate(rules))
        measurements = self.evaluator.measure(task, threading.Event(), lambda share, what: None)
        assert measurements.probe is not None
        return run_gates(measurements, task.policy), measurements.probe.output

    def upload(self, bad: Bad) -> None:
        folder = self.root / "store" / bad.name
        folder.mkdir()
        columns = [{"type": "double", "name": name, "required": True} for name in bad.inputs]
        content = {
            "flavors": {"python_function": {"loader_module": "candidate", "code": "code", "data": "data"}},
            "signature": {
                "inputs": json.dumps(columns),
                "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
            },
            "metadata": {"gauntlet": {"label": "late", "classes": [0, 1], **bad.roles}},
        }
        if bad.raw is not None:
            sklearn = {"pickled_model": "model.bin", "serialization_format": "pickle"}
            python = {"loader_module": "mlflow.sklearn", "model_path": "model.bin"}
            content["flavors"] = {"python_function": python, "sklearn": sklearn}
            (folder / "model.bin").write_bytes(self.filled(bad.raw.raw().decode()).encode())
        else:
            (folder / "code").mkdir()
            (folder / "data").mkdir()
            (folder / "data" / "nothing").touch()
            lines = ["import os, signal, subprocess, time", "import numpy as np, pandas as pd", "class Model:"]
            lines += ["    def predict(self, frame):", textwrap.indent(self.filled(bad.predict), " " * 8)]
            lines += ["def _load_pyfunc(path):", textwrap.indent(self.filled(bad.load), " " * 4), "    return Model()"]
            (folder / "code" / "candidate.py").write_text("\n".join(lines))
        (folder / "MLmodel").write_text(yaml.safe_dump(content))

    def filled(self, code: str) -> str:
        return code.format(
            secret=self.root / "store" / "golden",
            outside=self.root / "outside",
            port=self.server.getsockname()[1],
            pid=self.neighbour.pid,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("corpus")
    for name in ("store", "outside", "home"):
        (root / name).mkdir()
    random = np.random.default_rng(3)
    frame = pd.DataFrame({"a": random.normal(size=ROWS), "b": random.choice([0.0, 1.0], ROWS)})
    frame["late"] = (random.random(ROWS) < 1 / (1 + np.exp(-2 * frame["a"]))).astype(int)
    _write_with_roles(frame, root / "store" / "golden")
    sandbox = Sandbox(root / "home")
    secrets = pytest.MonkeyPatch()
    for name in ("AWS_SECRET_ACCESS_KEY", "DATABASE_URL", "KAFKA_SASL_PASSWORD", "MLFLOW_TRACKING_PASSWORD"):
        secrets.setenv(name, SECRET)
    artifacts = Artifacts(root / "cache", FolderStore(root / "store"), 100)  # type: ignore[arg-type]
    evaluator = Evaluator(artifacts, PredictionCache(root / "predictions"), sandbox, timing_seconds=1)
    server = socket.create_server(("127.0.0.1", 0))
    server.setblocking(False)
    neighbour = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env={"PASSWORD": SECRET, "PATH": os.environ["PATH"]}
    )
    made = Place(root, sandbox, evaluator, server, neighbour)
    made.upload(Bad("good", "", "", ""))
    assert unhappy(made.judge("good", {})[0]) == {}
    yield made
    secrets.undo()
    sandbox.close()
    server.close()
    neighbour.kill()
    neighbour.wait()


def _write_with_roles(frame: pd.DataFrame, path: Path) -> None:
    """As the trainer writes golden rows: what each column is goes into the file."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    roles = {**(table.schema.metadata or {}), b"gauntlet": json.dumps({"label": "late"}).encode()}
    pq.write_table(table.replace_schema_metadata(roles), path)


@pytest.mark.parametrize("bad", CORPUS, ids=lambda bad: bad.name)
def test_an_untrusted_candidate_fails_with_the_right_words_and_leaves_nothing(place: Place, bad: Bad) -> None:
    place.upload(bad)
    template = place.sandbox._template
    before = digest_tree(place.root / "store")

    verdicts, printed = place.judge(bad.name, bad.policy, bad.seconds)

    said = unhappy(verdicts)
    assert said[bad.gate].startswith(f"{bad.outcome}: ") and bad.says in said[bad.gate]
    assert SECRET not in str(verdicts) + printed

    assert place.sandbox._template is template, "the sandbox had to be started again"
    assert template is not None and descendants.of(template._process.pid) == set(), "a process is left"
    assert not list(place.root.glob("home/sandbox-*/probe-*")), "a scratch folder is left"
    assert list((place.root / "outside").iterdir()) == []
    assert digest_tree(place.root / "store") == before
    assert place.neighbour.poll() is None
    with pytest.raises(BlockingIOError):
        place.server.accept()

    assert unhappy(place.judge("good", {})[0]) == {}, "a good candidate passes as before"


def unhappy(verdicts: tuple[GateVerdict, ...]) -> dict[str, str]:
    return {
        item.gate: f"{item.outcome.value}: {item.reason}" for item in verdicts if item.outcome is not Outcome.PASSED
    }


def test_the_page_has_the_whole_corpus() -> None:
    shown = dict(re.findall(r"^\| `([a-z-]+)` \| ([^|]+?) \|", PAGE.read_text(), re.MULTILINE))
    assert shown == {bad.name: bad.tries for bad in CORPUS}
