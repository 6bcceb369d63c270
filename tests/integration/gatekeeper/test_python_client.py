"""The Python client and `gauntlet wait` against a real gatekeeper, MLflow and Kafka."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from gauntlet_client import AsyncGauntlet, ClientError, Conflict, Gauntlet, NotFound, Unreachable, WaitTimeout
from support.candidates import Candidates, rows
from support.cli import gauntlet as command
from support.gatekeepers import Gatekeepers
from support.processes import free_port
from support.registering import create_golden
from support.waiting import eventually

POLICY = {
    "golden": {"dataset": "latest"},
    "gates": {"latency": False, "leakage": {"unknown": "pass"}, "performance": {"floor": {"roc_auc": 0.6}}},
}


@pytest.fixture
def here(gatekeeper: Gatekeepers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that a program has."""
    monkeypatch.setenv("GATEKEEPER_URL", gatekeeper.url())
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", gatekeeper.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", gatekeeper.prefix)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", gatekeeper.tracking_uri)
    monkeypatch.setenv("GAUNTLET_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GAUNTLET_ACTOR", "ann")


@pytest.fixture
def name(gatekeeper: Gatekeepers) -> str:
    """A model whose versions need not say what they were trained on."""
    name = f"client-{uuid4().hex[:8]}"
    gatekeeper.policy(name, **POLICY)
    eventually(lambda: name in {each["model_name"] for each in gatekeeper.get("/models")}, timeout=30)
    create_golden(gatekeeper, name, rows(seed=2))
    return name


def logged(candidates: Candidates, name: str, kind: str) -> int:
    """A new version in MLflow, which nobody has registered yet."""
    return candidates.version(name, kind).model_version


@pytest.fixture
def client(here: None) -> Iterator[Gauntlet]:
    with Gauntlet() as found:
        yield found


def test_from_registered_to_rolled_back(client: Gauntlet, candidates: Candidates, name: str) -> None:
    first = logged(candidates, name, "good")
    said: list[str] = []
    registered = client.register(name, first, reason="from a program")
    waited = client.wait(name, first, "promotion", event_id=registered.id, progress=said.append, timeout=120)
    assert (waited.ok, waited.outcome, waited.verdict.state) == (True, "promoted", "passed")
    assert waited.verdict.model_extra is not None
    assert waited.verdict.model_extra["trigger"] == {
        "kind": "manual",
        "reason": "from a program",
        "by": "ann",
        "event_id": None,
    }
    assert said
    assert said[0].startswith(("the gatekeeper does not know", "the gatekeeper has not taken up", name))
    assert {each.gate for each in waited.verdict.verdicts} >= {"lineage", "performance"}

    kept = client.register(name, first)
    stands = client.wait(name, first, event_id=kept.id, timeout=60)
    assert stands.kept is not None
    assert stands.outcome == "passed"

    second = logged(candidates, name, "worse")
    client.register(name, second)
    failed = client.wait(name, second, "promotion", timeout=120)
    assert (failed.ok, failed.outcome) == (False, "failed")

    assert client.freeze(name, reason="fair").frozen
    assert client.model(name).frozen_by == "ann"
    assert not client.unfreeze(name, reason="over", actor="bob").frozen
    assert client.promote(name, second, reason="on purpose").cause == "override"
    assert client.rollback(name, reason="it was wrong").model_version == first
    assert [each.epoch for each in client.promotions(name)] == [3, 2, 1]
    assert [each.model_version for each in client.candidates(name)] == [second, first]
    assert name in {each.model_name for each in client.models()}
    assert client.fleet(name).champion_version == first
    assert client.rollouts(name) == []
    with pytest.raises(ClientError, match=f"no rollout of {name} runs"):
        client.approve(name, reason="fine")


