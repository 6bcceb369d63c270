"""The event log: every lifecycle event once, none that was forged, and no more of them than are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from chassis.database import Database
from chassis.pruning import Pruning
from chassis.signing.keys import SigningKey
from contracts import (
    DriftDetected,
    DriftKind,
    DriftWindow,
    Envelope,
    Promoted,
    RolloutMeasured,
    TrainingFailed,
    new_envelope,
)
from contracts.cloudevents import Record, encode
from gatekeeper.database import event_log
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.kept_events import KeepingOutbox
from gatekeeper.stories.intake import EventLog
from support.bus_client import BusClient
from support.databases import on_postgres
from support.gatekeepers import Gatekeepers
from support.signed_topics import forged, signed_by, trusting
from support.waiting import eventually

LIMIT = 1_000_000


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    found = Database(database_url)
    found.migrate("gatekeeper")
    yield found
    found.close()


def promoted(**changes: Any) -> Promoted:
    fields = {"model_name": "m", "model_version": 1, "epoch": 1, "artifact_uri": "file:///m"}
    more = {"artifact_digest": "sha256:" + "0" * 64, "cause": "gate", "actor": "gatekeeper"}
    return Promoted.model_validate(fields | more | changes)


def measured(total: int) -> RolloutMeasured:
    now = datetime.now(UTC)
    arm = {"model_version": 1}
    fields = {"model_name": "m", "rollout_id": "r", "step": 1, "champion": arm, "tried": arm, "compared": total}
    return RolloutMeasured.model_validate(fields | {"counted_from": now, "measured_at": now})


def drifted(model_name: str) -> DriftDetected:
    now = datetime.now(UTC)
    window = DriftWindow(id="w", rows=10, start=now, end=now)
    return DriftDetected(model_name=model_name, model_version=1, kind=DriftKind.DATA, window=window, reason="it moved")


def record_of(envelope: Envelope[Any]) -> Record:
    key, value, headers = encode(envelope)
    return Record(envelope.data.topic, key, value, headers)


def take(database: Database, intake: EventLog, *records: Record) -> None:
    batch = [intake.read(record, LIMIT) for record in records]
    with database.transaction() as session:
        intake.on_events(session, batch)


def ids(database: Database) -> list[str]:
    with database.reading() as session:
        return [row.event_id for row in event_log.after(session, 0)]


def test_an_event_is_recorded_once_and_a_reader_of_what_follows_misses_none(database: Database) -> None:
    intake = EventLog(database, None, timedelta(days=90))
    failed = TrainingFailed(model_name="m", job_id="j", reason="because")
    first, second, third = (new_envelope(failed, source="trainer", correlation_id="c" * 3000) for _ in range(3))
    take(database, intake, record_of(first), record_of(first), record_of(second))
    take(database, intake, record_of(second), record_of(third))
    assert ids(database) == [first.id, second.id, third.id]
    with database.reading() as session:
        assert event_log.newest_id(session) == event_log.after(session, 0)[-1].id
        assert len(event_log.of_story(session, "c" * event_log.LONGEST_ID)) == 3


def test_what_cannot_be_stored_or_read_stops_nothing(database: Database) -> None:
    intake = EventLog(database, None, timedelta(days=90))
    good = new_envelope(promoted(), source="gatekeeper")
    nul = new_envelope(promoted(actor="a\0b"), source="gatekeeper")
    long = new_envelope(promoted(reason="r" * 100_000), source="gatekeeper", correlation_id="é" * 5_000)
    wrong = Record(Promoted.topic, b"m", b"{", ())
    tombstone = Record(Promoted.topic, b"m", None, ())
    take(database, intake, wrong, record_of(nul), tombstone, record_of(long), record_of(good))
    assert ids(database) == [long.id, good.id]


def test_of_totals_the_newest_stays_with_a_new_id(database: Database) -> None:
    intake = EventLog(database, None, timedelta(days=90))
    totals = [new_envelope(measured(number), source="drift") for number in range(5)]
    take(database, intake, *map(record_of, totals[:3]))
    with database.reading() as session:
        before = event_log.newest_id(session)
    take(database, intake, record_of(totals[3]))
    take(database, intake, record_of(totals[4]))
    with database.reading() as session:
        [row] = event_log.after(session, before)
        assert row.event_id == totals[4].id and row.data["compared"] == 4
    assert ids(database) == [totals[4].id]


def test_a_forged_decision_is_in_no_story_and_our_own_of_before_signing_is(database: Database) -> None:
    ours, foreign = SigningKey.generate(), SigningKey.generate()
    intake = EventLog(database, trusting(ours), timedelta(days=90))
    genuine = signed_by(promoted(), ours)
    signed = Record(Promoted.topic, *genuine)
    claim = promoted(epoch=7, actor="mallory")
    kinds = forged(signed, claim, foreign)
    take(database, intake, *(Record(Promoted.topic, *each) for each in kinds.values()))
    assert ids(database) == []
    with database.transaction() as session:
        before_keys = KeepingOutbox("gatekeeper").emit(session, promoted(epoch=2))
    changed = before_keys.model_copy(update={"data": promoted(epoch=2, actor="mallory")})
    take(database, intake, record_of(changed), signed, record_of(before_keys))
    assert ids(database) == [dict(genuine.headers)["ce_id"].decode(), before_keys.id]


def test_old_events_are_pruned_but_the_last_so_that_ids_go_on(database: Database) -> None:
    intake = EventLog(database, None, timedelta(days=90))
    events = [new_envelope(promoted(epoch=number), source="gatekeeper") for number in range(1, 1200)]
    take(database, intake, *map(record_of, events))
    with database.reading() as session:
        newest = event_log.newest_id(session)
    for days, left in ((89, 1199), (91, 1)):
        later = datetime.now(UTC) + timedelta(days=days)
        Pruning(database, lambda later=later: later, more=[intake.prune]).prune()
        with database.reading() as session:
            assert session.scalar(select(func.count()).select_from(EventLogRow)) == left
    take(database, intake, record_of(new_envelope(promoted(), source="gatekeeper")))
    with database.reading() as session:
        assert len(event_log.after(session, newest)) == 1


def test_events_of_other_services_reach_a_running_gatekeeper(gatekeeper: Gatekeepers, bus: BusClient) -> None:
    name = f"logged-{uuid4().hex[:8]}"
    drift = drifted(name)
    sent = bus.publish(drift, times=2)
    failed = bus.publish(TrainingFailed(model_name=name, job_id="j", reason="because"), times=2)
    database = Database(gatekeeper.database_url)

    def found() -> list[Any]:
        with database.reading() as session:
            rows = session.scalars(select(EventLogRow).where(EventLogRow.model_name == name)).all()
        return list(rows) if len(rows) == 2 else []

    rows = {row.event_id: row for row in eventually(found, timeout=30)}
    database.close()
    assert rows.keys() == {sent.id, failed.id}
    assert rows[sent.id].data == drift.model_dump(mode="json") and rows[sent.id].type == "DriftDetected"
    assert not [letter for letter in bus.dead_letters().values() if letter.topic == DriftDetected.topic]
    metrics = gatekeeper.client.get(f"{gatekeeper.url()}/metrics").text
    assert re.search(rf'gauntlet_stream_lag{{partition="\d",topic="{DriftDetected.topic}"}} 0.0', metrics)


@on_postgres
def test_a_new_database_fills_itself_and_a_death_loses_nothing(gatekeepers: Gatekeepers, own_bus: BusClient) -> None:
    failed = [TrainingFailed(model_name=f"m{number}", job_id="j", reason="because") for number in range(20)]
    sent = [own_bus.publish(event).id for event in failed]
    gatekeepers.start(dying_at="before_commit")
    eventually(lambda: gatekeepers.processes[-1].poll() is not None, timeout=60)
    gatekeepers.start_ready(dying_at="from_outside")
    database = Database(gatekeepers.database_url)
    eventually(lambda: len(ids(database)) >= len(sent), timeout=60)
    assert sorted(ids(database)) == sorted(sent)
    database.close()
