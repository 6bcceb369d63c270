"""Rollouts of gatekeepers that are killed, doubled, wiped and restored: one outcome, and no arm without a rollout."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from support.bus_client import BusClient
from support.candidates import Candidates
from support.databases import on_postgres, on_sqlite
from support.gatekeepers import Gatekeepers
from support.processes import end
from support.rollouts import Rolling
from support.waiting import eventually

seen = partial(eventually, timeout=90)

STRATEGY = [
    {"shadow": {"rows": "100..5000", "on": ["metric", "errors"]}},
    {"canary": {"steps": ["10%"], "bake": "1s", "minimum": 100}},
]
STEPS = ["shadow", "canary", "watch", "ended"]


@pytest.fixture
def rolling(gatekeepers: Gatekeepers, own_bus: BusClient, candidates: Candidates) -> Rolling:
    return Rolling(gatekeepers, own_bus, candidates)


def there_and_back(rolling: Rolling) -> None:
    """Every kind of step: begun by a verdict, gone on by sums and by time, promoted, rolled back."""
    rolling.champion()
    rolling.register("good")
    rolling.measured(rolling.at("shadow"), n=1000, wins=200, losses=50)
    rolling.measured(rolling.at("canary"), n=500, share=0.1)
    rolling.measured(rolling.at("watch"), n=2000, champion_errors=200)
    rolling.at("ended", result="rolled back")


def one_outcome(rolling: Rolling) -> None:
    def of_it() -> bool:
        promotions = [(each.model_version, each.epoch) for each in rolling.promoted(3)]
        assert promotions == [(1, 1), (2, 2), (1, 3)]
        changes = [(each.revision, each.stage, each.step) for each in rolling.changes()]
        assert changes == [(1, "shadow", 0), (2, "canary", 1), (3, "watch", 2), (4, "ended", 2)]
        return True

    seen(of_it)
    assert len(rolling.get(f"/rollouts?model_name={rolling.name}")["rollouts"]) == 1
    trail = [row["action"] for row in rolling.get(f"/audit?model={rolling.name}")]
    assert trail.count("promoted") == 2 and trail.count("rolled back") == 1
    assert rolling.get("/audit/verify")["broken"] is None


BOTH_EXHAUSTIVELY = [
    pytest.param("in_each_step", "sqlite"),
    pytest.param("after_each_step", "postgres"),
    pytest.param("in_each_step", "postgres", marks=pytest.mark.exhaustive),
    pytest.param("after_each_step", "sqlite", marks=pytest.mark.exhaustive),
]


@pytest.mark.parametrize(("point", "database_url"), BOTH_EXHAUSTIVELY, indirect=["database_url"])
def test_killed_at_each_step_there_is_one_outcome(point: str, rolling: Rolling) -> None:
    rolling.dying_at = point
    rolling.start(strategy=STRATEGY, watch=True)
    there_and_back(rolling)
    one_outcome(rolling)
    assert rolling.deaths == len(STEPS)


@on_postgres
def test_two_gatekeepers_take_each_step_once(rolling: Rolling) -> None:
    rolling.start(strategy=STRATEGY, watch=True)
    rolling.gatekeepers.start_ready()
    there_and_back(rolling)
    one_outcome(rolling)


@on_sqlite
def test_a_wiped_database_ends_a_rollout_that_it_does_not_know(rolling: Rolling, tmp_path: Path) -> None:
    rolling.start(strategy="shadow")
    rolling.champion()
    rolling.register("good")
    rollout = rolling.at("shadow")
    seen(lambda: len(rolling.changes()) == 1)
    end(rolling.gatekeepers.processes[-1])
    rolling.gatekeepers.database_url = f"sqlite:///{tmp_path / 'new.db'}"
    rolling.gatekeepers.start_ready()
    (_, ended) = seen(lambda: len(found := rolling.changes()) == 2 and found)
    assert (ended.rollout_id, ended.revision, ended.stage, ended.mode) == (rollout["rollout_id"], 2, "ended", "off")
    assert ended.result == "superseded"
    rolling.register("good")
    begun = rolling.at("shadow")
    assert begun["revision"] == 3 and begun["champion_epoch"] == 1, "revisions go on"


@on_sqlite
def test_an_older_database_ends_a_rollout_that_was_further(rolling: Rolling, database_url: str, tmp_path: Path) -> None:
    database = Path(database_url.removeprefix("sqlite:///"))
    rolling.start(strategy=STRATEGY)
    rolling.champion()
    rolling.register("good")
    shadow = rolling.at("shadow")
    seen(lambda: len(rolling.changes()) == 1)
    end(rolling.gatekeepers.processes[-1])
    _copy(database, tmp_path / "old")
    rolling.gatekeepers.start_ready()
    rolling.measured(shadow, n=1000, wins=200, losses=50)
    rolling.at("canary")
    seen(lambda: len(rolling.changes()) == 2)
    end(rolling.gatekeepers.processes[-1])
    _copy(tmp_path / "old", database)
    rolling.gatekeepers.start_ready()
    ended = rolling.at("ended", result="superseded")
    assert ended["revision"] == 3 and "the topic of rollouts is at revision 2" in ended["reason"]
    assert seen(lambda: len(found := rolling.changes()) == 3 and found)[-1].mode == "off"


@on_postgres
def test_a_lost_topic_is_told_again(rolling: Rolling) -> None:
    rolling.start(strategy="shadow")
    rolling.champion()
    rolling.register("good")
    rollout = rolling.at("shadow")
    (told,) = seen(rolling.changes)
    end(rolling.gatekeepers.processes[-1])
    emptied = BusClient(rolling.bus.bootstrap_servers, f"e{uuid4().hex[:8]}.")
    rolling.gatekeepers.prefix, rolling.bus = emptied.prefix, emptied  # topics that never held anything
    rolling.gatekeepers.start_ready()
    assert seen(rolling.changes) == [told]
    assert rolling.at("shadow")["rollout_id"] == rollout["rollout_id"]


def _copy(database: Path, to: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{to}{suffix}").unlink(missing_ok=True)
        if Path(f"{database}{suffix}").exists():
            shutil.copy(f"{database}{suffix}", f"{to}{suffix}")
