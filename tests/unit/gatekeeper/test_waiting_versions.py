"""Versions that wait are resumed when what they lack is there, and cost next to nothing until then."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.database import Database
from chassis.errors import Permanent, Transient
from chassis.jobs import Jobs
from chassis.policy_store import PolicyStore
from chassis.registry import RegisteredVersion
from contracts import Dataset, ModelRegistered, new_envelope
from gatekeeper.database import golden_datasets, queries, registrations
from gatekeeper.database.job_kinds import GATE
from gatekeeper.promotion.waiting import FIRST_SECONDS, LONGEST_SECONDS, MOST_A_ROUND, WaitingVersions
from support.databases import on_sqlite

DATASET = Dataset(uri="runs:/r/golden.parquet", digest="sha256:" + "a" * 64, rows=3)


class CountingRegistry:
    """An MLflow with one version of any model, of a finished run that has nothing; counts what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.error: Exception | None = None

    def version(self, name: str, version: int) -> RegisteredVersion:
        self.asked.append(name)
        if self.error is not None:
            raise self.error
        return RegisteredVersion(name, version, "r", "runs:/r/model", datetime.now(UTC), {})

    def run(self, run_id: str) -> Any:
        info = SimpleNamespace(
            run_id=run_id, status="FINISHED", lifecycle_stage="active", artifact_uri="mlflow-artifacts:/0/r/artifacts"
        )
        data = SimpleNamespace(tags={}, metrics={}, params={})
        return SimpleNamespace(info=info, data=data, inputs=SimpleNamespace(dataset_inputs=[]), outputs=None)

    def artifacts(self, *_: Any) -> list[Any]:
        return []


class World:
    def __init__(self, database: Database, folder: Path) -> None:
        folder.mkdir()
        self.database, self.folder, self.now = database, folder, 1000.0
        self.registry, self.policies = CountingRegistry(), PolicyStore(folder)
        self.jobs = Jobs(database, owner="test")
        self.waiting = WaitingVersions(
            database,
            self.registry,  # type: ignore[arg-type]
            self.jobs,
            self.policies,
            clock=lambda: self.now,
        )

    def add(self, name: str, *, golden: bool = False) -> None:
        event = ModelRegistered(model_name=name, model_version=1, evaluation=DATASET if golden else None)
        with self.database.transaction() as session:
            row = queries.add_candidate(session, new_envelope(event, source="test"))
            assert row is not None
            registrations.wait(session, row, "something")

    def policy(self, name: str) -> None:
        (self.folder / f"{name}.yaml").write_text(f"model: {name}\n")
        self.policies.look()
        self.policies.look()

    def state(self, name: str) -> tuple[str, str | None]:
        with self.database.reading() as session:
            row = queries.candidate(session, name, 1)
            assert row is not None
            return row.state, row.reason

    def gate_jobs(self) -> list[str]:
        with self.database.reading() as session:
            return [job.key for job in self.jobs.newest(session, kind=GATE)]


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[World]:
    database = Database(database_url)
    database.migrate("gatekeeper")
    yield World(database, tmp_path / "policies")
    database.close()


def test_without_a_policy_mlflow_is_never_asked_and_with_one_the_version_goes_on(world: World) -> None:
    world.add("m", golden=True)
    for _ in range(50):
        world.waiting.round()
        world.now += 60
    assert world.registry.asked == []
    assert world.state("m") == ("waiting", f"waiting for: a policy: {world.policies.why_missing('m')}")
    world.policy("m")
    world.waiting.round()
    assert world.state("m") == ("registered", None) and world.gate_jobs() == ["m"]
    world.waiting.round()
    assert world.gate_jobs() == ["m"], "it is resumed once"


@on_sqlite
def test_for_golden_rows_mlflow_is_asked_ever_more_rarely_and_at_once_when_some_are_created(world: World) -> None:
    world.policy("m")
    world.add("m")
    times = []
    for _ in range(3600):
        before = len(world.registry.asked)
        world.waiting.round()
        times += [world.now] * (len(world.registry.asked) > before)
        world.now += 1
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits[0] == FIRST_SECONDS and max(waits) <= LONGEST_SECONDS + 1 and waits == sorted(waits)
    assert len(times) < 25, "in an hour"
    assert world.state("m")[0] == "waiting" and "golden create m FILE" in str(world.state("m")[1])
    asked = len(world.registry.asked)
    with world.database.transaction() as session:
        golden_datasets.add(session, "m", DATASET, columns={}, actor="ada", note="June")
    world.waiting.round()
    assert len(world.registry.asked) == asked + 1
    assert world.state("m")[0] == "registered" and world.gate_jobs() == ["m"]


def test_many_waiting_versions_are_looked_up_a_few_at_a_time(world: World) -> None:
    names = [f"m{number}" for number in range(MOST_A_ROUND + 5)]
    for name in names:
        world.policy(name)
        world.add(name, golden=True)
    world.waiting.round()
    assert len(world.registry.asked) == MOST_A_ROUND
    world.waiting.round()
    assert sorted(world.gate_jobs()) == sorted(names)


def test_what_mlflow_refuses_of_one_version_keeps_no_other_waiting(world: World) -> None:
    for name in ("a", "b"):
        world.policy(name)
        world.add(name, golden=True)
    world.registry.error = Permanent("it makes no sense")
    world.waiting.round()
    assert len(world.registry.asked) == 2 and world.gate_jobs() == []
    world.registry.error = Transient("MLflow is away")
    world.now += 2 * FIRST_SECONDS
    with pytest.raises(Transient):
        world.waiting.round()
    world.registry.error = None
    world.now += 8 * FIRST_SECONDS
    world.waiting.round()
    assert sorted(world.gate_jobs()) == ["a", "b"]
