"""From an artifact to verdicts with a real sandbox: every kind of problem, champions old and broken."""

from __future__ import annotations

import textwrap
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from chassis.digests import digest_file, digest_tree
from chassis.errors import NotFound
from chassis.registry import RegisteredVersion
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from contracts.runtime_settings import Serving
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation import retiming
from gatekeeper.evaluation.evaluator import Evaluator
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Champion
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.policy.noise import Noise
from gatekeeper.sandbox.probe import Probe, Request
from gatekeeper.sandbox.sandbox import Sandbox

GATES = {"latency": {"p95_ms": 5000, "load_seconds": 100}, "leakage": {"unknown": "pass"}}
COLOURS = ["blue", "green", "red"]


class Folder:
    """Stands in for MLflow's artifacts: a URI is a name in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.downloads: list[str] = []

    def download(self, uri: str, into: Path) -> Path:
        self.downloads.append(uri)
        source, target = self.root / uri, into / Path(uri).name
        if source.is_dir():
            for file in (path for path in source.rglob("*") if path.is_file()):
                copy = target / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(file.read_bytes())
        elif source.is_file():
            target.write_bytes(source.read_bytes())
        else:
            raise NotFound(f"{uri} is not there")
        return target


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory):
    shared = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield shared
    shared.close()


class World:
    """Golden rows with one feature, and models that are lines of Python."""

    def __init__(self, root: Path, sandbox: Sandbox, problem: str, metric: str, label) -> None:
        self.store = Folder(root / "store")
        (root / "store").mkdir()
        random = np.random.default_rng(3)
        frame = pd.DataFrame({"a": random.normal(size=900)})
        frame["late"] = label(frame["a"], random)
        frame.to_parquet(root / "store" / "golden", index=False)
        self.policy = ModelPolicy.model_validate({"model": "m", "problem": problem, "metric": metric, "gates": GATES})
        artifacts = Artifacts(root / "cache", self.store, 100)  # type: ignore[arg-type]
        self.evaluator = Evaluator(artifacts, PredictionCache(root / "predictions"), sandbox, timing_seconds=1)

    def model(self, name: str, predict: str, classes: list | None = None) -> Path:
        folder = self.store.root / name
        (folder / "code").mkdir(parents=True)
        (folder / "data").mkdir()
        (folder / "data" / "nothing").touch()
        content = {
            "flavors": {"python_function": {"loader_module": "candidate", "code": "code", "data": "data"}},
            "signature": {
                "inputs": '[{"type": "double", "name": "a", "required": true}]',
                "outputs": '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]',
            },
            "metadata": {"gauntlet": {"label": "late", "classes": classes}},
        }
        (folder / "MLmodel").write_text(yaml.safe_dump(content))
        lines = ["import numpy as np", "class Model:", "    def predict(self, frame):"]
        lines += [textwrap.indent(textwrap.dedent(predict), " " * 8), "def _load_pyfunc(path):", "    return Model()"]
        (folder / "code" / "candidate.py").write_text("\n".join(lines))
        return folder

    def champion(self, name: str) -> Champion:
        return Champion(1, 1, name, digest_tree(self.store.root / name))

    def outcomes(self, name: str, champion: Champion | None = None) -> dict[str, tuple[str, str]]:
        golden = Dataset(uri="golden", digest=digest_file(self.store.root / "golden"))
        event = ModelRegistered(
            model_name="m", model_version=2, run_id="r", artifact_uri=name, code_version="c", evaluation=golden
        )
        version = RegisteredVersion("m", 2, "r", name, datetime.now(UTC), {})
        found = Provenance(event, version, run_found=True, training_digest="sha256:aa")
        measurements = self.evaluator.measure(
            EvaluationTask(found, self.policy, champion), threading.Event(), lambda share, what: None
        )
        self.measurements, verdicts = measurements, run_gates(measurements, self.policy)
        return {verdict.gate: (verdict.outcome.value, verdict.reason) for verdict in verdicts}


def colour(a, random):
    return np.array(COLOURS)[np.digitize(a + 0.3 * random.normal(size=len(a)), [-0.5, 0.5])]


NEAR = "d = -np.abs(frame['a'].to_numpy()[:, None] - np.array([-1.2, 0.0, 1.2])) * 4"
SOFTMAX = f"{NEAR}\ne = np.exp(d)\nreturn (e / e.sum(axis=1, keepdims=True))"


def test_a_regression(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "regression", "rmse", lambda a, random: 3 * a + random.normal(size=len(a)))
    world.model("good", "return 3 * frame['a']")
    world.model("poor", "return 2 * frame['a']")
    assert {outcome for outcome, _ in world.outcomes("good").values()} == {"Passed"}
    assert world.outcomes("good", world.champion("poor"))["performance"][0] == "Passed"
    outcome, reason = world.outcomes("poor", world.champion("good"))["performance"]
    assert outcome == "Failed" and "rmse" in reason


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "roc_auc_ovr"])
def test_many_classes_with_names(tmp_path, sandbox, metric):
    world = World(tmp_path, sandbox, "multiclass", metric, colour)
    world.model("good", SOFTMAX, COLOURS)
    world.model("other-order", f"{SOFTMAX}[:, ::-1]", COLOURS[::-1])
    world.model("poor", "return np.tile([0.3, 0.4, 0.3], (len(frame), 1))", COLOURS)
    assert {outcome for outcome, _ in world.outcomes("good").values()} == {"Passed"}
    same = world.outcomes("good", world.champion("other-order"))["performance"]
    assert "better by 0.0000" in same[1]
    assert world.outcomes("poor", world.champion("good"))["performance"][0] == "Failed"


def test_a_class_that_the_candidate_does_not_name_is_one_that_the_champion_may_have_right(tmp_path, sandbox):
    """Or leaving out the classes that it is bad at would make a candidate as good as any champion."""
    world = World(tmp_path, sandbox, "multiclass", "accuracy", colour)
    world.model("all", SOFTMAX, COLOURS)
    ends = SOFTMAX.replace("[-1.2, 0.0, 1.2]", "[-1.2, 1.2]")
    world.model("ends", ends, (COLOURS[0], COLOURS[2]))
    outcome, reason = world.outcomes("ends", world.champion("all"))["performance"]
    assert outcome == "Failed", reason
    assert world.outcomes("all", world.champion("ends"))["performance"][0] == "Passed"


def test_labels_alone_are_enough_for_accuracy_and_not_for_log_loss(tmp_path, sandbox):
    labels = "return np.array(['blue', 'green', 'red'])[np.digitize(frame['a'], [-0.5, 0.5])]"
    for metric, outcome in (("accuracy", "Passed"), ("log_loss", "Inconclusive")):
        folder = tmp_path / metric
        folder.mkdir()
        world = World(folder, sandbox, "multiclass", metric, colour)
        world.model("words", labels, COLOURS)
        assert world.outcomes("words")["performance"][0] == outcome


def late(a, random):
    return (random.random(len(a)) < 1 / (1 + np.exp(-2 * a))).astype(int)


SIGMOID = "return 1 / (1 + np.exp(-2 * frame['a']))"


def test_a_champion_that_cannot_be_compared_with_leaves_it_undecided(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    world.model("good", SIGMOID)
    world.model("wants-more", "return frame['b']")
    gone = Champion(1, 1, "gone", "sha256:00")
    world.model("changed", SIGMOID)
    changed = Champion(1, 1, "changed", "sha256:" + "0" * 64)
    for champion, says in (
        (world.champion("wants-more"), "raised KeyError: 'b'"),
        (gone, "gone is not there"),
        (changed, "changed since it was promoted"),
    ):
        outcome, reason = world.outcomes("good", champion)["performance"]
        assert (outcome, says in reason) == ("Inconclusive", True), reason


def test_the_champion_is_asked_once_a_golden_dataset(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    champion = world.champion(world.model("champion", f"{SIGMOID} * 0.9").name)
    world.model("one", SIGMOID)
    world.model("two", f"{SIGMOID} * 0.8")
    world.outcomes("one", champion)
    world.outcomes("two", champion)
    assert world.store.downloads.count("champion") == 1
    assert world.store.downloads.count("golden") == 1


@pytest.mark.parametrize(
    ("predict", "gates", "failed", "asked"),
    [
        (SIGMOID, {"integrity": {"serialisation": "safe"}}, "integrity", False),
        ("raise KeyError('b')", {}, "functional", True),
        (SIGMOID, {"performance": {"rule": {"delta": 0.5}}}, "performance", True),
    ],
)
def test_after_the_first_failure_nothing_more_is_measured(tmp_path, sandbox, predict, gates, failed, asked):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    settings = {"gates": {**GATES, **gates, "fail_fast": True}}
    world.policy = ModelPolicy.model_validate({**world.policy.model_dump(), **settings})
    champion = world.champion(world.model("champion", f"{SIGMOID} * 0.9").name)
    world.model("candidate", predict)
    found = world.outcomes("candidate", champion)
    names = list(found)
    at = names.index(failed)
    assert found[failed][0] == "Failed"
    assert all(not found[gate][1].startswith("not run") for gate in names[:at])
    assert {found[gate][1] for gate in names[at + 1 :]} == {
        f"not run: the gate {failed} failed, and the policy says fail_fast"
    }
    assert (world.measurements.probe is not None) is asked
    assert ("champion" in world.store.downloads) is (failed == "performance")
    assert (world.measurements.stopped is None) is (failed == "performance")


def test_both_models_are_timed_row_by_row_and_in_batches_where_they_are_compared(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    latency = {"p95_ms": 5000, "load_seconds": 100, "batch_p95_ms": 5000, "batch_rows": 30, "times_champion": 1000}
    world.policy = ModelPolicy.model_validate({**world.policy.model_dump(), "gates": {**GATES, "latency": latency}})
    champion = world.champion(world.model("champion", f"{SIGMOID} * 0.9").name)
    world.model("candidate", SIGMOID)
    outcome, reason = world.outcomes("candidate", champion)["latency"]
    assert outcome == "Passed" and "predictions of 30 rows is" in reason, reason
    for probe in (world.measurements.probe, world.measurements.champion_probe):
        assert (probe.batch_rows, len(probe.seconds), len(probe.batch_seconds)) == (30, 100, 40)


class BusyAtFirst:
    """The real sandbox; the first timings are as a busy machine would have them."""

    def __init__(self, real: Sandbox, times: int) -> None:
        self.real, self.times, self.probes = real, times, 0

    def probe(self, request: Request, cancelled: threading.Event) -> Probe:
        found = self.real.probe(request, cancelled)
        self.probes += 1
        if self.probes > self.times or found.noise is None:
            return found
        slow = tuple(max(each, 0.001) + (6 if number % 5 == 0 else 0) for number, each in enumerate(found.seconds))
        loop = tuple(6 if number % 5 == 0 else each for number, each in enumerate(found.noise.loop))
        return replace(found, seconds=slow, noise=Noise(found.noise.cpu, loop, found.noise.loop_cpu))


@pytest.mark.parametrize(("times", "outcome", "probes"), [(0, "Passed", 1), (2, "Passed", 3), (99, "Inconclusive", 4)])
def test_a_machine_too_busy_to_tell_is_waited_for_but_not_for_ever(
    tmp_path, sandbox, monkeypatch, times, outcome, probes
):
    monkeypatch.setattr(retiming, "PAUSES", (0.0, 0.0, 0.0))
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    world.model("candidate", SIGMOID)
    busy = BusyAtFirst(sandbox, times)
    world.evaluator._sandbox = busy
    world.evaluator._proves_form = False
    found = world.outcomes("candidate")
    assert found["latency"][0] == outcome, found["latency"]
    assert ("too busy to tell" in found["latency"][1]) is (outcome == "Inconclusive")
    assert busy.probes == probes
    assert found["functional"][0] == found["performance"][0] == "Passed"


def test_a_candidate_that_cannot_be_fetched_says_what_is_missing(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    found = world.outcomes("nowhere")
    assert found["lineage"][0] == "Failed" and "nowhere is not there" in found["lineage"][1]
    assert {found[gate][0] for gate in ("functional", "performance", "latency")} == {"Inconclusive"}


def test_a_candidate_that_will_not_have_its_form_proven_passes_all_the_same(tmp_path, sandbox):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    folder = world.model("candidate", SIGMOID)
    fine = world.outcomes("candidate")
    assert world.measurements.serving_form.name == "native" and world.measurements.seconds["form"] > 0
    assert world.measurements.serving_form.refused[0].reason.startswith("a pyfunc of its own code")
    file = folder / "code" / "candidate.py"
    refuses = (
        "    import json, os\n    if json.load(open('request.json'))['form_tolerance']: os._exit(3)\n    return Model()"
    )
    file.write_text(file.read_text().replace("    return Model()", refuses))
    stubborn = world.outcomes("candidate")
    assert {gate: outcome for gate, (outcome, _) in stubborn.items()} == {
        gate: said for gate, (said, _) in fine.items()
    }
    assert world.measurements.serving_form.problem == "its process exited with code 3 before it was proven"


@pytest.mark.parametrize("tolerance", [None, 1e-3])
def test_a_form_is_proven_with_the_tolerance_that_the_policy_names(tmp_path, sandbox, tolerance):
    world = World(tmp_path, sandbox, "binary", "roc_auc", late)
    world.policy = world.policy.model_copy(update={"serving": Serving(parity_tolerance=tolerance)})
    folder = world.model("candidate", SIGMOID)
    file = folder / "code" / "candidate.py"
    asked = "    import json\n    given = json.load(open('request.json'))['form_tolerance']\n"
    raises = "    if given: raise ValueError(f'proven within {given}')\n    return Model()"
    file.write_text(file.read_text().replace("    return Model()", asked + raises))
    world.outcomes("candidate")
    assert f"proven within {tolerance or 1e-6}" in world.measurements.serving_form.problem
