"""The audit trail in both databases: what was written verifies, what was tampered with is found, writers take turns."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.orm import Session

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base, Database
from chassis.errors import Permanent
from gatekeeper.database import audit_trail, kept_events, queries
from gatekeeper.database.tables import AuditHeadRow, AuditRow
from gatekeeper.offline.trail import Export, verify_trail
from gatekeeper.policy.hash_chain import GENESIS, Kind, Proof

OURS = {"models", "candidates", "verdicts", "promotions", "audit", "audit_head", "replicas"} | {
    "earlier_verdicts",
    "registrations",
    kept_events.KeptEventRow.__tablename__,
}
CHANGED_AT = "UPDATE audit SET at = at + interval '1 second' WHERE sequence = 5"
AWKWARD = {
    "floats": [0.1, 1e23, -0.0, 1e-320, 2.0, 1.7976931348623157e308],
    "text": 'Zoë 😀 \\ "',
    "deep": {"b": [None]},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate("gatekeeper")
    yield database
    database.close()


def add(session: Session, number: int = 1, model: str = "m") -> None:
    evidence = {"k": number, **AWKWARD}
    queries.add_audit(session, "judged", model, number, actor="ann", reason=f"why {number}", evidence=evidence)


@pytest.fixture
def written(database: Database) -> Database:
    with database.transaction() as session:
        for number in range(1, 7):
            add(session, number)
    with database.transaction() as session:
        add(session, 7)
    return database


def proof(database: Database, noted: str | None = None) -> Proof:
    with database.reading() as session:
        return audit_trail.verified(session, noted)


def tamper(database: Database, *statements: str) -> None:
    with database.transaction() as session:
        for statement in statements:
            session.execute(text(statement))


def test_what_was_written_verifies_to_the_head(written: Database) -> None:
    found = proof(written)
    assert (found.broken, found.rows) == (None, 7)
    with written.reading() as session:
        head = session.get_one(AuditHeadRow, 1)
        assert (head.count, head.digest) == (7, found.digest)
        assert [row.sequence for row in queries.audit(session, "m", 2)] == [7, 6]
    assert proof(written, found.digest).noted_at == 7
    assert proof(written, "sha256:" + "1" * 64).noted_at is None


def exported(database: Database, path: Path) -> Export:
    path.write_text("".join(audit_trail.lines(database)))
    return Export(path)


def test_an_export_has_every_row_and_verifies_as_the_trail_does(
    written: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_trail, "ROWS_AT_ONCE", 3)
    found = exported(written, tmp_path / "trail.jsonl")
    with written.reading() as session:
        assert list(found) == list(audit_trail._entries(session, 1))
    assert verify_trail(found, [], None)["broken"] is None
    tamper(written, "UPDATE audit SET at = 'never' WHERE sequence = 5" if written.is_sqlite else CHANGED_AT)
    broken = verify_trail(exported(written, tmp_path / "broken.jsonl"), [], None)["broken"]
    assert (broken["sequence"], broken["kind"]) == (5, "changed")


def test_what_is_no_complete_export_is_refused(written: Database, tmp_path: Path) -> None:
    path = tmp_path / "trail.jsonl"
    exported(written, path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(Permanent, match="its last line is no head"):
        Export(path)
    with pytest.raises(Permanent, match="cannot be read"):
        Export(tmp_path / "none")


def test_an_empty_trail_is_whole(database: Database) -> None:
    assert proof(database) == Proof(0, GENESIS, None, None)


def test_several_rows_of_one_transaction_are_linked_and_gone_with_it(database: Database) -> None:
    with pytest.raises(RuntimeError), database.transaction() as session:
        add(session, 1)
        raise RuntimeError
    with database.transaction() as session:
        add(session, 1)
        add(session, 2)
    assert (proof(database).rows, proof(database).broken) == (2, None)


SWAP = (
    "UPDATE audit SET sequence = -1 WHERE sequence = 3",
    "UPDATE audit SET sequence = 3 WHERE sequence = 5",
    "UPDATE audit SET sequence = 5 WHERE sequence = -1",
)
FORGE = (
    "INSERT INTO audit SELECT 8, at, 'eve', action, model_name, model_version, reason, evidence, correlation_id, "
    "digest, 'sha256:00' FROM audit WHERE sequence = 7"
)

BROKEN: dict[str, tuple[tuple[str, ...], int, Kind]] = {
    "changed actor": (("UPDATE audit SET actor = 'eve' WHERE sequence = 4",), 4, Kind.CHANGED),
    "changed version": (("UPDATE audit SET model_version = 9 WHERE sequence = 4",), 4, Kind.CHANGED),
    "reason made empty": (("UPDATE audit SET reason = '' WHERE sequence = 1",), 1, Kind.CHANGED),
    "changed evidence": (("UPDATE audit SET evidence = '{}' WHERE sequence = 7",), 7, Kind.CHANGED),
    "changed digest": (("UPDATE audit SET digest = 'sha256:00' WHERE sequence = 4",), 4, Kind.CHANGED),
    "missing row in the middle": (("DELETE FROM audit WHERE sequence = 4",), 4, Kind.MISSING),
    "missing and closed up": (
        ("DELETE FROM audit WHERE sequence = 6", "UPDATE audit SET sequence = 6 WHERE sequence = 7"),
        6,
        Kind.MISSING,
    ),
    "missing last row": (("DELETE FROM audit WHERE sequence = 7",), 7, Kind.TRUNCATED),
    "missing last row, head set back by number only": (
        ("DELETE FROM audit WHERE sequence = 7", "UPDATE audit_head SET count = 6"),
        6,
        Kind.CHANGED,
    ),
    "all rows gone": (("DELETE FROM audit",), 1, Kind.TRUNCATED),
    "head gone": (("DELETE FROM audit_head",), 8, Kind.TRUNCATED),
    "swapped rows": (SWAP, 3, Kind.REORDERED),
    "forged row appended": ((FORGE,), 8, Kind.CHANGED),
}


@pytest.mark.parametrize(("statements", "sequence", "kind"), BROKEN.values(), ids=BROKEN.keys())
def test_tampering_is_found(written: Database, statements: tuple[str, ...], sequence: int, kind: Kind) -> None:
    tamper(written, *statements)
    found = proof(written)
    assert found.broken is not None
    assert (found.broken.sequence, found.broken.kind) == (sequence, kind), found.broken.what


def test_a_forged_row_with_a_right_digest_is_found_by_the_head(written: Database) -> None:
    with written.transaction() as session:
        count, digest = session.get_one(AuditHeadRow, 1).count, session.get_one(AuditHeadRow, 1).digest
        add(session, 8)
    with written.transaction() as session:
        head = session.get_one(AuditHeadRow, 1)
        head.count, head.digest = count, digest
    broken = proof(written).broken
    assert broken is not None
    assert (broken.sequence, broken.kind) == (8, Kind.ADDED)


@pytest.mark.parametrize("garbage", ["evidence = 'no json'", "at = 'yesterday'", "at = 7"])
def test_a_row_that_cannot_even_be_read_is_a_changed_row(tmp_path: Path, garbage: str) -> None:
    """SQLite keeps anything in any column."""
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate("gatekeeper")
    with database.transaction() as session:
        for number in range(1, 8):
            add(session, number)
    tamper(database, f"UPDATE audit SET {garbage} WHERE sequence = 4")
    broken = proof(database).broken
    assert broken is not None
    assert (broken.sequence, broken.kind) == (4, Kind.CHANGED)
    database.close()


def test_writers_of_many_models_take_turns(database: Database, database_url: str) -> None:
    replicas = [database, Database(database_url)]
    barrier = threading.Barrier(6)
    errors: list[Exception] = []

    def write(writer: int) -> None:
        barrier.wait()
        try:
            for number in range(1, 11):
                with replicas[writer % 2].transaction() as session:
                    queries.lock(session, f"m{writer}")
                    add(session, number, f"m{writer}")
        except Exception as error:
            errors.append(error)

    run_all([lambda writer=writer: write(writer) for writer in range(6)])
    assert errors == []
    assert (proof(database).rows, proof(database).broken) == (60, None)
    replicas[1].close()


def test_verifying_while_others_write_sees_one_moment(database: Database) -> None:
    done = threading.Event()
    seen: list[Proof] = []

    def write() -> None:
        for number in range(1, 61):
            with database.transaction() as session:
                add(session, number)
        done.set()

    def read() -> None:
        while not done.is_set():
            seen.append(proof(database))

    run_all([write, read])
    assert all(found.broken is None for found in seen), [found.broken for found in seen if found.broken]
    assert proof(database).rows == 60


def run_all(tasks: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=task) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_migrations_make_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _, name, kind, *__: kind != "table" or name in OURS}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_rows_of_before_the_chain_are_chained_in_their_order(database_url: str, monkeypatch) -> None:
    """A database as 0001 left it: ids with gaps, floats as the JSON of that database gives them back."""
    database = Database(database_url)
    with monkeypatch.context() as patch:
        patch.setattr("alembic.command.upgrade", _only("0001"))
        database.migrate("gatekeeper")
    old = sa.table(
        "audit",
        *(sa.column(name) for name in ("actor", "action", "model_name", "model_version", "reason", "correlation_id")),
        sa.column("id", BigId),
        sa.column("at", UtcDateTime),
        sa.column("evidence", Json),
    )
    at = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    rows = [
        {
            "id": number,
            "at": at + timedelta(seconds=number),
            "actor": "ann",
            "action": "judged",
            "model_name": "m",
            "model_version": None,
            "reason": f"row {number}",
            "evidence": AWKWARD,
            "correlation_id": None,
        }
        for number in (3, 4, 9, 12)
    ]
    with database.transaction() as session:
        session.execute(sa.insert(old), rows)
    database.migrate("gatekeeper")
    assert (proof(database).rows, proof(database).broken) == (4, None)
    with database.transaction() as session:
        add(session, 5)
    with database.reading() as session:
        found = session.scalars(sa.select(AuditRow).order_by(AuditRow.sequence)).all()
        assert [row.reason for row in found] == ["row 3", "row 4", "row 9", "row 12", "why 5"]
        assert [row.sequence for row in found] == [1, 2, 3, 4, 5]
        assert found[0].at == rows[0]["at"]
    assert (proof(database).rows, proof(database).broken) == (5, None)
    database.close()


def _only(revision: str) -> Callable[..., None]:
    import alembic.command

    upgrade = alembic.command.upgrade

    def to_revision(config, target: str) -> None:
        of_gatekeeper = config.attributes["version_table"].endswith("gatekeeper")
        upgrade(config, revision if of_gatekeeper else target)

    return to_revision
