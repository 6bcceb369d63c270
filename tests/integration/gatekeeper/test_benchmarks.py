"""Benchmarks: champion, earlier versions and a trivial baseline on labelled production rows, once, and an alert."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pandas as pd
import pytest

from contracts import BenchmarkCompleted, BenchmarkDue, Dataset, Outcome, Promoted
from support.bus_client import BusClient
from support.candidates import Candidates, rows
from support.cli import ok
from support.databases import taking_turns
from support.gatekeepers import Gatekeepers, NameOf
from support.waiting import eventually

WHO = {"actor": "ada", "reason": "somebody was sure"}
NOW = datetime(2026, 3, 1, tzinfo=UTC)

seen = partial(eventually, timeout=60)


def produced(seed: int) -> pd.DataFrame:
    """Production rows with labels, as drift stores them: other names than those of the model's metadata."""
    frame = rows(seed=seed)
    frame["who"] = frame["who"].radd(f"{seed} ")
    return frame.rename(columns={"at": "event_time"}).assign(
        event_time=lambda each: each["event_time"] + timedelta(3650)
    )


def due(candidates: Candidates, name: str, frame: pd.DataFrame, **changes: Any) -> BenchmarkDue:
    return BenchmarkDue(
        **{
            "model_name": name,
            "model_version": 1,
            "benchmark_id": f"{name}-{uuid4().hex[:6]}",
            "rows": Dataset.model_validate({**candidates.golden(frame), "rows": len(frame)}),
            "label": "late",
            "entity": "who",
            "event_time": "event_time",
            "start": NOW,
            "end": NOW + timedelta(days=1),
            "reason": "every 7d",
            **changes,
        }
    )


def completed(bus: BusClient, benchmark_id: str) -> list[BenchmarkCompleted]:
    found = [event.data for event in bus.events(BenchmarkCompleted.topic)]
    return [each for each in found if isinstance(each, BenchmarkCompleted) and each.benchmark_id == benchmark_id]


def promotions(bus: BusClient, name: str) -> list[Promoted]:
    return [event.data for event in bus.events(Promoted.topic) if event.model_name == name]


def promote(gatekeeper: Gatekeepers, bus: BusClient, candidates: Candidates, name: str, *kinds: str) -> None:
    """The last of these kinds is champion."""
    for version, kind in enumerate(kinds, start=1):
        bus.publish(candidates.version(name, kind))
        gatekeeper.judged(name, version)
    if gatekeeper.champion(name) != len(kinds):
        assert gatekeeper.post(f"/models/{name}/promote", {**WHO, "model_version": len(kinds)}).is_success


def metrics(gatekeeper: Gatekeepers) -> str:
    return httpx.get(f"{gatekeeper.url()}/metrics", timeout=30).text


def found_at(candidates: Candidates, name: str, version: int, end: str) -> str | None:
    """The address of the version's manifest, once it is this one."""
    tag = candidates.tags(name, version).get("gauntlet.manifest", "")
    return tag if tag.endswith(end) else None


def file_of(candidates: Candidates, uri: str, folder: Path) -> str:
    """Read with plain MLflow."""
    run, _, path = uri.removeprefix("runs:/").partition("/")
    return Path(candidates.client.download_artifacts(run, path, str(folder))).read_text()


