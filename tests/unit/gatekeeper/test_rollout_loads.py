"""What becomes of rollouts when replicas load their versions, or cannot: on a real database, verdicts given."""

from __future__ import annotations

from typing import Any

import pytest

from contracts import ModelLoaded, ModelLoadFailed
from gatekeeper.rollout.views import fleet_view
from support.rollout_bench import BETTER, SHADOW, RolloutBench


def test_staging_is_waited_for(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW, staging="smoke")
    bench.reported(ModelLoaded(**bench.report(1, role="staging"), artifact_digest="sha256:0"))
    bench.reported(ModelLoadFailed(**bench.report(2, role="staging"), reason="MLflow is away"))
    assert bench.state() == ("staging", 2, None)
    bench.reported(ModelLoaded(**bench.report(2, role="staging"), artifact_digest="sha256:0"))
    assert bench.state() == ("shadow", 2, None)


@pytest.mark.parametrize("fails", [True, False])
def test_what_no_staging_replica_loads_is_not_tried(bench: RolloutBench, fails: bool) -> None:
    bench.begun(strategy=SHADOW, staging="smoke")
    if fails:
        bench.reported(ModelLoadFailed(**bench.report(2, role="staging"), reason="ValueError", permanent=True))
        assert bench.state() == ("ended", 2, "aborted") and bench.candidate(2).quarantine
        return
    bench.later(minutes=16)
    assert bench.state() == ("ended", 2, "kept") and bench.candidate(2).quarantine is None
    assert bench.rollout()["reason"] == "no staging replica loaded it in 15 minutes"


def test_a_replica_that_cannot_load_the_tried_version_ends_its_trial(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    own = {"rollout_id": bench.rollout()["rollout_id"], "epoch": 1}
    bench.reported(ModelLoadFailed(**bench.report(2, **own), reason="no memory"))
    assert bench.state() == ("shadow", 2, None), "it tries again"
    bench.reported(ModelLoadFailed(**bench.report(2, **own), reason="ValueError", permanent=True))
    assert bench.state() == ("ended", 2, "aborted")


def test_the_fleet_shows_what_each_replica_has_and_tries(bench: RolloutBench) -> None:
    bench.begun(strategy=SHADOW)
    loaded = {"artifact_digest": "sha256:0"}
    bench.reported(ModelLoaded(**bench.report(1, epoch=1), **loaded))
    bench.reported(ModelLoaded(**bench.report(1, epoch=1, replica="r2"), **loaded))
    own = {"rollout_id": bench.rollout()["rollout_id"], "epoch": 1}
    bench.reported(ModelLoaded(**bench.report(2, **own), **loaded))
    bench.reported(ModelLoadFailed(**bench.report(2, **own, replica="r2"), reason="no memory"))
    first, second = fleet(bench)["replicas"]
    assert (first["loaded_version"], first["tried_version"], first["arm"], first["lagging"]) == (1, 2, "shadow", False)
    assert (second["tried_version"], second["arm"], second["failed_version"]) == (None, None, 2)
    bench.measured(**BETTER)
    first, _ = fleet(bench)["replicas"]
    assert (first["desired_version"], first["desired_epoch"], first["lagging"]) == (2, 2, True)
    assert first["tried_version"] is None and first["lag_seconds"] >= 0


def fleet(bench: RolloutBench) -> dict[str, Any]:
    with bench.database.reading() as session:
        return fleet_view(session, bench.name).model_dump(mode="json")


def test_a_champion_that_a_replica_cannot_load_is_rolled_back(bench: RolloutBench) -> None:
    bench.begun(watch=True)
    assert bench.champion() == 2 and bench.state() == ("watch", 2, None), "promoted at once, and watched"
    bench.reported(ModelLoadFailed(**bench.report(2, epoch=1), reason="ValueError", permanent=True))
    assert bench.champion() == 2, "of another epoch"
    bench.reported(ModelLoadFailed(**bench.report(2, epoch=2), reason="ValueError", permanent=True))
    assert bench.champion() == 1 and bench.state() == ("ended", 2, "rolled back")
    assert bench.trail()[-2:] == ["rolled back", "rollout rolled back"]
    bench.policy(watch=True, gates={"latency": False})
    bench.verdict(3)
    assert bench.champion() == 3, "others go on"
