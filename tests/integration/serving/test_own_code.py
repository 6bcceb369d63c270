"""Versions and models that bring modules by the same names, in one replica: each answers with its own code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from support.bus_client import BusClient
from support.own_code import WAYS, save_with_own_code
from support.replica import Replica
from support.versions import Uploads, Version
from support.waiting import eventually

StartReplica = Callable[..., Replica]
FLIGHTS, CHURN = "flights-own-code", "churn-own-code"
ROWS = [{"way": way} for way in WAYS]


def uploaded(uploads: Uploads, folder: Path, name: str, version: int, number: int) -> Version:
    digest = save_with_own_code(folder / f"{name}-{version}", number)
    return uploads.folder(name, version, folder / f"{name}-{version}", digest)


def answered(replica: Replica, name: str) -> set[float]:
    """What the model answers in both of the protocols that ask it differently."""
    ours = replica.predict(*ROWS, model=name)
    mlflows = replica.client.post(f"/models/{name}/invocations", json={"dataframe_records": ROWS})
    assert ours.status_code == mlflows.status_code == 200, (ours.text, mlflows.text)
    return {row["label"] for row in ours.json()["predictions"]} | set(mlflows.json()["predictions"])


def test_versions_and_models_with_modules_of_one_name_answer_each_with_its_own_code(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, tmp_path: Path
) -> None:
    flights = [uploaded(uploads, tmp_path, FLIGHTS, version, version) for version in (1, 2)]
    churn = uploaded(uploads, tmp_path, CHURN, 1, 7)
    replica = new_replica()
    replica.start_ready()
    own_bus.publish(flights[0].promoted(1))
    own_bus.publish(churn.promoted(1))
    eventually(lambda: replica.answers_with(FLIGHTS, 1, 1) and replica.answers_with(CHURN, 1, 1))
    assert (answered(replica, FLIGHTS), answered(replica, CHURN)) == ({1.0}, {7.0})

    own_bus.publish(flights[1].promoted(2))
    before = set()
    while not replica.answers_with(FLIGHTS, 2, 2):
        before |= answered(replica, FLIGHTS)
    assert before <= {1.0, 2.0}, "the former version answers until the next one does"
    assert (answered(replica, FLIGHTS), answered(replica, CHURN)) == ({2.0}, {7.0})
    own_bus.publish(flights[0].promoted(3))
    eventually(lambda: replica.answers_with(FLIGHTS, 1, 3))
    assert (answered(replica, FLIGHTS), answered(replica, CHURN)) == ({1.0}, {7.0})

    assert len(replica.hosts()) == 3, "the former version stays resident for a rollback"
    replica.stop()
    eventually(lambda: not replica.hosts())
    replica.start_ready()
    assert (answered(replica, FLIGHTS), answered(replica, CHURN)) == ({1.0}, {7.0})
    assert len(replica.hosts()) == 2
    replica.kill()
    eventually(lambda: not replica.hosts())


def test_a_model_that_ends_its_process_or_prints_harms_no_other_and_comes_back(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, tmp_path: Path
) -> None:
    replica = new_replica(env={"SERVING_REQUEST_SECONDS": "2"})
    replica.start_ready()
    own_bus.publish(uploaded(uploads, tmp_path, FLIGHTS, 1, 1).promoted(1))
    own_bus.publish(uploaded(uploads, tmp_path, CHURN, 1, 7).promoted(1))
    eventually(lambda: replica.answers_with(FLIGHTS, 1, 1) and replica.answers_with(CHURN, 1, 1))
    for way, words in (("is killed", "ended by signal 9"), ("hangs", "")):
        answer = replica.predict({"way": way}, model=FLIGHTS)
        assert answer.status_code == 503 and words in answer.json()["detail"], answer.text
        assert answered(replica, CHURN) == {7.0}
        eventually(lambda: replica.predict(*ROWS, model=FLIGHTS).status_code == 200)
        assert answered(replica, FLIGHTS) == {1.0}
    assert replica.process is not None and replica.process.poll() is None
