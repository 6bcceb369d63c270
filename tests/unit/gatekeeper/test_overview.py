"""The read model of the first page and of the list of models, on both databases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select, update

from chassis.database import Database
from gatekeeper.database import queries
from gatekeeper.database.model_rows import epochs_of, rows_of
from gatekeeper.database.overview import overview
from gatekeeper.database.tables import CandidateCountRow, CandidateRow, RegistrationRow, VerdictRow
from gatekeeper.policy.attention import Kind
from support.big_database import BigDatabase

BIG = BigDatabase(models=50, versions=450, audits=50)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    BIG.fill(database)
    yield database
    database.close()


def test_what_is_read_of_many_models_is_what_is_read_of_each(database: Database) -> None:
    with database.reading() as session:
        assert queries.model_names(session) == set(BIG.names)
        assert queries.distinct(session, CandidateRow.model_name) == BIG.names
        assert queries.has_rows(session, BIG.names[0]) and not queries.has_rows(session, "unknown")
        for name, rows in rows_of(session, [*BIG.names, "unknown"]).items():
            champion, challenger = queries.champion(session, name), queries.challenger(session, name)
            assert (rows.champion, rows.challenger, rows.model) == (champion, challenger, queries.model(session, name))
            assert list(rows.replicas) == list(queries.replicas(session, name))
            if challenger is not None:
                assert list(rows.challenger_epochs) == queries.epochs_of(session, name, challenger.model_version)
        found = queries.candidates(session, BIG.names[0], 5)
        epochs = epochs_of(session, ((row.model_name, row.model_version) for row in found))
        for row in found:
            own = queries.epochs_of(session, row.model_name, row.model_version)
            assert epochs.get((row.model_name, row.model_version), []) == own


def test_the_database_keeps_how_many_versions_are_in_a_state(database: Database) -> None:
    def counted() -> dict[tuple[str, str], int]:
        query = select(CandidateRow.model_name, CandidateRow.state, func.count())
        with database.reading() as session:
            rows = session.execute(query.group_by(CandidateRow.model_name, CandidateRow.state)).all()
            kept = session.scalars(select(CandidateCountRow).where(CandidateCountRow.versions != 0))
            assert {(row.model_name, row.state): row.versions for row in kept} == {
                (name, state): count for name, state, count in rows
            }
            return {(name, state): count for name, state, count in rows}

    before, name = counted(), BIG.names[0]
    with database.transaction() as session:
        row = session.get_one(CandidateRow, f"{name}-v2")
        row.state = "superseded"
        session.flush()
        row.reason = "another"
        session.execute(update(CandidateRow).where(CandidateRow.model_name == BIG.names[1]).values(state="passed"))
    assert counted()[name, "superseded"] == 1
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.execute(update(CandidateRow).values(state="gating"))
        session.flush()
        raise ZeroDivisionError
    assert counted()[name, "failed"] == before[name, "failed"] - 1
    gone = BIG.names[2]
    with database.transaction() as session:
        for column in (VerdictRow.candidate_id, RegistrationRow.candidate_id, CandidateRow.id):
            session.execute(delete(column.class_).where(column.startswith(f"{gone}-")))
    assert gone not in {model for model, _ in counted()}


def test_what_needs_somebody_is_what_is_current_whatever_the_past(database: Database) -> None:
    with database.reading() as session:
        page = overview(session, BIG.policies(), lambda _: True, BIG.now)
        mine = overview(session, BIG.policies(), lambda name: name == BIG.names[0], BIG.now)
        later = overview(session, BIG.policies(), lambda _: True, BIG.now + timedelta(days=30))
        everything = overview(session, BIG.policies(), lambda _: True, BIG.now, everything=True)
    kinds = Counter(item.kind for item in page.needs)
    assert kinds[Kind.APPROVAL] == 10 and kinds[Kind.LOAD_FAILED] == 3 and kinds[Kind.JOB] == 2
    assert {Kind.ROLLOUT, Kind.TRAINING, Kind.DRIFT, Kind.HELD} <= kinds.keys()
    line = page.models[0]
    assert line.rollout is not None and (line.rollout.stage, line.rollout.given, line.rollout.people) == (
        "approval",
        1,
        2,
    )
    assert line.champion is not None and line.champion.model_version == BIG.champion
    assert mine.models == (line,) and {item.model_name for item in mine.needs} <= {BIG.names[0]}
    assert {item.kind for item in later.needs} == {Kind.LOAD_FAILED, Kind.APPROVAL, Kind.HELD, Kind.DEAD_LETTERS}
    assert kinds[Kind.DEAD_LETTERS] == 5 and kinds[Kind.NOTIFICATIONS] == 0, "what is of no model is not for everybody"
    assert [item.reason for item in mine.needs if item.kind is Kind.DEAD_LETTERS] == [
        "2 messages could not be handled, the last by drift, from predictions: ValidationError: 1 validation error for"
        " PredictionMade rows Field required"
    ]
    more = set(everything.needs) - set(page.needs)
    assert {(item.kind, item.model_name, item.subject) for item in more} == {
        (Kind.DEAD_LETTERS, "", ""),
        (Kind.NOTIFICATIONS, "", "chat"),
    }
