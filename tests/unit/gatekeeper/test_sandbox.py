"""The sandbox against models that misbehave: each is a folder that MLflow loads, with code of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from chassis.errors import Transient
from contracts import Outcome
from contracts.gate_settings import Latency
from gatekeeper.policy.gates import latency
from gatekeeper.policy.stage import Stage
from gatekeeper.sandbox.probe import Limits, Probe, Request
from gatekeeper.sandbox.processes import Cancelled
from gatekeeper.sandbox.sandbox import Sandbox
from gatekeeper.sandbox.workspace import Workspace
from support.versions import save
from support.waiting import eventually

ROWS = pd.DataFrame({"a": [0.1, 0.2, 0.3, 0.4], "b": [1.0, 2.0, 3.0, 4.0]})

MLMODEL = """\
flavors:
  python_function:
    loader_module: candidate
    code: code
    data: data
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "double", "name": "b", "required": true}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1]}}]'
"""


def model(folder: Path, predict: str, load: str = "") -> Path:
    """A model whose `predict(frame)` and loading are the given lines of Python."""
    (folder / "code").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "MLmodel").write_text(MLMODEL)
    lines = ["import os, sys, time, signal, subprocess, threading", "import numpy as np, pandas as pd"]
    lines += ["class Model:", "    def predict(self, frame):", textwrap.indent(textwrap.dedent(predict), " " * 8)]
    lines += ["def _load_pyfunc(path):", textwrap.indent(textwrap.dedent(load), " " * 4), "    return Model()"]
    (folder / "code" / "candidate.py").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("sandbox")


@pytest.fixture(scope="module")
def sandbox(home):
    shared = Sandbox(home)
    yield shared
    assert not list(home.glob("sandbox-*/probe-*")), "a scratch folder is left behind"
    shared.close()
    assert not list(home.glob("sandbox-*"))


@pytest.fixture
def probe(sandbox, tmp_path):
    def run(
        predict: str,
        load: str = "",
        *,
        problem: str = "binary",
        seconds: float = 60,
        memory_mb: int = 1024,
        **limits: Any,
    ) -> Probe:
        limits = Limits(seconds=seconds, memory_mb=memory_mb, timing_seconds=1, **limits)
        request = Request(model(tmp_path / "model", predict, load), problem, None, ROWS, limits)
        return sandbox.probe(request, threading.Event())

    return run


def test_a_good_model_is_loaded_asked_and_timed(probe):
    found = probe("return frame['a'].to_numpy()")
    assert found.fault is None
    assert found.golden.tolist() == ROWS["a"].tolist()
    assert np.array_equal(found.first, found.second)
    assert (found.asked, found.example_rows) == ("golden rows", 4)
    assert len(found.seconds) == 100 and found.load_seconds >= 0
    assert len(found.batch_seconds) == 40 and found.batch_rows == 100


def test_beside_each_call_is_its_cpu_time_and_a_loop_that_is_as_long(probe):
    sleeping = probe("time.sleep(0.004)\nreturn frame['a'].to_numpy()")
    noise = sleeping.noise
    assert len(noise.cpu) == len(noise.loop) == len(noise.loop_cpu) == len(sleeping.seconds)
    assert np.median(noise.cpu) < 0.5 * np.median(sleeping.seconds), "sleeping takes no CPU time"
    assert 0.5 * 0.004 < noise.quiet < 2 * 0.006
    assert noise.least(sleeping.seconds) <= np.quantile(sleeping.seconds, 0.95)
    assert sleeping.batch_noise is not None and sleeping.load_cpu_seconds >= 0


def test_a_busy_machine_shows_in_the_loop(sandbox, tmp_path):
    """More processes than processors that only compute: a model that needs 3 ms is no slow one."""
    computing = model(
        tmp_path / "model",
        "end = time.process_time() + 0.003\nwhile time.process_time() < end: pass\nreturn frame['a']",
    )
    burn = [sys.executable, "-c", "while True: pass"]
    # Each in a session of its own, as sessions share the processors equally on Linux.
    others = [subprocess.Popen(burn, start_new_session=True) for _ in range(3 * (os.cpu_count() or 1))]
    try:
        found = sandbox.probe(Request(computing, "binary", None, ROWS, Limits(60, 1024, 1)), threading.Event())
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert found.fault is None and found.noise.is_busy
    p95 = float(np.quantile(found.seconds, 0.95)) * 1000
    limit = 5.0
    facts = latency.Facts(seconds=found.seconds, load_seconds=found.load_seconds, noise=found.noise)
    verdict = latency.decide(facts, Latency(p95_ms=limit, load_seconds=1000))
    assert verdict.outcome is (Outcome.INCONCLUSIVE if p95 > limit else Outcome.PASSED), verdict.reason
    assert verdict.details["cpu_p95_ms"] < 2 * limit
    # Whatever else the machine does, a model is too slow whose CPU time alone is above the limit.
    assert latency.decide(facts, Latency(p95_ms=0.5, load_seconds=1000)).outcome is Outcome.FAILED


def test_batches_have_the_rows_that_were_asked_for_however_few_there_are(sandbox, tmp_path):
    """And a fault in them is told apart from one in a single row."""
    picky = model(tmp_path / "model", "return frame['a'] if len(frame) != 7 else 1 / 0")
    asked = Request(picky, "binary", None, ROWS, Limits(60, 1024, 1))
    assert sandbox.probe(asked, threading.Event()).fault is None
    found = sandbox.probe(replace(asked, batch_rows=7), threading.Event())
    assert found.fault is not None and found.fault.stage is Stage.BATCH
    assert "ZeroDivisionError" in found.fault.what and found.batch_seconds == ()


def test_a_forest_that_was_trained_on_all_cores_answers(sandbox, tmp_path):
    """Its n_jobs is pickled along: confined as it is, the model must not need a pool of processes for it."""
    forest = RandomForestClassifier(10, n_jobs=-1, random_state=0).fit(ROWS, [0, 1, 0, 1])
    save(forest, tmp_path / "forest", example=ROWS, roles=None)
    request = Request(tmp_path / "forest", "binary", [0, 1], ROWS, Limits(60, 1024, 1))
    found = sandbox.probe(request, threading.Event())
    assert found.fault is None, found
    assert found.golden is not None and np.allclose(found.golden, forest.predict_proba(ROWS)[:, 1])


@pytest.mark.parametrize(
    ("predict", "stage", "says"),
    [
        ("raise KeyError('carrier')", Stage.EXAMPLE, "raised KeyError: 'carrier'"),
        ("sys.exit(0)", Stage.EXAMPLE, "raised SystemExit"),
        ("os._exit(0)", Stage.EXAMPLE, "ended its process"),
        ("os._exit(3)", Stage.EXAMPLE, "exited with code 3"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", Stage.EXAMPLE, "killed by signal 11"),
        ("return np.zeros((2**40,))", Stage.EXAMPLE, "ran out of memory"),
        ("return np.full(len(frame), np.nan)", Stage.EXAMPLE, "4 of 4 answers are NaN"),
        ("return ['yes'] * len(frame)", Stage.EXAMPLE, "'yes'"),
        ("return np.zeros(len(frame) + 1)", Stage.EXAMPLE, "5 answers for 4 rows"),
        ("return np.zeros((len(frame), 3, 2))", Stage.EXAMPLE, "shape (4, 3, 2)"),
        ("return np.full(len(frame), 1.5)", Stage.EXAMPLE, "1.5"),
        ("return None", Stage.EXAMPLE, "gave a wrong answer"),
        ("return frame['a'] if len(frame) > 1 else 1 / 0", Stage.TIMING, "ZeroDivisionError"),
    ],
)
def test_a_model_that_misbehaves_when_asked(probe, predict, stage, says):
    found = probe(predict)
    assert found.fault is not None
    assert says in found.fault.what
    assert found.fault.stage is stage
    assert found.seconds == ()


def test_a_model_that_cannot_be_loaded(probe):
    found = probe("return 1", load="import no_such_module")
    assert found.fault.stage is Stage.LOADING
    assert "ModuleNotFoundError" in found.fault.what


def test_a_model_that_hangs_is_ended_at_the_deadline_with_all_it_started(probe):
    """Also what has left its session, has no environment, and whose parent is dead."""
    hang = """
        sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
        pids = [os.getpid(), subprocess.Popen(sleep).pid]
        pids.append(subprocess.Popen(sleep, start_new_session=True, env={}).pid)
        if (child := os.fork()) == 0:
            os.setsid()
            orphan = subprocess.Popen(sleep, start_new_session=True, env={}, stdout=-3, stderr=-3)
            print(orphan.pid, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(*pids, flush=True)
        time.sleep(600)
    """
    found = probe(hang, seconds=8, processes=True)
    assert found.fault.what == "did not end within 8 s"
    pids = [int(pid) for pid in found.output.split()]
    assert len(pids) == 4
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_a_model_that_eats_memory_slowly(probe):
    eat = """
        kept = []
        while True:
            kept.append(np.ones(4_000_000))
    """
    assert probe(eat, memory_mb=512).fault.what == "ran out of memory"


def test_a_model_sees_no_credentials_and_no_parent_folder(probe, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tell-nobody")
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret@host/db")
    monkeypatch.setenv("KAFKA_SASL_PASSWORD", "secret")
    found = probe("raise ValueError('|'.join([*os.environ, *os.environ.values(), os.getcwd()]))")
    said = found.fault.what
    assert "PATH" in said
    assert not any(word in said for word in ("tell-nobody", "AWS", "secret", "DATABASE_URL", str(Path.cwd())))


def test_a_model_that_prints_without_end_costs_no_memory_here(probe):
    found = probe("print('x' * 50_000_000); print('the end'); raise ValueError('done')")
    assert "ValueError: done" in found.fault.what
    assert len(found.output) <= 8192 and "the end" in found.output


SAY_DONE = "facts = open('facts.json').read(); open('facts.json', 'w').write(facts.replace(STAGE, 'ending'))"


@pytest.mark.parametrize(
    ("forge", "says"),
    [
        (f"{SAY_DONE}; os.mkfifo('pipe'); os.replace('pipe', 'first.npy')", "no readable answers to 4 rows"),
        (f"{SAY_DONE}; os.symlink('/etc/passwd', 'link'); os.replace('link', 'first.npy')", "no readable answers"),
        (f"{SAY_DONE}; open('golden.npy', 'wb').write(b'junk')", "no readable answers"),
        (f"{SAY_DONE}; np.save('golden.npy', np.array([{{}}] * 4), allow_pickle=True)", "no readable answers"),
        (f"{SAY_DONE}; np.save('golden.npy', np.array([0.1, np.inf, 0.1, 0.1]))", "no readable answers"),
        (f"{SAY_DONE}; np.save('golden.npy', np.zeros(3))", "no readable answers"),
        (f"{SAY_DONE}; open('golden.npy', 'ab').truncate(130)", "no readable answers"),
        ("open('facts.json', 'w').write('[' * 100_000)", "ended its process"),
        ("open('facts.json', 'w').write('{\"stage\": \"ending\", \"example_rows\": [4]}')", None),
        ("open('facts.json', 'w').write('{\"stage\": \"ending\", \"load_seconds\": ' + '9' * 400 + '}')", None),
    ],
)
def test_a_model_that_forges_what_the_sandbox_writes_is_found_out(probe, forge, says):
    """While it is timed it writes results of its own, and ends the process before ours are written."""
    predict = f"""
        if len(frame) > 1:
            return frame['a']
        STAGE = 'answering one row at a time'
        {forge}
        os._exit(0)
    """
    found = probe(predict)
    assert found.seconds == ()  # nothing was timed, so nothing passes
    if says is not None:
        assert found.fault is not None
        assert says in found.fault.what


def test_a_probe_nobody_wants_any_more_is_ended(sandbox, home, tmp_path):
    cancelled = threading.Event()
    folder = model(tmp_path / "model", "open('asked', 'w').close(); time.sleep(600)")
    request = Request(folder, "binary", None, ROWS, Limits(seconds=120, memory_mb=1024))

    def cancel() -> None:
        eventually(lambda: list(home.glob("sandbox-*/probe-*/asked")), timeout=60)
        cancelled.set()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(Cancelled):
        sandbox.probe(request, cancelled)
    thread.join()


def test_it_ends_with_its_parent(tmp_path):
    """A gatekeeper that is killed (-9) leaves no candidate code behind."""
    folder = model(tmp_path / "model", "open('asked', 'w').write(os.readlink('/proc/self')); time.sleep(600)")
    parent = os.fork()
    if parent == 0:
        request = Request(folder, "binary", None, ROWS, Limits(seconds=120, memory_mb=1024))
        Sandbox(tmp_path).probe(request, threading.Event())
        os._exit(0)
    asked = eventually(lambda: list(tmp_path.glob("sandbox-*/probe-*/asked")), timeout=60)[0]
    child = int(eventually(asked.read_text, timeout=10))
    assert alive(child)
    os.kill(parent, 9)
    os.waitpid(parent, 0)
    eventually(lambda: not alive(child), timeout=10)


def test_what_a_killed_gatekeeper_left_is_swept_and_what_a_living_one_uses_is_not(tmp_path):
    dead, living = tmp_path / "sandbox-dead", Workspace(tmp_path)
    dead.mkdir()
    (dead / "features.parquet").touch()
    other = Workspace(tmp_path)
    assert not dead.exists() and living.path.exists() and other.path != living.path
    living.close()
    assert not living.path.exists() and other.path.exists()
    other.close()


def test_a_sandbox_that_was_killed_says_nothing_of_the_candidate_and_works_the_next_time(tmp_path):
    sandbox = Sandbox(tmp_path / "home")
    sandbox.warm_up()
    assert sandbox._template is not None
    sandbox._template._process.kill()
    request = Request(model(tmp_path / "model", "return frame['a']"), "binary", None, ROWS, Limits(60, 1024, 1))
    with pytest.raises(Transient):
        sandbox.probe(request, threading.Event())
    assert sandbox.probe(request, threading.Event()).fault is None
    sandbox.close()


def test_a_sandbox_without_a_place_to_work_waits(tmp_path):
    (tmp_path / "home").write_text("a file")
    request = Request(model(tmp_path / "model", "return frame['a']"), "binary", None, ROWS, Limits(60, 1024))
    with pytest.raises(Transient, match="cannot work"):
        Sandbox(tmp_path / "home").probe(request, threading.Event())