def test_refusals_say_what_happened_and_what_to_do(client: Gauntlet, name: str, candidates: Candidates) -> None:
    with pytest.raises(NotFound, match="no such candidate") as missing:
        client.verdict(name, 999)
    assert missing.value.status == 404
    assert name in missing.value.detail
    with pytest.raises(Conflict) as conflict:
        client.rollback(name, reason="back")
    assert conflict.value.title == "not rolled back"
    with pytest.raises(NotFound, match="MLFLOW_TRACKING_URI"):
        client.register(name, 999)
    with pytest.raises(ClientError, match="cannot be a model's name"):
        client.model("no/such")
    with pytest.raises(WaitTimeout, match=f"does not know {name} v7 yet"):
        client.wait(name, 7, timeout=0.5)
    with Gauntlet(f"http://127.0.0.1:{free_port()}") as nowhere, pytest.raises(Unreachable, match="gatekeeper at"):
        nowhere.models()


def test_the_same_with_asyncio(here: None, candidates: Candidates, name: str) -> None:
    version = logged(candidates, name, "good")

    async def story() -> None:
        async with AsyncGauntlet() as client:
            registered = await client.register(name, version)
            waited, models = await asyncio.gather(
                client.wait(name, version, "promotion", event_id=registered.id, timeout=120), client.models()
            )
            assert waited.outcome == "promoted"
            assert name in {each.model_name for each in models}
            with pytest.raises(Conflict):
                await client.rollback(name, reason="there is none")

    asyncio.run(story())


def test_an_approval_is_waited_for_and_given_and_another_one_is_refused(
    client: Gauntlet, candidates: Candidates, gatekeeper: Gatekeepers, name: str
) -> None:
    gatekeeper.policy(name, **POLICY, approval={"people": 1})
    eventually(lambda: "approval" in gatekeeper.get(f"/models/{name}/policy")["policy"], timeout=30)
    first = logged(candidates, name, "good")
    client.register(name, first)
    said: list[str] = []

    def asked(text: str) -> None:
        said.append(text)
        if "waits for the approval of 1 person" in text:
            with Gauntlet() as another:
                another.approve(name, reason="looks fine", actor="bob")

    assert client.wait(name, first, "promotion", timeout=120, progress=asked).outcome == "promoted"
    assert f"gauntlet approve {name}" in said[-1]

    second = logged(candidates, name, "good")
    client.register(name, second)
    assert client.wait(name, second, "verdict", timeout=120).outcome == "passed"
    (running,) = eventually(lambda: client.rollouts(name, active=True), timeout=30)
    assert (running.challenger_version, running.people_needed) == (second, 1)
    with pytest.raises(Conflict):
        client.approve(name, reason="mine", digest="sha256:" + "0" * 64, actor="bob")
    assert client.refuse(name, reason="not before the fair", actor="bob").result == "refused"
    refused = command("wait", name, str(second), "--for", "promotion", "--timeout", "60")
    assert refused.code == 5, refused.err
    assert f"{name} v{second} refused" in refused.out


def registered_by_another(name: str, version: int) -> None:
    with Gauntlet() as another:
        another.register(name, version)


def test_gauntlet_wait_exits_by_what_came_of_it(client: Gauntlet, candidates: Candidates, name: str) -> None:
    wait = ("wait", name)
    timeout = command(*wait, "1", "--timeout", "0.5")
    assert timeout.code == 6, timeout.err
    assert f"the gatekeeper does not know {name} v1 yet" in timeout.err
    nowhere = command(*wait, "1", "--gatekeeper", f"http://127.0.0.1:{free_port()}", "--timeout", "1")
    assert nowhere.code == 7, nowhere.err
    good = logged(candidates, name, "good")
    later = threading.Thread(target=lambda: registered_by_another(name, good))
    later.start()
    passed = command(*wait, str(good), "--for", "promotion", "--timeout", "120", "--json")
    later.join()
    assert passed.code == 0, passed.err
    assert passed.json["outcome"] == "promoted"
    bad = logged(candidates, name, "worse")
    client.register(name, bad)
    for goal in ("verdict", "promotion"):
        failed = command(*wait, str(bad), "--for", goal, "--timeout", "120")
        assert failed.code == 3, failed.err
        assert "Failed" in failed.out
    assert command(*wait, str(good), "--for", "champion").code == 2


def test_gauntlet_wait_ends_with_ctrl_c_without_a_trace(here: None, name: str) -> None:
    arguments = [sys.executable, "-m", "gauntlet", "wait", name, "1"]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "does not know" in process.stderr.readline()
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in out + err
