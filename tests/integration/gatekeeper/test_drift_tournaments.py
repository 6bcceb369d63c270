"""A drift has earlier versions compared on golden rows that are new, before anything is trained."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pandas as pd
import pytest

from contracts import DriftDetected, DriftKind, DriftWindow, Promoted
from support.bus_client import BusClient
from support.candidates import Candidates, rows
from support.cli import gauntlet, ok
from support.gatekeepers import Gatekeepers
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "somebody was sure"}
POLICY: dict[str, Any] = {
    "golden": {"dataset": "latest"},
    "candidates": "retained",
    "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.6}}},
}

seen = partial(eventually, interval=0.2)


def drift(name: str, version: int) -> DriftDetected:
    now = datetime.now(UTC)
    window = DriftWindow(id=uuid4().hex, rows=2000, start=now, end=now)
    return DriftDetected(model_name=name, model_version=version, kind=DriftKind.DATA, window=window, reason="it drifts")


def month(number: int, days: int = 0) -> pd.DataFrame:
    """Of subscribers that nobody was trained on."""
    frame = rows(seed=number)
    frame["who"] = frame["who"].radd(f"{number} ")
    return frame.assign(at=frame["at"] + pd.Timedelta(days=days))


def golden(gatekeepers: Gatekeepers, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    url = f"{gatekeepers.url()}/models/{name}/golden?actor=ada&note=new+rows"
    response = httpx.post(url, content=buffer.getvalue(), timeout=30)
    assert response.status_code == 201, response.text
    return dict(response.json())


def a_worse_one_is_champion(gatekeepers: Gatekeepers, bus: BusClient, candidates: Candidates, name: str) -> None:
    for version, kind in ((1, "good"), (2, "worse")):
        bus.publish(candidates.version(name, kind))
        assert gatekeepers.judged(name, version)["state"] == ("passed" if version == 1 else "failed")
    assert gatekeepers.post(f"/models/{name}/promote", {**WHO, "model_version": 2}).is_success


def said_why(gatekeepers: Gatekeepers, words: str) -> None:
    log = gatekeepers.folder / "gatekeeper.log"
    seen(lambda: any("no tournament" in line and words in line for line in log.read_text().splitlines()))


def test_a_drift_brings_an_earlier_version_back_once_and_only_on_newer_rows(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates
) -> None:
    name = f"drifting-{uuid4().hex[:8]}"
    gatekeepers.policy(name, **POLICY)
    gatekeepers.start_ready()
    golden(gatekeepers, name, month(3))
    a_worse_one_is_champion(gatekeepers, own_bus, candidates, name)
    own_bus.publish(drift(name, 2))
    said_why(gatekeepers, "is what champion v2 was judged on")

    newer = golden(gatekeepers, name, month(4))
    told = own_bus.publish(drift(name, 2), times=3)
    own_bus.publish(drift(name, 2))
    promoted = seen(lambda: [e.data for e in own_bus.events(Promoted.topic) if e.data.epoch == 3])[0]
    assert (promoted.model_version, promoted.previous_version, promoted.cause) == (1, 2, "tournament")
    assert promoted.evidence_id == f"{name}-golden-2" and promoted.baseline["roc_auc"] > 0.8
    trail = gatekeepers.get(f"/audit?model={name}")
    assert [row["action"] for row in trail[:2]] == ["promoted", "tournament played"]
    about = trail[1]["evidence"]
    assert (about["entrants"], about["k"], about["drift_event_id"]) == (1, 1, told.id)
    assert {row["correlation_id"] for row in trail[:2]} == {told.correlation_id}
    assert gatekeepers.get(f"/models/{name}/golden")[0]["challengers"] == 1, "α is spent"

    shown = gatekeepers.get(f"/models/{name}/golden/2/tournament")
    assert (shown["winner"], shown["champion_version"], shown["drift_event_id"]) == (1, 2, told.id)
    path = f"/models/{name}/golden/2/tournament/replay"
    again = gatekeepers.post(path, {}).json()
    assert (again["agrees"], again["then"], again["now"], again["differences"]) == (True, 1, 1, [])
    stricter = gatekeepers.post(path, {"policy": {"model": name, "candidates": "newest"}}).json()
    assert (stricter["then"], stricter["now"]) == (1, None)
    assert gatekeepers.post(path.replace("/2/", "/1/"), {}).status_code == 404

    at = ("--gatekeeper", gatekeepers.url())
    told_by = ok("golden", "show", name, "2", *at).out
    assert "Tournament against champion v2" in told_by and "tournament: v1 won" in told_by
    assert "v1 wins, as then, to the last digit" in ok("golden", "replay", name, "2", *at).out
    assert "no drift gave rise to a tournament" in gauntlet("golden", "replay", name, "1", *at).err

    own_bus.publish(drift(name, 2))
    said_why(gatekeepers, "it is v2 that drifted, and v1 answers by now")
    own_bus.publish(drift(name, 1))
    said_why(gatekeepers, "a tournament was played already")
    golden(gatekeepers, name, month(5, days=-365))
    own_bus.publish(drift(name, 1))
    said_why(gatekeepers, "are older than those of the champion")
    assert [row["epoch"] for row in gatekeepers.get(f"/models/{name}/promotions")] == [3, 2, 1]
    assert gatekeepers.get(f"/models/{name}/golden")[1]["digest"] == newer["digest"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the same either way, and it takes its time
def test_a_frozen_model_holds_and_a_candidates_tournament_is_replayed_too(
    gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = f"frozen-{uuid4().hex[:8]}"
    gatekeepers.policy(name, **POLICY)
    gatekeepers.start_ready()
    golden(gatekeepers, name, month(3))
    a_worse_one_is_champion(gatekeepers, own_bus, candidates, name)
    assert gatekeepers.post(f"/models/{name}/freeze", WHO).is_success
    golden(gatekeepers, name, month(4))
    own_bus.publish(drift(name, 2))
    held = seen(lambda: [row for row in gatekeepers.get(f"/audit?model={name}") if row["action"] == "held"])[0]
    assert held["model_version"] == 1 and "won a tournament, but the model is frozen" in held["reason"]
    assert gatekeepers.champion(name) == 2

    golden(gatekeepers, name, month(5))
    own_bus.publish(candidates.version(name, "backwards"))
    judged = gatekeepers.judged(name, 3)
    assert judged["evidence"]["tournament"]["winner"] == 1
    replayed = gatekeepers.post(f"/models/{name}/candidates/3/replay").json()
    assert replayed["agrees"], replayed["tournament"] or replayed["differences"]
    assert (replayed["tournament"]["then"], replayed["tournament"]["now"]) == (1, 1)
    newest = {"policy": {"model": name, "candidates": "newest"}}
    (mine,) = [each for each in gatekeepers.post("/what-if", newest).json() if each["model_version"] == 3]
    assert (mine["tournament"]["then"], mine["tournament"]["now"], mine["tournament"]["unknown"]) == (1, None, None)
    at = ("--gatekeeper", gatekeepers.url())
    assert "tournament: v1 wins, as then, to the last digit" in ok("replay", name, "3", *at).out
    other = tmp_path / "newest.yaml"
    other.write_text(f"model: {name}\ncandidates: newest\n")
    told = ok("what-if", "--policy", str(other), *at).out
    assert "nobody would win, it was v1: this policy compares no retained versions" in " ".join(told.split())
    assert "1 of 2 tournaments would end otherwise" in told  # in the other, v2 had nobody beside it
    assert "tournament: v1 won" in ok("show", name, "3", *at).out
    page = httpx.get(f"{gatekeepers.url()}/models/{name}/candidates/3/report", timeout=30).text
    assert "Earlier versions against champion v2" in page
