"""Stories of a running gatekeeper: from a drift to the swap, over the API and in the terminal."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from contracts import DriftDetected, DriftKind, DriftWindow, Envelope, ModelLoaded, Promoted, new_envelope
from support.bus_client import BusClient
from support.candidates import Candidates
from support.cli import gauntlet, ok
from support.gatekeepers import Gatekeepers
from support.waiting import eventually


def drift_of(model_name: str) -> DriftDetected:
    now = datetime.now(UTC)
    window = DriftWindow(id="w", rows=10, start=now, end=now)
    return DriftDetected(model_name=model_name, model_version=1, kind=DriftKind.DATA, window=window, reason="it moved")


def swapped(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, model_name: str) -> Envelope[Any]:
    """A drift that led to a promotion, and a replica that says it has loaded the version."""
    drift = bus.publish(drift_of(model_name))
    registered = new_envelope(candidates.version(model_name, "good"), source="trainer", cause=drift)
    bus.send(registered)
    gatekeeper.judged(model_name, registered.data.model_version)

    def promotion() -> Any:
        return next((each for each in bus.events(Promoted.topic) if each.model_name == model_name), None)

    promoted = eventually(promotion, timeout=30)
    about = {"model_name": model_name, "model_version": promoted.data.model_version, "epoch": 1}
    more = {"replica": "r1", "role": "production", "seconds": 0.5, "artifact_digest": promoted.data.artifact_digest}
    bus.send(new_envelope(ModelLoaded.model_validate(about | more), source="serving/r1", cause=promoted))
    eventually(lambda: story(gatekeeper, drift.id).get("swapped"), timeout=30)
    return drift


def story(gatekeeper: Gatekeepers, story_id: str) -> dict[str, Any]:
    response = gatekeeper.client.get(f"{gatekeeper.url()}/stories/{story_id}")
    found: dict[str, Any] = response.json()
    return found


def test_one_drift_is_followed_to_the_swap(
    gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, model_name: str
) -> None:
    drift = swapped(gatekeeper, bus, candidates, model_name)
    done = {"job:gate", "job:mirror", "job:manifest"}

    def finished() -> dict[str, Any] | None:
        found = story(gatekeeper, drift.id)
        jobs = {f"job:{step['name']}" for step in found["steps"] if step["kind"] == "job"}
        return found if jobs >= done and not found["running"] else None

    found = eventually(finished, timeout=30)
    path = [step["name"] for step in found["steps"] if step["on_path"]]
    assert path == ["DriftDetected", "ModelRegistered", "gate", "GatePassed", "Promoted", "ModelLoaded"]
    assert found["swapped"] and "the trainer at" in found["missing"], "none runs here"
    assert found["path_seconds"] == pytest.approx(sum(found["spent"].values()))
    by_name = {step["name"]: step for step in found["steps"]}
    assert by_name["Promoted"]["who"] == "gatekeeper" and by_name["Promoted"]["audit"]
    assert (
        by_name["gate"]["spans"][-1]["spent"] == "running" and by_name["ModelLoaded"]["spans"][-1]["spent"] == "loading"
    )

    assert story(gatekeeper, by_name["GatePassed"]["id"])["correlation_id"] == drift.id, "by the id of any event"
    [heading] = gatekeeper.get(f"/stories?model={model_name}")
    assert heading["correlation_id"] == drift.id and heading["first"].startswith("DriftDetected: ")
    [same] = gatekeeper.get(f"/stories?model={model_name}&version={heading['versions'][-1]}")
    assert same == heading
    assert gatekeeper.get("/stories?limit=1")
    at = ["--gatekeeper", gatekeeper.url()]
    said = ok("story", drift.id, *at).out
    assert "DriftDetected v1" in said and "job gate" in said and "to the swap: " in said and "mirror" not in said
    assert "job mirror" in ok("story", model_name, str(heading["versions"][-1]), "--full", *at).out
    assert ok("story", drift.id, "--json", *at).json["correlation_id"] == drift.id
    assert drift.id in ok("stories", model_name, *at).out


def test_what_is_not_there_says_what_to_do(gatekeeper: Gatekeepers, model_name: str) -> None:
    unknown = uuid4().hex
    response = gatekeeper.client.get(f"{gatekeeper.url()}/stories/{unknown}")
    assert response.status_code == 404 and "GET /stories" in response.json()["detail"] and unknown in response.text
    assert gatekeeper.client.get(f"{gatekeeper.url()}/stories?model={model_name}&version=7").status_code == 404
    assert gatekeeper.get(f"/stories?model={model_name}") == []
    said = gauntlet("story", unknown, "--gatekeeper", gatekeeper.url())
    assert said.code == 1 and unknown in said.err