def test_a_good_champion_beats_the_baseline_and_the_results_are_in_mlflow(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = name_of("benchmarked")
    promote(gatekeeper, bus, candidates, name, "fair", "good")
    told = due(candidates, name, produced(4))
    bus.publish(told, times=3)
    bus.publish(told)  # as another event: no benchmark is run twice
    [found] = seen(lambda: completed(bus, told.benchmark_id))

    assert (found.outcome, found.beats_baseline, found.winner, found.model_version) == (Outcome.PASSED, True, 2, 2)
    assert found.metric == "roc_auc" and found.baseline == "class frequencies" and not found.tournament
    assert found.gain and found.gain_low and found.gain_high and 0.2 < found.gain_low < found.gain < found.gain_high
    own, earlier, baseline = found.figures
    assert (own.name, own.rows, own.problem, own.gain) == ("v2", 1500, None, None)
    assert own.low and own.value and own.high and own.low < own.value < own.high
    assert (earlier.name, earlier.model_version) == ("v1", 1) and earlier.gain_high and earlier.gain_high < 0
    assert (baseline.name, baseline.model_version, baseline.value) == ("class frequencies", None, 0.5)

    shown = gatekeeper.get(f"/benchmarks/{told.benchmark_id}")
    assert shown["state"] == "completed" and shown["completed"]["winner"] == 2
    assert found.results_uri and found.report_uri
    run = gatekeeper.candidate(name, 2)["run_id"]
    folder = f"runs:/{run}/gauntlet/benchmarks/{told.benchmark_id}"
    assert found.results_uri == f"{folder}/benchmark_results.json"
    results = json.loads(file_of(candidates, found.results_uri, tmp_path))
    assert results == shown["results"] and results["figures"][0]["value"] == own.value
    assert results["rows"]["digest"] == told.rows.digest and results["rows"]["used"] == 1500
    at = ("--gatekeeper", gatekeeper.url())
    assert told.benchmark_id in ok("benchmarks", "list", name, *at).out
    said = ok("benchmarks", "show", told.benchmark_id, *at).out
    assert "v2 (champion)" in said and "baseline: class frequencies" in said and "winner: v2" in said
    report = file_of(candidates, found.report_uri, tmp_path)
    assert "champion v2 is better than the trivial baseline" in report and "baseline: class frequencies" in report
    assert candidates.tags(name, 2)["gauntlet.benchmark"] == found.results_uri
    page = httpx.get(f"{gatekeeper.url()}/benchmarks/{told.benchmark_id}/page", timeout=30).text
    assert "v2 (champion)" in page and "v1 against the champion" in page and "<svg" in page

    assert [each["id"] for each in gatekeeper.get(f"/benchmarks?model_name={name}")] == [told.benchmark_id]
    assert httpx.get(f"{gatekeeper.url()}/benchmarks/none", timeout=30).status_code == 404
    assert len(completed(bus, told.benchmark_id)) == 1
    seen(lambda: f'gauntlet_champion_beats_baseline{{model="{name}"}} 1.0' in metrics(gatekeeper))


def test_a_champion_that_no_longer_wins_is_an_alert_and_a_tournament_follows(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates, tmp_path: Path
) -> None:
    name = name_of("benchmarked")
    promote(gatekeeper, bus, candidates, name, "good", "backwards")
    told = due(candidates, name, produced(5), model_version=2)
    bus.publish(told, times=2)
    [found] = seen(lambda: completed(bus, told.benchmark_id))
    assert (found.outcome, found.beats_baseline, found.winner) == (Outcome.FAILED, False, 1)
    assert "not better" in found.reason and found.tournament and found.gain and found.gain < -0.2
    promoted = seen(
        lambda: [
            event.data for event in bus.events(Promoted.topic) if event.model_name == name and event.data.epoch == 3
        ]
    )[0]
    assert (promoted.model_version, promoted.cause) == (1, "tournament")
    assert promoted.evidence_id == f"{told.benchmark_id}-tournament"
    trail = gatekeeper.get(f"/audit?model={name}")
    assert [row["action"] for row in trail[:2]] == ["promoted", "tournament played"]
    assert "ALERT" in httpx.get(f"{gatekeeper.url()}/benchmarks/{told.benchmark_id}/page", timeout=30).text
    log = (gatekeeper.folder / "gatekeeper.log").read_text()
    assert any("benchmark completed" in line and told.benchmark_id in line for line in log.splitlines())
    seen(lambda: f'gauntlet_champion_beats_baseline{{model="{name}"}} 0.0' in metrics(gatekeeper))
    shown = gatekeeper.get(f"/benchmarks/{told.benchmark_id}")["tournament"]
    assert (shown["winner"], shown["champion_version"]) == (1, 2)
    again = gatekeeper.post(f"/benchmarks/{told.benchmark_id}/tournament/replay", {}).json()
    assert (again["agrees"], again["then"], again["now"]) == (True, 1, 1)

    tag = seen(lambda: found_at(candidates, name, 1, "-epoch3/manifest.json"))
    manifest = json.loads(file_of(candidates, tag, tmp_path))
    assert (manifest["cause"], manifest["golden"]["digest"]) == ("tournament", told.rows.digest)
    own = manifest["metrics"]["roc_auc"]
    assert own["low"] < own["value"] < own["high"] and manifest["problems"] == []


@pytest.mark.parametrize("gatekeeper", ["sqlite"], indirect=True)
def test_rows_that_a_version_was_trained_on_do_not_count_for_it(
    gatekeeper: Gatekeepers, name_of: NameOf, bus: BusClient, candidates: Candidates
) -> None:
    name = name_of("benchmarked")
    promote(gatekeeper, bus, candidates, name, "good")
    trained = rows(seed=1).rename(columns={"at": "event_time"})
    told = due(candidates, name, pd.concat([trained[:700], produced(6)], ignore_index=True))
    bus.publish(told)
    [found] = seen(lambda: completed(bus, told.benchmark_id))
    own = found.figures[0]
    assert 1495 <= own.rows <= 1500, "but for a new row that equals one by chance, to three digits"
    assert own.problem is not None and f"{2200 - own.rows} of 2200 rows are left out" in own.problem
    few = due(candidates, name, produced(7)[:20])
    bus.publish(few)
    [found] = seen(lambda: completed(bus, few.benchmark_id))
    assert (found.outcome, found.beats_baseline) == (Outcome.INCONCLUSIVE, None) and "underpowered" in found.reason
    broken = due(candidates, name, produced(8).drop(columns="b"))
    bus.publish(broken)
    [found] = seen(lambda: completed(bus, broken.benchmark_id))
    assert found.outcome is Outcome.INCONCLUSIVE and "no column 'b'" in found.reason


@pytest.fixture
def model_name(gatekeepers: Gatekeepers) -> str:
    name = f"m-{uuid4().hex[:8]}"
    gatekeepers.policy(name, benchmark={"every": "7d"}, gates={"latency": False})
    return name


@taking_turns("point", "before_result", "before_mark")
def test_killed_between_due_and_completed_it_is_completed_once(
    gatekeepers: Gatekeepers, model_name: str, own_bus: BusClient, candidates: Candidates, point: str
) -> None:
    first = gatekeepers.start_ready()
    promote(gatekeepers, own_bus, candidates, model_name, "good")
    first.terminate()
    first.wait(30)
    told = due(candidates, model_name, produced(4))
    own_bus.publish(told, times=2)
    dying = gatekeepers.start(dying_at=point)
    assert dying.wait(90) == -9
    gatekeepers.start_ready()
    found = seen(lambda: completed(own_bus, told.benchmark_id))
    ids = {event.id for event in own_bus.events(BenchmarkCompleted.topic) if isinstance(event.data, BenchmarkCompleted)}
    assert len(ids) == 1 and found[0].outcome is Outcome.PASSED, "once, under one id"
    assert np.isfinite(found[0].gain or np.nan)
