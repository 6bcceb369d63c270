"""The commands that ask and tell the gatekeeper, against a real one with a real trainer and a real replica."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from embedded_kafka import EmbeddedKafka
from support.cli import Ended, gauntlet, ok
from support.mlflow_server import MlflowServer
from support.processes import free_port, running
from support.replica import Replica
from support.trainers import Trainers
from support.waiting import eventually

NO_LATENCY = {"latency": False}
GATES = ("lineage", "integrity", "functional", "leakage", "performance")
UNREACHABLE = {"performance": {"rule": {"minimum": {"roc_auc": 0.999}}}, **NO_LATENCY}


@dataclass
class Stack:
    """Where everything is, and the names of the two models: `tiny` passes its gates, `strict` never does."""

    variables: dict[str, str]
    tiny: str
    strict: str
    trained: Ended
    database: Path
    """The gatekeeper's."""


@pytest.fixture(scope="module")
def stack(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("verdicts")
    prefix = f"{folder.name}."
    trainers = Trainers(
        kafka.bootstrap_servers, prefix, f"sqlite:///{folder / 'trainer.db'}", mlflow_server.uri, folder
    )
    tiny = trainers.model("tiny", recipe="recipe", gates=NO_LATENCY)
    strict = trainers.model("strict", recipe="recipe", gates=UNREACHABLE)
    replica = Replica(kafka.bootstrap_servers, prefix, mlflow_server.uri, folder / "serving")
    port = free_port()
    shared = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "TOPIC_PREFIX": prefix,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
    }
    own = {"POLICIES_DIR": str(trainers.policies), "DATA_DIR": str(folder), "GATEKEEPER_PORT": str(port)}
    gatekeeper = running([sys.executable, "-m", "gatekeeper"], {**shared, **own}, folder / "gatekeeper.log")
    try:
        with gatekeeper as process, pytest.MonkeyPatch.context() as patch:
            trainers.start()
            replica.start()
            eventually(trainers.ready, timeout=90)
            eventually(lambda: _ready(port, process, folder / "gatekeeper.log"), timeout=90)
            variables = {
                **shared,
                "GATEKEEPER_URL": f"http://127.0.0.1:{port}",
                "TRAINER_URL": f"http://127.0.0.1:{trainers.ports[0]}",
                "SERVING_URL": f"http://127.0.0.1:{replica.port}",
            }
            for name, value in variables.items():
                patch.setenv(name, value)
            trained = gauntlet("train", tiny, "--window", "w1..w2", "--reason", "the first", "--wait")
            yield Stack(variables, tiny, strict, trained, folder / "databases" / "gatekeeper.db")
    finally:
        trainers.stop()
        replica.stop()


