"""Gatekeepers that are killed, doubled and cut off from MLflow: one verdict and one promotion all the same."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from contracts import Promoted
from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import POLICY, Gatekeepers
from support.mlflow_server import MlflowServer
from support.processes import kill
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "because"}

seen = partial(eventually, timeout=60)


class Slow:
    """A candidate that does not answer before it is allowed to."""

    def __init__(self, candidates: Candidates, folder: Path) -> None:
        self._candidates, self._gate = candidates, folder / "gate"
        wait = f"while not os.path.exists({str(self._gate)!r}): time.sleep(0.02)"
        self._code = f"{wait}\nreturn 1 / (1 + np.exp(-(1.5 * frame['a'] + frame['b'])))"
        self._kind = f"slow-{uuid4().hex[:8]}"

    def version(self, model_name: str):
        return self._candidates.version(model_name, self._kind, code=self._code)

    def let_go(self) -> None:
        self._gate.touch()


@pytest.fixture
def slow(candidates: Candidates, tmp_path: Path) -> Slow:
    return Slow(candidates, tmp_path)


@pytest.fixture
def model_name(gatekeepers: Gatekeepers) -> str:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.policy(name)
    return name


def counted(bus: BusClient, model_name: str) -> list[tuple[str, int]]:
    """What was said of the model, in the order of each topic."""
    found = [*bus.events("gate-passed"), *bus.events("gate-failed"), *bus.events("promoted")]
    return [(type(item.data).__name__, item.data.model_version) for item in found if item.model_name == model_name]


@on_postgres
def test_killed_in_the_middle_of_a_candidate_the_other_takes_over(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, slow: Slow
) -> None:
    first = gatekeepers.start_ready(dying_at="from_outside")
    own_bus.publish(slow.version(model_name), times=2)
    eventually(lambda: gatekeepers.candidate(model_name, 1)["state"] == "gating")
    gatekeepers.start_ready()
    kill(first)
    slow.let_go()
    assert gatekeepers.judged(model_name, 1)["state"] == "passed"
    gatekeepers.start_ready()
    seen(lambda: counted(own_bus, model_name) == [("GatePassed", 1), ("Promoted", 1)])
    trail = gatekeepers.get(f"/audit?model={model_name}")
    assert [row["action"] for row in trail] == ["promoted", "judged", "registered"]


@on_sqlite
def test_killed_between_the_gates_and_the_verdict_there_is_one_verdict(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates
) -> None:
    own_bus.publish(candidates.version(model_name, "good"))
    dying = gatekeepers.start(dying_at="before_result")
    assert dying.wait(90) == -9
    gatekeepers.start_ready()
    assert gatekeepers.judged(model_name, 1)["state"] == "passed"
    seen(lambda: counted(own_bus, model_name) == [("GatePassed", 1), ("Promoted", 1)])


def test_two_gatekeepers_do_everything_once(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    names = [f"m-{uuid4().hex[:8]}" for _ in range(3)]
    for name in names:
        gatekeepers.policy(name)
    gatekeepers.start()
    gatekeepers.start_ready()
    for kind in ("fair", "good"):
        for name in names:
            told = own_bus.publish(candidates.version(name, kind), times=2)
            own_bus.publish(told.data)
    for name in names:
        for version in (1, 2):
            judged = gatekeepers.judged(name, version)
            assert judged["state"] == "passed", judged
    wanted = [("GatePassed", 1), ("GatePassed", 2), ("Promoted", 1), ("Promoted", 2)]
    for name in names:
        seen(lambda name=name: counted(own_bus, name) == wanted)


@on_sqlite
def test_when_the_champion_changes_meanwhile_the_candidate_is_gated_against_the_new_one(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates, slow: Slow
) -> None:
    gatekeepers.start_ready()
    for number, kind in enumerate(("fair", "good"), start=1):
        own_bus.publish(candidates.version(model_name, kind))
        gatekeepers.judged(model_name, number)
    own_bus.publish(slow.version(model_name))
    eventually(lambda: gatekeepers.candidate(model_name, 3)["state"] == "gating")
    assert gatekeepers.post(f"/models/{model_name}/rollback", WHO).json()["epoch"] == 3
    slow.let_go()
    candidate = gatekeepers.judged(model_name, 3)
    assert candidate["champion_version"] == 1
    seen(lambda: counted(own_bus, model_name)[-1] == ("Promoted", 3))
    last = [item.data for item in own_bus.events("promoted")][-1]
    assert isinstance(last, Promoted)
    assert (last.epoch, last.previous_version) == (4, 1)


@pytest.fixture
def own_mlflow(tmp_path: Path) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path / "mlflow")
    server.start()
    yield server
    server.stop()


@on_postgres
def test_while_mlflow_is_down_everything_waits_and_rollback_works(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, own_mlflow: MlflowServer, tmp_path: Path
) -> None:
    gatekeepers.tracking_uri = own_mlflow.uri
    candidates = Candidates(own_mlflow.uri, tmp_path / "candidates")
    versions = [candidates.version(model_name, kind) for kind in ("fair", "good", "worse")]
    gatekeepers.start_ready()
    for version in versions[:2]:
        own_bus.publish(version)
        eventually(lambda version=version: gatekeepers.judged(model_name, version.model_version))
    eventually(lambda: candidates.aliases(model_name) == {"champion": 2})
    own_mlflow.stop()
    own_bus.publish(versions[2])
    eventually(lambda: gatekeepers.candidate(model_name, 3)["state"] == "gating")
    assert gatekeepers.post(f"/models/{model_name}/rollback", WHO).json()["model_version"] == 1
    refused = gatekeepers.post(f"/models/{model_name}/promote", {**WHO, "model_version": 2})
    assert refused.status_code == 503 and own_mlflow.uri in refused.json()["detail"]
    assert gatekeepers.candidate(model_name, 3)["judged_at"] is None
    own_mlflow.start()
    candidate = gatekeepers.judged(model_name, 3)
    assert (candidate["state"], candidate["champion_version"]) == ("failed", 1)
    eventually(lambda: candidates.aliases(model_name) == {"champion": 1})
    eventually(lambda: candidates.tags(model_name, 3).get("gauntlet.verdict") == "failed")
    manifest = eventually(lambda: candidates.tags(model_name, 1).get("gauntlet.manifest"))
    assert manifest.endswith(f"/gauntlet/manifests/{model_name}-v1-epoch3/manifest.json"), "of the rollback"
    assert gatekeepers.get("/health")["status"] == "alive"


@on_sqlite
def test_a_policy_that_changes_is_of_the_next_candidate_and_not_of_the_one_in_hand(
    gatekeepers: Gatekeepers, own_bus: BusClient, slow: Slow, candidates: Candidates
) -> None:
    """The model's policy is added while the gatekeeper runs, changed while a candidate is measured, and removed."""
    gatekeepers.start_ready()
    model_name = f"m-{uuid4().hex[:8]}"
    folder = gatekeepers.folder / "policies"

    def digest() -> str | None:
        """Of the policy in force."""
        shown = gatekeepers.get("/ready")["policies"]["in_force"].get(model_name)
        return shown and shown["digest"]

    gatekeepers.policy(model_name)
    first = seen(digest)
    own_bus.publish(slow.version(model_name))
    seen(lambda: gatekeepers.candidate(model_name, 1)["state"] == "gating")
    gatekeepers.policy(model_name, gates={**POLICY["gates"], "performance": {"floor": {"roc_auc": 0.999}}})
    second = seen(lambda: digest() != first and digest())
    (folder / f"{model_name}.yaml").write_text("model: [")
    seen(lambda: gatekeepers.get("/ready")["policies"]["problems"])
    slow.let_go()
    assert gatekeepers.judged(model_name, 1)["state"] == "passed"
    own_bus.publish(candidates.version(model_name, "good"))
    assert gatekeepers.judged(model_name, 2)["state"] in ("failed", "passed")
    (folder / f"{model_name}.yaml").unlink()
    seen(lambda: digest() is None)
    own_bus.publish(candidates.version(model_name, "good"))
    seen(lambda: gatekeepers.candidate(model_name, 3)["state"] == "waiting")
    assert f"has no policy in {folder}/; add" in gatekeepers.candidate(model_name, 3)["reason"]
    gatekeepers.policy(model_name)
    assert gatekeepers.judged(model_name, 3)["state"] in ("failed", "passed")
    results = {
        item.data.model_version: item.data.policy_digest
        for topic in ("gate-passed", "gate-failed")
        for item in own_bus.events(topic)
        if item.model_name == model_name
    }
    assert results == {1: first, 2: second, 3: first}
