"""A drift has earlier versions compared on golden rows that are new, before anything is trained."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

from contracts import DriftDetected, DriftKind, DriftWindow, Envelope, Promoted
from support.bus_client import BusClient
from support.candidates import Candidates, rows
from support.cli import gauntlet, ok
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "somebody was sure"}


def drift(name: str, version: int) -> DriftDetected:
    now = datetime.now(UTC)
    window = DriftWindow(id=uuid4().hex, rows=2000, start=now, end=now)
    return DriftDetected(model_name=name, model_version=version, kind=DriftKind.DATA, window=window, reason="it drifts")


def month(number: int, days: int = 0) -> pd.DataFrame:
    """Of subscribers that nobody was trained on."""
    frame = rows(seed=number)
    frame["who"] = frame["who"].radd(f"{number} ")
    return frame.assign(at=frame["at"] + pd.Timedelta(days=days))


def golden(gatekeeper: Gatekeepers, name: str, frame: pd.DataFrame) -> dict[str, Any]:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    url = f"{gatekeeper.url()}/models/{name}/golden?actor=ada&note=new+rows"
    response = gatekeeper.client.post(url, content=buffer.getvalue(), timeout=30)
    assert response.status_code == 201, response.text
    return dict(response.json())


def a_worse_one_is_champion(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, name: str) -> None:
    for version, kind in ((1, "good"), (2, "worse")):
        bus.publish(candidates.version(name, kind))
        assert gatekeeper.judged(name, version)["state"] == ("passed" if version == 1 else "failed")
    assert gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": 2}).is_success


def promotions(bus: BusClient, name: str) -> list[Promoted]:
    return [event.data for event in bus.events(Promoted.topic) if event.model_name == name]


def said_why(gatekeeper: Gatekeepers, drifted: Envelope[DriftDetected], words: str) -> None:
    log = gatekeeper.folder / "gatekeeper.log"

    def said(line: str) -> bool:
        return "no tournament" in line and words in line and (drifted.id in line or drifted.model_name in line)

    eventually(lambda: any(said(line) for line in log.read_text().splitlines()))


def test_a_drift_brings_an_earlier_version_back_once_and_only_on_newer_rows(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("drifting")
    golden(gatekeeper, name, month(3))
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    said_why(gatekeeper, bus.publish(drift(name, 2)), "is what champion v2 was judged on")

    newer = golden(gatekeeper, name, month(4))
    told = bus.publish(drift(name, 2), times=3)
    bus.publish(drift(name, 2))
    promoted = eventually(lambda: promotions(bus, name)[2:])[0]
    assert (promoted.model_version, promoted.previous_version, promoted.cause) == (1, 2, "tournament")
    assert promoted.evidence_id == f"{name}-golden-2" and promoted.baseline["roc_auc"] > 0.8
    trail = gatekeeper.get(f"/audit?model={name}")
    assert [row["action"] for row in trail[:2]] == ["promoted", "tournament played"]
    about = trail[1]["evidence"]
    assert (about["entrants"], about["k"], about["drift_event_id"]) == (1, 1, told.id)
    assert {row["correlation_id"] for row in trail[:2]} == {told.correlation_id}
    assert gatekeeper.get(f"/models/{name}/golden")[0]["challengers"] == 1, "α is spent"

    shown = gatekeeper.get(f"/models/{name}/golden/2/tournament")
    assert (shown["winner"], shown["champion_version"], shown["drift_event_id"]) == (1, 2, told.id)
    path = f"/models/{name}/golden/2/tournament/replay"
    again = gatekeeper.post(path, {}).json()
    assert (again["agrees"], again["then"], again["now"], again["differences"]) == (True, 1, 1, [])
    stricter = gatekeeper.post(path, {"policy": {"model": name, "candidates": "newest"}}).json()
    assert (stricter["then"], stricter["now"]) == (1, None)
    assert gatekeeper.post(path.replace("/2/", "/1/"), {}).status_code == 404

    at = ("--gatekeeper", gatekeeper.url())
    told_by = ok("golden", "show", name, "2", *at).out
    assert "Tournament against champion v2" in told_by and "tournament: v1 won" in told_by
    assert "v1 wins, as then, to the last digit" in ok("golden", "replay", name, "2", *at).out
    assert "no drift gave rise to a tournament" in gauntlet("golden", "replay", name, "1", *at).err

    said_why(gatekeeper, bus.publish(drift(name, 2)), "it is v2 that drifted, and v1 answers by now")
    said_why(gatekeeper, bus.publish(drift(name, 1)), "a tournament was played already")
    golden(gatekeeper, name, month(5, days=-365))
    said_why(gatekeeper, bus.publish(drift(name, 1)), "are older than those of the champion")
    assert [row["epoch"] for row in gatekeeper.get(f"/models/{name}/promotions")] == [3, 2, 1]
    assert gatekeeper.get(f"/models/{name}/golden")[1]["digest"] == newer["digest"]


@pytest.mark.parametrize("gatekeeper", ["sqlite"], indirect=True)  # the same either way, and it takes its time
def test_a_frozen_model_holds_and_a_candidates_tournament_is_replayed_too(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = name_of("drifting")
    golden(gatekeeper, name, month(3))
    a_worse_one_is_champion(gatekeeper, bus, candidates, name)
    assert gatekeeper.post(f"/models/{name}/freeze", WHO).is_success
    golden(gatekeeper, name, month(4))
    bus.publish(drift(name, 2))
    held = eventually(lambda: [row for row in gatekeeper.get(f"/audit?model={name}") if row["action"] == "held"])[0]
    assert held["model_version"] == 1 and "won a tournament, but the model is frozen" in held["reason"]
    assert gatekeeper.champion(name) == 2

    golden(gatekeeper, name, month(5))
    bus.publish(candidates.version(name, "backwards"))
    judged = gatekeeper.judged(name, 3)
    assert judged["evidence"]["tournament"]["winner"] == 1
    replayed = gatekeeper.post(f"/models/{name}/candidates/3/replay").json()
    assert replayed["agrees"], replayed["tournament"] or replayed["differences"]
    assert (replayed["tournament"]["then"], replayed["tournament"]["now"]) == (1, 1)
    newest = {"policy": {"model": name, "candidates": "newest"}}
    (mine,) = [each for each in gatekeeper.post("/what-if", newest).json() if each["model_version"] == 3]
    assert (mine["tournament"]["then"], mine["tournament"]["now"], mine["tournament"]["unknown"]) == (1, None, None)
    at = ("--gatekeeper", gatekeeper.url())
    assert "tournament: v1 wins, as then, to the last digit" in ok("replay", name, "3", *at).out
    other = tmp_path / "newest.yaml"
    other.write_text(f"model: {name}\ncandidates: newest\n")
    told = ok("what-if", "--policy", str(other), *at).out
    assert "nobody would win, it was v1: this policy compares no retained versions" in " ".join(told.split())
    assert "1 of 2 tournaments would end otherwise" in told  # in the other, v2 had nobody beside it
    assert "tournament: v1 won" in ok("show", name, "3", *at).out
    page = gatekeeper.client.get(f"{gatekeeper.url()}/models/{name}/candidates/3/report", timeout=30).text
    assert "Earlier versions against champion v2" in page