def _ready(port: int, process: Any, log: Path) -> bool:
    if process.poll() is not None:
        raise RuntimeError(log.read_text()[-3000:])
    try:
        with urlopen(f"http://127.0.0.1:{port}/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture(autouse=True)
def here(stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in stack.variables.items():
        monkeypatch.setenv(name, value)


def test_train_and_wait_tells_the_verdict_gate_by_gate(stack: Stack) -> None:
    assert stack.trained.code == 0, stack.trained
    lines = stack.trained.lines
    assert lines[0].startswith(f"requested {stack.tiny} (event ")
    assert lines[1].startswith(f"trained {stack.tiny} v1: ")
    assert lines[2].startswith(f"Passed {stack.tiny} v1")
    *verdicts, served = lines[3:]
    assert [line.split()[:2] for line in verdicts] == [["Passed", gate] for gate in GATES]
    assert served.startswith("in service: ")
    assert "roc_auc 0." in lines[3 + GATES.index("performance")]


def test_models_shows_who_answers_and_which_replica_has_it(stack: Stack) -> None:
    def loaded() -> bool:
        model = _model(stack.tiny)
        return any(replica["model_version"] == 1 and not replica["lagging"] for replica in model["replicas"])

    eventually(loaded)
    line = next(line for line in ok("models").lines if line.startswith(stack.tiny))
    assert "v1 (epoch 1)" in line
    assert "1 passed" in line
    assert "replica-" in line
    assert "lags" not in line


def test_candidates_and_show_tell_the_same_verdict(stack: Stack) -> None:
    (candidate,) = ok("candidates", stack.tiny, "--json").json
    assert (candidate["model_version"], candidate["state"], candidate["epochs"]) == (1, "passed", [1])
    assert stack.tiny in ok("candidates").out
    shown = ok("show", stack.tiny, "1", "--json").json
    assert tuple(verdict["gate"] for verdict in shown["verdicts"]) == GATES
    assert set(shown["verdicts"][3]) >= {"outcome", "observed", "bound", "margin", "n", "reason"}
    out = ok("show", stack.tiny, "1").out
    performance = next(line for line in out.splitlines() if line.startswith("performance"))
    assert "Passed" in performance
    assert "roc_auc" in performance
    assert shown["artifact_digest"] in out
    assert "request: the first" in out
    (refused,) = shown["evidence"]["measured"]["serving_form"]["refused"]
    assert "a column 'label'" in refused["reason"] and refused["reason"] in out
    assert "native: the model itself" in out


def test_a_version_that_was_judged_before_is_not_judged_again_unless_it_is_asked_for(stack: Stack) -> None:
    stands = gauntlet("register", stack.tiny, "1", "--wait")
    assert stands.code == 1 and "v1 was judged Passed" in stands.err and "--again" in stands.err


def test_people_decide_and_every_decision_is_in_the_audit_trail(stack: Stack) -> None:
    name = stack.strict
    refused = gauntlet("train", name, "--window", "w1..w2", "--wait")
    assert refused.code == 1
    assert f"Failed {name} v1" in refused.out
    assert "0.999" in refused.out
    run = ok("show", name, "1", "--json").json["run_id"]
    assert gauntlet("train", name, "--from-run", run, "--wait").code == 1

    promoted = ok("promote", name, "1", "--reason", "we need one", "--actor", "ann").out
    assert promoted.strip() == f"{name} v1 is champion: epoch 1, override by ann"
    ok("promote", name, "2", "--reason", "newer", "--actor", "ann")
    back = ok("rollback", name, "--reason", "slow", "--actor", "bob").out
    assert back.strip() == f"{name} v1 is champion: epoch 3, rollback by bob, before it v2"

    ok("freeze", name, "--reason", "the fair is on", "--actor", "bob")
    assert f"{name}: frozen by bob: the fair is on" in ok("models").out
    held = gauntlet("promote", name, "2", "--reason", "now")
    assert held.code == 1
    assert "frozen" in held.err
    ok("rollback", name, "--to", "2", "--reason", "even so", "--actor", "bob")
    ok("unfreeze", name, "--reason", "over", "--actor", "bob")
    assert _model(name)["frozen"] is False

    trail = ok("audit", name, "--json").json
    assert [(row["actor"], row["reason"]) for row in trail[:2]] == [("bob", "over"), ("bob", "even so")]
    listed = ok("audit", name, "--limit", "1").lines
    assert len(listed) == 2, "a heading and one row"
    assert "unfrozen" in listed[1]


def test_the_audit_trail_is_verified_and_a_row_that_was_changed_is_named(stack: Stack) -> None:
    def head() -> str:
        rows, noted = ok("audit", "verify").lines
        assert rows.endswith("rows are as they were written")
        return noted.removeprefix("head ")

    noted = head()
    ok("freeze", stack.tiny, "--reason", "a row more", "--actor", "ann")
    ok("unfreeze", stack.tiny, "--reason", "and another", "--actor", "ann")
    assert head() != noted
    assert "the head that was noted is row" in ok("audit", "verify", "--head", noted).out
    another = gauntlet("audit", "verify", "--head", "sha256:" + "0" * 63 + "1")
    assert another.code == 1 and "is not in the audit trail" in " ".join(another.err.split())

    database = sqlite3.connect(stack.database)
    with closing(database):
        (sequence, actor) = database.execute(
            "SELECT sequence, actor FROM audit WHERE reason = 'a row more' ORDER BY sequence DESC"
        ).fetchone()
        try:
            with database:
                database.execute("UPDATE audit SET actor = 'eve' WHERE sequence = ?", (sequence,))
            broken = gauntlet("audit", "verify", "--json")
            assert broken.code == 1
            assert f"broken at row {sequence} (changed)" in " ".join(broken.err.split())
            assert broken.json["broken"]["sequence"] == sequence
        finally:
            with database:
                database.execute("UPDATE audit SET actor = ? WHERE sequence = ?", (actor, sequence))
    assert "rows are as they were written" in ok("audit", "verify").out


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ("show {tiny} 99", "v99"),
        ("show nosuchmodel 1", "'nosuchmodel'"),
        ("show {tiny} one", "'one'"),
        ("candidates nosuchmodel", "'nosuchmodel'"),
        ("candidates no/model", "'no/model'"),
        ("candidates --limit 0", "'0'"),
        ("candidates --limit 100000", "100000"),
        ("audit nosuchmodel", "'nosuchmodel'"),
        ("promote {tiny} 1 --reason again", "v1 is the champion already"),
        ("promote {tiny} 99 --reason r", "99"),
        ("promote {tiny} 1", "--reason"),
        ("promote {tiny} 1 --reason=", "reason is empty"),
        ("promote nosuchmodel 1 --reason r", "'nosuchmodel'"),
        ("rollback {tiny} --reason r", "v1 is the first champion"),
        ("rollback {tiny} --to 99 --reason r", "v99 was never champion"),
        ("rollback {tiny} --to x --reason r", "'x'"),
        ("unfreeze {tiny} --reason r", "not frozen"),
        ("freeze {tiny}", "--reason"),
        ("freeze {tiny} --reason r --actor=", "actor is empty"),
        ("register {tiny} 99", "no version 99"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_value(stack: Stack, args: str, expected: str) -> None:
    ended = gauntlet(*args.format(tiny=stack.tiny).split())
    assert ended.code in (1, 2)
    assert expected in " ".join(ended.err.split())


def _model(name: str) -> dict[str, Any]:
    model: dict[str, Any] = next(model for model in ok("models", "--json").json if model["model_name"] == name)
    return model
