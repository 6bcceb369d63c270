"""`gauntlet rollouts`, `approve`, `refuse`, `abort` and `fleet`, against a real gatekeeper through real Kafka."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gauntlet.endpoints import service
from gauntlet.wait import Deadline, wait_for_verdict
from support.bus_client import BusClient
from support.candidates import Candidates
from support.cli import gauntlet, ok
from support.databases import on_sqlite
from support.gatekeepers import Gatekeepers
from support.rollouts import Rolling

SHADOW = {"shadow": {"rows": "100..5000", "on": ["metric", "errors"]}}
CANARY = {"canary": {"steps": ["10%"], "bake": "0s", "minimum": 100}}


@pytest.fixture
def rolling(
    gatekeepers: Gatekeepers,
    own_bus: BusClient,
    candidates: Candidates,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Rolling:
    monkeypatch.chdir(tmp_path)
    return Rolling(gatekeepers, own_bus, candidates)


def started(rolling: Rolling, monkeypatch: pytest.MonkeyPatch, **policy: object) -> str:
    rolling.start(**policy)
    monkeypatch.setenv("GATEKEEPER_URL", rolling.gatekeepers.url())
    return rolling.name


@on_sqlite
def test_people_follow_a_rollout_and_approve_it(
    rolling: Rolling, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = started(rolling, monkeypatch, strategy=[SHADOW, CANARY], approval={"people": 2, "expires": "1h"})
    assert ok("rollouts").out.strip() == "no rollout runs; --all lists those that ended"
    rolling.champion()
    rolling.register("good", trigger={"kind": "manual", "by": "bob"})
    capsys.readouterr()
    assert wait_for_verdict(service("gatekeeper", Path(), None), name, 2, Deadline(60)) is None
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{name} v2 in shadow beside v1, step 1 of 3; gauntlet rollouts {name} --follow")
    shadow = rolling.at("shadow")
    assert "nothing was measured yet" in ok("rollouts", name).out
    command = [sys.executable, "-m", "gauntlet", "rollouts", name, "--follow"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
        try:
            rolling.measured(shadow, n=50, wins=10)
            rolling.at("shadow", waits_for="50 of at least 100 labelled units")
            rolling.measured(shadow, n=1000, wins=200, losses=50)
            canary = rolling.at("canary")
            line = next(line for line in ok("models").lines if line.startswith(name))
            assert "v2 in canary of 10%" in line
            rolling.loaded(1, epoch=1)
            rolling.loaded(2, rollout_id=canary["rollout_id"])
            rolling.measured(canary, n=200, share=0.1)
            waits = rolling.at("approval")
            shown = ok("rollouts", name)
            assert f"{name} v2 waits for approval, step 3 of 3" in shown.lines[0]
            assert "mean loss lower by 0.15 on 1,000 labelled units" in shown.out
            assert waits["verdict_digest"] in shown.out
            assert "2 people, until" in shown.out
            _people_decide(name, waits["verdict_digest"])
            out, err = follower.communicate(timeout=60)
        finally:
            follower.kill()
    assert follower.returncode == 0, err
    said = out.splitlines()
    assert [line for line in said if "began" in line] == [
        f"{name} v2 shadow (step 1 of 3) began",
        f"{name} v2 canary of 10% (step 2 of 3) began",
        f"{name} v2 approval (step 3 of 3) began",
    ]
    assert said[-1].startswith(f"Promoted {name} v2")
    (listed,) = [each for each in ok("rollouts", name, "--all", "--json").json if each["challenger_version"] == 2]
    approvals = [(each["actor"], each["counts"]) for each in listed["approvals"]]
    assert (listed["result"], approvals) == ("promoted", [("ann", True), ("cleo", True)])
    again = ok("replay", name, "2")
    assert again.lines[-1].endswith("2 steps decided again, to the last digit of every figure; 1 step not by figures")
    about = ok("show", name, "2").out
    assert "promoted: " in about and "ann, cleo" in about


def _people_decide(name: str, digest: str) -> None:
    other = gauntlet("approve", name, "--digest", "sha256:00000000", "--actor", "ann")
    assert other.code == 1 and digest in other.err and "look again" in other.err
    own = gauntlet("approve", name, "--actor", "bob")
    assert own.code == 1 and "bob cannot approve" in own.err
    first = ok("approve", name, "--digest", digest[:20], "--actor", "ann", "--reason", "better in shadow")
    assert "mean loss lower by 0.15 on 1,000" in first.out, "what is approved is shown"
    assert first.lines[-1].startswith("approved by ann: 1 person more must approve until ")
    again = gauntlet("approve", name, "--actor", "ann")
    assert again.code == 1 and "already" in again.err
    last = ok("approve", name, "--actor", "cleo")
    assert last.lines[-1] == f"approved by cleo: {name} v2 is champion"
    late = gauntlet("approve", name, "--actor", "dora")
    assert late.code == 1 and "promoted" in late.err


@on_sqlite
def test_people_abort_and_refuse(rolling: Rolling, monkeypatch: pytest.MonkeyPatch) -> None:
    name = started(rolling, monkeypatch, strategy=[CANARY], approval={"people": 1, "expires": "1h"})
    rolling.champion()
    rolling.register("good")
    canary = rolling.at("canary")
    early = gauntlet("approve", name)
    assert early.code == 1 and "at stage canary" in early.err
    rolling.loaded(1, epoch=1)
    rolling.load_failed(2, rollout_id=canary["rollout_id"], permanent=False)
    fleet = ok("fleet", name)
    assert fleet.lines[0].startswith(f"{name}: champion v1 (epoch 1); v2 in canary of 10%;")
    (replica,) = ok("fleet", name, "--json").json["replicas"]
    assert replica["loaded_version"] == 1 and not replica["lagging"]
    aborted = ok("abort", name, "--reason", "the wrong week")
    assert aborted.lines == [f"{name} v2 aborted: v1 stays champion"]
    assert ok("rollouts", name).lines[0] == f"Aborted {name} v2: the wrong week"
    assert "only by a person" in ok("show", name, "2").out
    nothing = gauntlet("abort", name, "--reason", "again")
    assert nothing.code == 1 and "no rollout that is running" in nothing.err
    rolling.register("good", weather="other")
    rolling.measured(rolling.at("canary"), n=200, share=0.1)
    rolling.at("approval")
    refused = ok("refuse", name, "--reason", "not in December")
    assert refused.lines == [f"{name} v3 refused: v1 stays champion"]
    followed = gauntlet("rollouts", name, "--follow")
    assert followed.code == 1 and followed.lines[-1] == f"Refused {name} v3: not in December"
