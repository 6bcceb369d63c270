"""The live feed: what changed is found whichever transaction commits first, and no reader makes anything grow."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from chassis.auth.access import Caller
from chassis.auth.identity import ANONYMOUS, Identity, Method
from chassis.auth.roles import Role, Rule
from chassis.database import Database
from chassis.http import Problem
from chassis.jobs import DONE, QUEUED, RUNNING, JobRow
from gatekeeper.console import live
from gatekeeper.console.live import MOST_NAMED, MOST_OF_A_CALLER, MOST_STREAMS, Listener, LiveFeed
from gatekeeper.database import queries
from gatekeeper.database.changes import AUDIT, EVERYTHING, JOB, LONGEST_GAP, MOST, SETTLED, Change, Changes, since
from gatekeeper.database.event_log import EventLogRow

NOW = datetime(2020, 12, 1, 12, tzinfo=UTC)
EVERYBODY = Caller(ANONYMOUS, ())
ANN = Caller(Identity("ann", Method.TOKEN), (Rule(role=Role.VIEWER, subjects=("ann",), models=("mine*",)),))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate("gatekeeper")
    yield database
    database.close()


def event(database: Database, number: int, model: str = "m", **more: Any) -> None:
    row = {"id": number, "source": "s", "event_id": str(number), "type": "Promoted", "model_name": model, "data": {}}
    row |= {"correlation_id": "c", "at": NOW, "received_at": NOW} | more
    with database.transaction() as session:
        session.execute(insert(EventLogRow), row)


def job(database: Database, key: str, state: str = QUEUED) -> int:
    row = {"id": f"{key}-{state}", "kind": "gate", "key": key, "payload": {}, "state": state, "attempts": 1}
    row |= {"takeovers": 0, "not_before": NOW, "created_at": NOW}
    with database.transaction() as session:
        return int(session.execute(insert(JobRow).values(row).returning(JobRow.sequence)).scalar_one())


def test_what_commits_late_with_a_smaller_number_is_found_too(database: Database) -> None:
    changes, now = Changes(), NOW

    def look(later: timedelta = timedelta(0)) -> list[Change]:
        nonlocal now
        now += later
        with database.reading() as session:
            return changes.look(session, now)

    event(database, 1)
    assert look() == []  # what a page shows already
    event(database, 5, "five")
    assert look() == [Change("five", "Promoted")]
    assert look() == []
    event(database, 3, "three")
    assert look(SETTLED) == [Change("three", "Promoted")]
    event(database, 4, "four")
    assert look(SETTLED) == [Change("four", "Promoted")]
    assert look(SETTLED) == look(SETTLED) == []
    event(database, 6, "six", type="DriftDetected")
    assert look() == [Change("six", "DriftDetected")]


def test_decisions_and_jobs_are_found(database: Database) -> None:
    changes = Changes()

    def look() -> set[Change]:
        with database.reading() as session:
            return set(changes.look(session, NOW))

    look()
    with database.transaction() as session:
        queries.add_audit(session, "frozen", "m", None, actor="ann", reason="why")
    number = job(database, "queued")
    assert look() == {Change("m", AUDIT), Change("queued", JOB)}
    for values in ({"state": RUNNING}, {"progress": 0.5}, {"message": "measures"}, {"state": DONE}):
        with database.transaction() as session:
            session.execute(update(JobRow).where(JobRow.sequence == number).values(**values))
        assert look() == {Change("queued", JOB)}, values
    assert look() == set()


def test_more_than_can_be_named_is_everything(database: Database) -> None:
    changes = Changes()
    with database.transaction() as session:
        changes.look(session, NOW)
        rows = [
            {"source": "s", "event_id": str(n), "type": "Promoted", "model_name": f"m{n}", "correlation_id": "c"}
            | {"at": NOW, "received_at": NOW, "data": {}}
            for n in range(MOST)
        ]
        session.execute(insert(EventLogRow), rows)
        assert changes.look(session, NOW) == [EVERYTHING]
        assert changes.look(session, NOW) == []


def test_what_changed_since_a_page_was_made(database: Database) -> None:
    event(database, 1, "before", received_at=NOW - timedelta(minutes=5))
    event(database, 2, "after", received_at=NOW + timedelta(seconds=1))
    with database.transaction() as session:
        queries.add_audit(session, "frozen", "decided", None, actor="ann", reason="why")
    with database.reading() as session:
        audited = datetime.now(UTC)
        assert since(session, NOW, NOW) == [Change("after", "Promoted"), Change("decided", AUDIT)]
        assert since(session, audited, audited) == [Change("decided", AUDIT)]
        assert since(session, NOW - LONGEST_GAP - timedelta(seconds=1), NOW) == [EVERYTHING]


def listener(caller: Caller = EVERYBODY, known: Callable[[], Caller | None] = lambda: EVERYBODY) -> Listener:
    return Listener(caller, known)


def told(message: str) -> Any:
    fields = dict(line.split(": ", 1) for line in message.strip().splitlines())
    assert fields["event"] == "change"
    return json.loads(fields["data"])


def test_a_reader_that_takes_nothing_gets_one_message() -> None:
    reader = listener()
    for number in range(10 * MOST_NAMED):
        reader.add([Change(f"m{number % 3}", "Promoted"), Change(f"m{number % 2}", AUDIT)])
    assert told(reader.take()) == {"models": ["m0", "m1", "m2"], "types": [AUDIT, "Promoted"]}
    assert not reader.news.is_set()
    reader.add([Change(f"m{number}", "Promoted") for number in range(10 * MOST_NAMED)])
    assert told(reader.take()) == {"models": ["*"], "types": ["Promoted"]}


def test_a_reader_learns_of_models_that_they_may_read() -> None:
    reader = listener(ANN)
    reader.add([Change("theirs", "Promoted")])
    assert not reader.news.is_set()
    reader.add([Change("theirs", "Promoted"), Change("mine-1", "GatePassed"), EVERYTHING])
    assert told(reader.take()) == {"models": ["*", "mine-1"], "types": ["*", "GatePassed"]}


def test_a_stream_holds_while_its_token_and_roles_do() -> None:
    assert listener().holds()
    assert not listener(ANN, lambda: None).holds()
    assert not listener(ANN, lambda: Caller(ANN.identity, (*ANN.rules, *ANN.rules))).holds()


@pytest.mark.parametrize(("caller", "most", "status"), [(ANN, MOST_OF_A_CALLER, 429), (EVERYBODY, MOST_STREAMS, 503)])
def test_open_pages_are_limited(tmp_path: Any, caller: Caller, most: int, status: int) -> None:
    async def opened() -> Problem:
        database = Database(f"sqlite:///{tmp_path / 'test.db'}")
        await asyncio.to_thread(database.migrate, "gatekeeper")
        feed = LiveFeed(database)
        with pytest.raises(Problem) as early:
            feed.open(listener(caller))
        assert early.value.status == 503
        await feed.start()
        held = [listener(caller) for _ in range(most)]
        for each in held:
            feed.open(each)
        with pytest.raises(Problem) as refused:
            feed.open(listener(caller))
        feed.close(held[0])
        feed.open(listener(caller))
        await feed.stop()
        database.close()
        return refused.value

    refused = asyncio.run(opened())
    assert refused.status == status
    assert refused.headers == {"Retry-After": "60"}


def test_a_quiet_stream_says_that_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.001)

    async def messages() -> list[str]:
        reader, found = listener(), []
        async for message in live._messages(reader):
            found.append(message)
            if len(found) == 3:
                reader.end()
        return found

    assert asyncio.run(messages()) == ["retry: 2000\n\n", ": open\n\n", ": open\n\n"]
