"""Transactions, migrations, outbox rows, leases and jobs, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select, update

from chassis import inbox, jobs, leases, outbox
from chassis.database import Base, Database
from chassis.errors import Permanent, Transient
from chassis.inbox import InboxRow, first_time
from chassis.jobs import JobRow, Jobs, LeaseLost
from chassis.leases import hold, release
from chassis.outbox import Outbox, OutboxRow
from chassis.pruning import Pruning
from contracts import (
    ArmSums,
    Cause,
    GroundTruthReceived,
    ModelRegistered,
    Promoted,
    RolloutMeasured,
    TrainingRequested,
    new_envelope,
)

CHASSIS_TABLES = {module.__tablename__ for module in (outbox.OutboxRow, inbox.InboxRow, jobs.JobRow, leases.LeaseRow)}


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url)
    database.migrate("chassis")
    return database


def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            # Both sides: the services' tables are in `Base.metadata` too as soon as anything has imported them.
            opts={"include_object": lambda _, name, kind, *__: kind != "table" or name in CHASSIS_TABLES},
        )
        assert compare_metadata(context, Base.metadata) == []


def test_many_processes_may_migrate_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: Database(database_url).migrate("chassis"), range(4)))


def test_nothing_of_a_failed_transaction_remains_and_nobody_is_woken(database: Database) -> None:
    woken: list[int] = []
    database.after_commit(lambda: woken.append(1))
    with pytest.raises(RuntimeError), database.transaction() as session:
        Outbox("test").emit(session, ModelRegistered(model_name="m", model_version=1))
        raise RuntimeError("no")
    with database.reading() as session:
        assert session.scalars(select(OutboxRow)).all() == []
    assert woken == []
    with database.transaction() as session:
        Outbox("test").emit(session, ModelRegistered(model_name="m", model_version=1))
    assert woken == [1]


def test_an_event_too_large_for_its_readers_is_refused_when_it_is_emitted(database: Database) -> None:
    with pytest.raises(Permanent, match="the limit is 100"), database.transaction() as session:
        Outbox("test", max_event_bytes=100).emit(session, TrainingRequested(model_name="m", reason="x" * 200))


def test_an_event_is_new_once(database: Database) -> None:
    envelope = new_envelope(ModelRegistered(model_name="m", model_version=1), source="a")
    with database.transaction() as session:
        assert first_time(session, envelope)
        assert not first_time(session, envelope)
    with database.transaction() as session:
        assert not first_time(session, envelope)
        assert first_time(session, envelope.model_copy(update={"source": "b"}))


def test_a_lease_has_one_holder_until_it_runs_out(database: Database) -> None:
    def take(holder: str, seconds: float = 60) -> bool:
        with database.transaction() as session:
            return hold(session, "relay", holder, timedelta(seconds=seconds))

    assert take("a")
    assert take("a", seconds=-1)
    assert take("b")
    assert not take("a")
    with database.transaction() as session:
        release(session, "relay", "b")
    assert take("a")


def test_a_database_that_is_away_is_a_transient_error(tmp_path: object) -> None:
    with pytest.raises(Transient, match="database"):
        Database("postgresql://nobody@127.0.0.1:1/none").check()


def queue(database: Database, owner: str = "w1", lease: float = 60) -> Jobs:
    return Jobs(database, owner=owner, lease=timedelta(seconds=lease))


def add(jobs: Jobs, *keys: str, job_id: str | None = None) -> None:
    with jobs.database.transaction() as session:
        for key in keys:
            jobs.enqueue(session, kind="gate", key=key, payload={"key": key}, job_id=job_id)


def test_jobs_of_one_key_run_one_after_another_and_keys_beside_each_other(database: Database) -> None:
    work = queue(database)
    add(work, "a", "a", "b")
    first, second = work.claim(["gate"]), work.claim(["gate"])
    assert first is not None
    assert second is not None
    assert [first.key, second.key] == ["a", "b"]
    assert work.claim(["gate"]) is None
    with database.transaction() as session:
        work.end(session, first)
    third = work.claim(["gate"])
    assert third is not None
    assert third.key == "a"
    assert work.claim(["other"]) is None


def test_kinds_of_one_queue_run_one_after_another_and_others_beside_each_other(database: Database) -> None:
    work, kinds = queue(database), ["gate", "tournament"]
    with database.transaction() as session:
        for kind in ("gate", "tournament", "gate", "mirror"):
            work.enqueue(session, kind=kind, key="a", payload={})
    ran = []
    while (job := work.claim(kinds, one_queue=True)) is not None:
        assert work.claim(kinds, one_queue=True) is None, "one at a time"
        ran.append(job.kind)
        with database.transaction() as session:
            work.end(session, job)
    assert ran == ["gate", "tournament", "gate"]
    with database.transaction() as session:
        for kind in kinds:
            work.enqueue(session, kind=kind, key="a", payload={})
    beside = [work.claim(kinds), work.claim(kinds)]
    assert [job.kind for job in beside if job is not None] == kinds


def test_a_job_id_is_enqueued_once(database: Database) -> None:
    work = queue(database)
    add(work, "a", job_id="x")
    add(work, "a", job_id="x")
    with database.reading() as session:
        assert len(work.newest(session)) == 1


def test_a_job_whose_worker_died_is_taken_over_and_the_dead_one_cannot_record(database: Database) -> None:
    dead, alive = queue(database, "dead", lease=-1), queue(database, "alive")
    add(dead, "a")
    lost = dead.claim(["gate"])
    taken = alive.claim(["gate"])
    assert lost is not None
    assert taken is not None
    assert (taken.id, taken.attempts, taken.takeovers) == (lost.id, 2, 1)
    assert not dead.renew(lost)
    with pytest.raises(LeaseLost), database.transaction() as session:
        dead.end(session, lost)
    with database.transaction() as session:
        alive.end(session, taken)
    assert alive.claim(["gate"]) is None


def test_a_job_put_back_waits_and_keeps_the_order_of_its_key(database: Database) -> None:
    work = queue(database)
    add(work, "a", "a")
    first = work.claim(["gate"])
    assert first is not None
    work.put_back(first, delay=timedelta(seconds=60))
    assert work.claim(["gate"]) is None
    work.put_back(first, delay=timedelta(0))  # no longer ours: nothing happens
    assert work.claim(["gate"]) is None


def test_a_job_remembers_what_caused_it(database: Database) -> None:
    work = queue(database)
    cause = new_envelope(TrainingRequested(model_name="m", window="w"), source="cli", time=datetime.now(UTC))
    with database.transaction() as session:
        work.enqueue(session, kind="gate", key="m", payload={}, cause=cause)
    claimed = work.claim(["gate"])
    assert claimed is not None
    assert claimed.cause == cause


def test_two_workers_never_claim_the_same_job(database: Database) -> None:
    add(queue(database), *[f"k{number}" for number in range(40)])
    start = threading.Barrier(4)

    def claim_all(owner: str) -> list[str]:
        mine = queue(database, owner)
        start.wait()
        claimed: list[str] = []
        misses = 0
        while misses < 5:
            job = mine.claim(["gate"])
            if job is None:
                misses += 1
            else:
                claimed.append(job.key)
        return claimed

    with ThreadPoolExecutor(4) as pool:
        found = [key for keys in pool.map(claim_all, "abcd") for key in keys]
    assert sorted(found) == sorted(f"k{number}" for number in range(40))


def test_what_can_no_longer_be_repeated_is_deleted(database: Database) -> None:
    """With a moved clock: events as long as their topics keep them, ended jobs as long as the longest one."""
    registered = [new_envelope(ModelRegistered(model_name="m", model_version=number), source="s") for number in (1, 2)]
    label = new_envelope(GroundTruthReceived(model_name="m", request_id="r", label=1), source="s")
    place = {"artifact_uri": "x", "artifact_digest": "sha256:" + "1" * 64}
    promoted = new_envelope(
        Promoted(model_name="m", model_version=1, epoch=1, cause=Cause.GATE, actor="a", **place), source="s"
    )
    arm = ArmSums(model_version=1)
    now = datetime.now(UTC)
    totals = new_envelope(
        RolloutMeasured(
            model_name="m", rollout_id="r", step=0, champion=arm, tried=arm, counted_from=now, measured_at=now
        ),
        source="s",
    )
    queue = Jobs(database, owner="a")
    with database.transaction() as session:
        for event in (*registered, label, promoted, totals):
            assert first_time(session, event)
        for number in range(1200):
            queue.enqueue(session, kind="k", key=f"k{number}", payload={}, job_id=f"j{number}")
    with database.transaction() as session:
        session.execute(
            update(JobRow).where(JobRow.id.in_(["j0", "j1"])).values(state="running", holder="a", attempts=1)
        )
        done = JobRow.id.not_in(["j0", "j1", "j2"])
        session.execute(update(JobRow).where(done).values(state="done", ended_at=datetime.now(UTC)))

    def left(days: float) -> tuple[set[str], int]:
        Pruning(database, lambda: datetime.now(UTC) + timedelta(days=days)).prune()
        with database.reading() as session:
            types = set(session.scalars(select(InboxRow.type)))
            return types, len(session.scalars(select(JobRow)).all())

    everything = {ModelRegistered.type, GroundTruthReceived.type, Promoted.type}
    assert left(0) == (everything | {RolloutMeasured.type}, 1200)
    assert left(2) == (everything, 1200), "totals change nothing when they are handled again"
    assert left(20) == (everything, 1200), "within the margin of its topic's week"
    assert left(22) == (everything - {GroundTruthReceived.type}, 1200)
    assert left(103) == (everything - {GroundTruthReceived.type}, 1200)
    assert left(105) == ({Promoted.type}, 3), "the topic promoted keeps its records for ever, and a job is not lost"
    with database.transaction() as session:
        assert not first_time(session, promoted)


def test_jobs_that_move_to_the_end_keep_their_order_and_content(database: Database) -> None:
    queue = Jobs(database, owner="a")
    with database.transaction() as session:
        for number in range(5):
            queue.enqueue(session, kind="k", key="m", payload={"number": number}, job_id=f"j{number}")
    first = queue.claim(["k"])
    assert first is not None and first.id == "j0"
    with database.transaction() as session:
        queue.move_to_end(session, ["j0", "j2", "j1"])  # one that runs stays
        queue.end_queued(session, ["j4"])
        queue.end(session, first)
    order = []
    while job := queue.claim(["k"]):
        order.append((job.id, job.payload["number"]))
        with database.transaction() as session:
            queue.end(session, job)
    assert order == [("j3", 3), ("j2", 2), ("j1", 1)]


def test_sqlite_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Also one that an earlier version made, whatever the umask."""
    before = os.umask(0o022)
    try:
        older = tmp_path / "older.db"
        older.touch(0o644)
        for file in (tmp_path / "new.db", older):
            database = Database(f"sqlite:///{file}")
            database.migrate("chassis")
            with database.transaction() as session:
                first_time(session, new_envelope(ModelRegistered(model_name="m", model_version=1), source="s"))
                modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob(f"{file.name}*")}
            assert {file.name, f"{file.name}-wal", f"{file.name}-shm"} <= modes.keys()
            assert set(modes.values()) == {0o600}, modes
    finally:
        os.umask(before)
