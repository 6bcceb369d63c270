"""The manifest of each promotion, read with plain MLflow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.bus_client import BusClient
from support.candidates import FEATURES, Candidates
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "too slow"}
REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "manifest.md"


def manifest(candidates: Candidates, name: str, version: int, epoch: int, folder: Path) -> dict[str, Any]:
    """Once the version is tagged with that of this epoch."""
    end = f"/gauntlet/manifests/{name}-v{version}-epoch{epoch}/manifest.json"

    def tagged() -> str | None:
        uri = candidates.tags(name, version).get("gauntlet.manifest", "")
        return uri if uri.endswith(end) else None

    uri = eventually(tagged, timeout=60)
    run, _, path = uri.removeprefix("runs:/").partition("/")
    found: dict[str, Any] = json.loads(Path(candidates.client.download_artifacts(run, path, str(folder))).read_text())
    return found


def test_each_promotion_has_its_manifest_and_a_rollback_has_one_too(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = name_of("plain")
    for version, kind in ((1, "fair"), (2, "good")):
        bus.publish(candidates.version(name, kind))
        assert gatekeeper.judged(name, version)["state"] == "passed"
    first, second = (manifest(candidates, name, number, number, tmp_path / str(number)) for number in (1, 2))
    candidate, promotions = gatekeeper.candidate(name, 2), gatekeeper.get(f"/models/{name}/promotions")
    about = {key: second[key] for key in ("model", "version", "epoch", "cause", "actor", "previous_version")}
    assert about == {
        "model": name,
        "version": 2,
        "epoch": 2,
        "cause": "gate",
        "actor": "gatekeeper",
        "previous_version": 1,
    }
    assert second["promoted_at"][:19] == promotions[0]["promoted_at"][:19]
    assert (second["event_id"], second["evidence_id"]) == (promotions[0]["event_id"], candidate["id"])
    assert second["policy_digest"] == candidate["policy_digest"] and second["code_version"] == "abc123"
    assert second["artifact"]["digest"] == candidate["artifact_digest"]
    assert second["training"]["window"] == "training" and second["training"]["digest"].startswith("sha256:")
    assert second["golden"]["digest"] == candidate["evidence"]["golden"]["digest"]
    assert (second["golden"]["label"], second["golden"]["entity"], second["golden"]["rows"]) == ("late", "who", 1500)
    main = second["metrics"]["roc_auc"]
    assert main["value"] == promotions[0]["baseline"]["roc_auc"] and main["low"] < main["value"] < main["high"]
    assert second["metrics"].keys() == promotions[0]["baseline"].keys()
    assert second["metrics"]["f1"]["low"] is None, "it would be resampled"
    assert second["comparison"]["champion_version"] == 1 and second["comparison"]["low"] > 0
    assert second["gates"]["performance"] == "Passed" and first["comparison"] is None
    assert second["features"] == [{"name": each, "type": "double", "required": True} for each in FEATURES]
    columns = {"label": "late", "entity": "who", "event_time": "at"}
    assert second["output"] == {"problem": "binary", "classes": [0, 1], **columns}
    assert any("scikit-learn" in line for line in second["requirements"]) and second["problems"] == []
    listed = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", REFERENCE.read_text(), re.M))))
    assert listed == set(second), "docs/reference/manifest.md lists the keys"

    assert gatekeeper.post(f"/models/{name}/rollback", WHO).is_success
    third = manifest(candidates, name, 1, 3, tmp_path / "3")
    assert (third["cause"], third["actor"], third["reason"]) == ("rollback", "ada", "too slow")
    same = ("artifact", "training", "golden", "metrics", "features", "policy_digest", "evidence_id", "output")
    assert {key: third[key] for key in same} == {key: first[key] for key in same}


@pytest.mark.parametrize("gatekeeper", ["sqlite"], indirect=True)
def test_a_version_that_was_promoted_against_its_verdict_has_one(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = name_of("plain")
    bus.publish(candidates.version(name, "backwards"))
    gatekeeper.judged(name, 1)
    url = f"{gatekeeper.url()}/models/{name}/promote"
    assert httpx.post(url, json={**WHO, "model_version": 1}, timeout=30).is_success
    found = manifest(candidates, name, 1, 1, tmp_path)
    assert found["cause"] == "override" and found["gates"]["performance"] == "Failed"
    assert found["metrics"]["roc_auc"]["high"] < 0.5
