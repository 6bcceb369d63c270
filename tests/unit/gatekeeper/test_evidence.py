"""A verdict is reached again from what was written down, to the last digit; what differs is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.replay import NoEvidence, Replayer
from gatekeeper.sandbox.probe import Fault, Probe
from support.evidence_world import MODEL, POLICY, SOURCE, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


CASES: dict[str, dict[str, Any]] = {
    "all that there is": {},
    "no champion": {"champion": None, "champion_answers": None, "champion_overlap": None, "champion_description": None},
    "a broken candidate": {"probe": Probe(Fault(Stage.GOLDEN, "raised KeyError: 'x'"), load_seconds=1.0)},
    "no artifact": {"probe": None, "artifact_problem": "no MLmodel file"},
    "no golden rows": {"golden": None, "golden_digest": None, "golden_uri": None, "golden_problem": "gone"},
    "not in MLflow": {"version_found": False, "probe": None, "golden": None, "overlap": None, "dirty_rows": None},
    "training rows unknown": {"overlap": Overlap(unknown="no keys")},
}


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_a_verdict_is_reached_again_to_the_last_digit(world: World, changes: dict[str, Any]) -> None:
    measurements = world.measurements(**changes)
    then = run_gates(measurements, POLICY)
    assert len(then) >= 9
    replayed = world.replayer.replay(world.written(measurements), then)
    assert replayed.agrees, replayed.differences[:3]
    assert replayed.versions == ()


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_candidate(tmp_path: Path, seed: int) -> None:
    world = World(tmp_path, seed)
    measurements = world.measurements()
    then = run_gates(measurements, POLICY)
    assert world.replayer.replay(world.written(measurements), then).agrees


@pytest.mark.parametrize(
    "metric", ["smape", "mase", "directional_accuracy", "pinball_90", "support.own_metrics:over_error"]
)
def test_so_is_one_of_a_forecast_whose_order_in_time_is_read_from_the_golden_rows(
    world: World, tmp_path: Path, metric: str
) -> None:
    gates = {"slices": {"columns": ["origin"]}, "robustness": {"rows": 500}}
    policy = ModelPolicy.model_validate(
        {"model": "m", "problem": "regression", "metric": metric, "entity": "who", "gates": gates}
    )
    model = replace(MODEL, classes=None)
    rows = golden_rows.read(tmp_path / "golden.parquet", model, policy, SOURCE)
    found = world.measurements(description=model, champion_description=model, golden=rows)
    champion = Predictions(world.scores())
    measurements = replace(found, problem="regression", champion_answers=champion)
    then = run_gates(measurements, policy)
    performance, slices, robustness = (
        next(verdict for verdict in then if verdict.gate == gate) for gate in ("performance", "slices", "robustness")
    )
    assert {verdict.metric for verdict in (performance, slices, robustness)} == {metric}
    clean = ~measurements.champion_overlap.masks["rounded"]
    expected = estimates.value(metric, rows.truth[clean], champion.only(clean), measurements.series(clean))
    assert performance.bound == expected and performance.details["method"] == (
        "bootstrap" if ":" in metric else "paired mean"
    )
    replayed = world.replayer.replay(world.written(measurements, policy), then)
    assert replayed.agrees, replayed.differences[:3]


def test_so_is_one_over_blocks_of_time_and_an_older_one_over_rows(world: World, tmp_path: Path) -> None:
    """Before format 4, bounds did not use the order of the rows in time, and what was decided then stays decided."""
    model = replace(MODEL, roles={"label": "late", "event_time": "at"})
    policy = ModelPolicy.model_validate({"model": "m"})
    rows = golden_rows.read(tmp_path / "golden.parquet", model, policy, SOURCE)
    measurements = replace(world.measurements(description=model, champion_description=model), golden=rows)
    now = run_gates(measurements, policy)
    assert " points in time)" in next(verdict.reason for verdict in now if verdict.gate == "performance")
    document = world.written(measurements, policy)
    assert world.replayer.replay(document, now).agrees
    assert rows.series is not None
    without = replace(rows, series=None)
    then = run_gates(replace(measurements, golden=without), policy)
    assert "rows: worse by " in next(verdict.reason for verdict in then if verdict.gate == "performance")
    document["format"] = 3
    del document["measured"]["golden_source"]["ordered"]
    replayed = world.replayer.replay(document, then)
    assert replayed.agrees, replayed.differences[:3]
    assert not world.replayer.replay(document, now).agrees


FAST = POLICY.model_copy(update={"gates": POLICY.gates.model_copy(update={"fail_fast": True})})


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES.keys())
def test_so_is_one_that_ended_with_the_first_gate_that_failed(world: World, changes: dict[str, Any]) -> None:
    measurements = world.measurements(**changes)
    then = run_gates(measurements, FAST)
    assert [verdict.gate for verdict in then] == [verdict.gate for verdict in run_gates(measurements, POLICY)]
    replayed = world.replayer.replay(world.written(measurements, FAST), then)
    assert replayed.agrees, replayed.differences[:3]


def test_what_was_never_measured_stays_undecided_under_another_policy(world: World) -> None:
    nothing = {"probe": None, "champion_answers": None, "overlap": None, "champion_overlap": None, "dirty_rows": None}
    measurements = world.measurements(**nothing, integrity=None, stopped="not measured: the gate integrity failed")
    then = run_gates(measurements, FAST)
    found = world.replayer.what_if(world.written(measurements, FAST), then, POLICY)
    later = [verdict for verdict in found.verdicts if verdict.gate not in ("lineage", "integrity")]
    assert {(verdict.outcome.value, verdict.reason) for verdict in later} == {
        ("Inconclusive", "not measured: the gate integrity failed")
    }


def test_an_empty_disk_is_filled_from_mlflow(world: World, tmp_path: Path) -> None:
    measurements = world.measurements()
    then, document = run_gates(measurements, POLICY), world.written(measurements)
    elsewhere = EvidenceStore(tmp_path / "other", world.registry)  # type: ignore[arg-type]
    cache = Artifacts(tmp_path / "other cache", world.registry, 100)  # type: ignore[arg-type]
    assert Replayer(cache, elsewhere).replay(document, then).agrees


def test_what_was_tampered_with_is_named(world: World) -> None:
    measurements = world.measurements()
    then, document = run_gates(measurements, POLICY), world.written(measurements)
    document["measured"]["k"] = 1
    replayed = world.replayer.replay(document, then)
    assert not replayed.agrees
    assert "performance.details.k" in {each.where for each in replayed.differences}
    changed = [verdict.model_copy(update={"observed": 0.99}) if verdict.gate == "performance" else verdict
               for verdict in then]  # fmt: skip
    (only,) = world.replayer.replay(world.written(measurements), tuple(changed)).differences
    assert (only.where, only.then) == ("performance.observed", 0.99)


def test_a_file_that_was_changed_on_disk_is_fetched_again_and_in_mlflow_refused(world: World) -> None:
    measurements = world.measurements()
    then, document = run_gates(measurements, POLICY), world.written(measurements)
    disk = next((world.store._folder / "objects").glob("*.parquet"))
    disk.write_bytes(b"PAR1 something else")
    assert world.replayer.replay(document, then).agrees
    for path in (world.registry.root / "runs/gauntlet-evidence-m/objects").glob("*.parquet"):
        path.write_bytes(b"PAR1 something else")
        (world.store._folder / "objects" / path.name).unlink()
    with pytest.raises(NoEvidence, match="its digest differs"):
        world.replayer.replay(document, then)


def test_a_golden_dataset_that_has_changed_is_said(world: World, tmp_path: Path) -> None:
    measurements = world.measurements()
    then, document = run_gates(measurements, POLICY), world.written(measurements)
    next((world.registry.root / "runs/r/datasets").glob("*")).write_bytes(b"PAR1 others")
    with pytest.raises(NoEvidence, match=r"the golden dataset sha256:\w+ has changed"):
        world.replayer.replay(document, then)


def test_without_evidence_nothing_is_made_up(world: World) -> None:
    with pytest.raises(NoEvidence, match="before evidence was kept"):
        world.replayer.replay({}, ())
    with pytest.raises(NoEvidence, match="its format is 99"):
        world.replayer.replay({**world.written(world.measurements()), "format": 99}, ())


def test_another_policy_judges_the_same_rows_otherwise(world: World) -> None:
    measurements = world.measurements()
    then, document = run_gates(measurements, POLICY), world.written(measurements)
    strict = POLICY.model_copy(
        update={"gates": POLICY.gates.model_copy(update={"fairness": False, "robustness": False})}
    )
    found = world.replayer.what_if(document, then, strict)
    assert {verdict.gate for verdict in then} - {verdict.gate for verdict in found.verdicts} == {
        "fairness",
        "robustness",
    }
    by_loss = world.replayer.what_if(document, then, POLICY.model_copy(update={"metric": "log_loss"}))
    assert {verdict.metric for verdict in by_loss.verdicts if verdict.gate == "performance"} == {"log_loss"}


def test_the_answers_of_a_champion_are_kept_once(world: World) -> None:
    first = world.measurements()
    world.written(first)
    before = len(world.registry.uploads)
    second = world.measurements(champion_answers=first.champion_answers, probe=first.probe)
    world.written(second)
    assert len(world.registry.uploads) == before
