"""Verdicts replayed and judged otherwise over HTTP; golden datasets that every version is judged on."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pandas as pd

from support.bus_client import BusClient
from support.candidates import ANYONES, Candidates, rows
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually


def judged(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, name: str, kind: str) -> dict:
    registered = candidates.version(name, kind)
    bus.publish(registered)
    return gatekeeper.judged(name, registered.model_version)


def said(response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    return response.json()


def parquet(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    return buffer.getvalue()


def test_a_verdict_is_replayed_shown_and_judged_by_another_policy(
    gatekeeper: Gatekeepers, timed_model: str, bus: BusClient, candidates: Candidates
) -> None:
    for kind in ("fair", "good", "worse"):
        judged(gatekeeper, bus, candidates, timed_model, kind)
    for version, then in ((1, "Passed"), (2, "Passed"), (3, "Failed")):
        found = said(gatekeeper.post(f"/models/{timed_model}/candidates/{version}/replay"))
        assert (found["agrees"], found["then"], found["differences"]) == (True, then, [])
    page = gatekeeper.client.get(f"{gatekeeper.url()}/models/{timed_model}/candidates/3/report").text
    assert "may not become champion" in page and "champion v2" in page
    run = candidates.version(timed_model, "worse").run_id or ""
    eventually(
        lambda: "verdict-v3.html" in str([item.path for item in candidates.client.list_artifacts(run, "gauntlet")])
    )
    policy = {"model": timed_model, "gates": {"performance": {"rule": {"minimum": {"roc_auc": 0.99}}}}}
    rejudged = said(gatekeeper.post("/what-if", {"policy": policy}))
    assert [(each["model_version"], each["then"], each["now"]) for each in rejudged] == [
        (3, "Failed", "Failed"),
        (2, "Passed", "Failed"),
        (1, "Passed", "Failed"),
    ]
    assert rejudged[2]["changed"] == ["performance"] and "0.99 is asked" in rejudged[2]["reasons"]["performance"]
    assert gatekeeper.champion(timed_model) == 2, "asking changes nothing"


def test_a_run_that_ended_with_the_first_failure_is_shown_and_replayed(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("failing-fast")
    first = judged(gatekeeper, bus, candidates, name, "fair")
    assert first["state"] == "passed", first["reason"]
    broken = judged(gatekeeper, bus, candidates, name, "raising")
    assert broken["state"] == "failed" and "not run (fail_fast): leakage, performance, latency" in broken["reason"]
    unrun = [each["gate"] for each in broken["verdicts"] if each["details"].get("not_run") == "functional"]
    assert unrun == ["leakage", "performance", "latency"]
    page = gatekeeper.client.get(f"{gatekeeper.url()}/models/{name}/candidates/2/report").text
    assert page.count(">Not run<") == 3 and "the gate functional failed" in page
    found = said(gatekeeper.post(f"/models/{name}/candidates/2/replay"))
    assert (found["agrees"], found["then"], found["differences"]) == (True, "Failed", [])


def test_what_cannot_be_replayed_says_why(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    missing = said(gatekeeper.post(f"/models/{model_name}/candidates/9/replay"), 404)
    assert missing["detail"] == f"{model_name} v9 was never registered"
    typo = {"policy": {"model": model_name, "gates": {"performence": {}}}}
    assert "performence" in str(said(gatekeeper.post("/what-if", typo), 422))
    url = f"{gatekeeper.url()}/models/{model_name}/golden?actor=me&note=x"
    assert "no Parquet file" in said(gatekeeper.client.post(url, content=b"a,b\n1,2\n"), 422)["detail"]
    assert "has no rows" in said(gatekeeper.client.post(url, content=parquet(rows(seed=2).head(0))), 422)["detail"]


def test_a_version_that_brings_no_golden_rows_is_judged_on_those_that_were_created(
    gatekeeper: Gatekeepers, model_name: str, bus: BusClient, candidates: Candidates
) -> None:
    url = f"{gatekeeper.url()}/models/{model_name}/golden?actor=me&note=June"
    content = parquet(rows(seed=4))
    unknown = said(gatekeeper.client.post(f"{url}&label=delay", content=content, timeout=30), 422)
    assert "no column 'delay', which is to be its label; it has a, b, late, who, at" in unknown["detail"]
    named = f"{url}&label=late&entity=who"
    made = said(gatekeeper.client.post(named, content=content, timeout=30), 201)
    assert (made["label"], made["entity"], made["event_time"]) == ("late", "who", None)
    later = said(gatekeeper.client.post(f"{url}&event_time=at", content=content, timeout=30), 201)
    assert (later["number"], later["label"], later["event_time"]) == (1, "late", "at"), "what it named stays"
    other = said(gatekeeper.client.post(f"{url}&label=a", content=content, timeout=30), 409)
    assert "whose label is 'late', not 'a'" in other["detail"]

    found = judged(gatekeeper, bus, candidates, model_name, ANYONES)
    measured, golden = found["evidence"]["measured"], found["evidence"]["golden"]
    assert measured["golden_source"]["where"] == "golden dataset 1 (June)"
    assert measured["golden_source"]["names"] == {"label": "late", "entity": "who", "event_time": "at"}
    assert (golden["label"], golden["entity"], golden["event_time"]) == ("late", "who", "at")
    version = found["model_version"]
    page = gatekeeper.client.get(f"{gatekeeper.url()}/models/{model_name}/candidates/{version}/report").text
    assert "golden dataset 1 (June), with label &#39;late&#39;, entity &#39;who&#39;, event time &#39;at&#39;" in page
    assert said(gatekeeper.post(f"/models/{model_name}/candidates/{version}/replay"))["agrees"]


def test_every_version_is_judged_on_the_golden_dataset_of_the_policy(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("pinned")
    first = candidates.version(name, "fair")
    bus.publish(first)
    path = f"/models/{name}/candidates/{first.model_version}"
    missing = eventually(lambda: (found := gatekeeper.get(path))["state"] == "waiting" and found)
    assert "gauntlet golden create" in missing["reason"]

    url = f"{gatekeeper.url()}/models/{name}/golden?actor=me&note=first"
    made = said(gatekeeper.client.post(url, content=parquet(rows(seed=4)), timeout=30), 201)
    assert (made["number"], made["rows"], made["challengers"]) == (1, 1500, 0)
    assert said(gatekeeper.client.post(url, content=parquet(rows(seed=4)), timeout=30), 201)["number"] == 1
    seen = []
    for registered in (first, candidates.version(name, "good"), candidates.version(name, "good")):
        if registered is not first:
            bus.publish(registered)
        candidate = gatekeeper.judged(name, registered.model_version)
        (performance,) = [each for each in candidate["verdicts"] if each["gate"] == "performance"]
        assert candidate["evidence"]["golden"]["digest"] == made["digest"] != registered.evaluation.digest  # type: ignore[union-attr]
        seen.append(performance["details"].get("k"))
    assert seen == [None, 1, 2], "the first had no champion to be compared with"
    (listed,) = gatekeeper.get(f"/models/{name}/golden")
    assert listed["challengers"] == 2
    assert said(gatekeeper.post(f"/models/{name}/candidates/{registered.model_version}/replay"))["agrees"]
    assert "golden dataset created" in {row["action"] for row in gatekeeper.get(f"/audit?model={name}")}
