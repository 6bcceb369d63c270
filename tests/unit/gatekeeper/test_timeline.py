"""Timelines and audit pages in both databases: every row once, newest first, whatever the size of a page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from chassis.database import Database
from gatekeeper.database import audit_pages, queries, timeline
from gatekeeper.database.audit_pages import Filter
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.tables import CandidateRow, PromotionRow
from gatekeeper.database.timeline import Place

BEGAN = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate("gatekeeper")
    yield database
    database.close()


def version(number: int, at: datetime, model: str = "m") -> CandidateRow:
    return CandidateRow(
        id=f"{model}-v{number}",
        model_name=model,
        model_version=number,
        state="passed",
        event={"correlation_id": f"story-{number}"},
        registered_at=at,
        metrics={},
        evidence={},
    )


def promotion(epoch: int, number: int, at: datetime, model: str = "m") -> PromotionRow:
    return PromotionRow(
        model_name=model,
        epoch=epoch,
        model_version=number,
        cause="gate",
        actor="gatekeeper",
        promoted_at=at,
        restored=False,
        event_id=f"p{epoch}",
        event={"reason": f"because {epoch}", "previous_version": None},
    )


@pytest.mark.parametrize("limit", [1, 3, 4, 100])
def test_pages_together_are_all_versions_and_promotions_once_newest_first(database: Database, limit: int) -> None:
    with database.transaction() as session:
        for number in range(1, 8):
            at = BEGAN + timedelta(hours=number // 2)  # two of the same moment, to the microsecond
            session.add_all([version(number, at), promotion(number, number, at), version(number, at, "other")])
    found, before = [], None
    while True:
        with database.reading() as session:
            entries, more = timeline.page(session, "m", limit, before)
        assert len(entries) == limit or not more
        found += [entry.place for entry in entries]
        if not more:
            break
        before = Place.read(str(entries[-1].place))
    assert found == sorted(found, reverse=True) and len(found) == len(set(found)) == 14
    assert [place.number for place in found if place.kind == timeline.VERSION] == [7, 6, 5, 4, 3, 2, 1]


def test_what_an_entry_has(database: Database) -> None:
    with database.transaction() as session:
        session.add_all([version(1, BEGAN), promotion(1, 1, BEGAN)])
        log = {"source": "gatekeeper", "event_id": "p1", "type": "Promoted", "model_name": "m", "data": {}}
        session.add(EventLogRow(**log, correlation_id="story-1", at=BEGAN, received_at=BEGAN))
    with database.reading() as session:
        (promoted, registered), more = timeline.page(session, "m", 9)
        assert not more and promoted.is_promotion and not registered.is_promotion
        assert (promoted.row.reason, promoted.row.previous_version) == ("because 1", None)
        assert registered.row.correlation_id == "story-1"
        assert timeline.stories(session, ["p1", "p2"]) == {"p1": "story-1"}
        assert timeline.champions_among(session, "m", [1, 2]) == {1}


@pytest.mark.parametrize("text", ["", "1.2.3", "x", "1.0", "-1.0.1", "1.0.1 ", "1.0.99999999999"])
def test_a_place_that_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no place in a timeline"):
        Place.read(text)


def write(session: Session, number: int) -> None:
    queries.add_audit(
        session,
        ("judged", "promoted")[number % 2],
        ("a", "b", "c")[number % 3],
        1,
        actor=("ann", "ben")[number % 5 == 0],
        reason=str(number),
    )


FILTERS = (
    Filter(),
    Filter("a"),
    Filter(actor="ben"),
    Filter(action="judged"),
    Filter("b", "ben", "judged"),
    Filter("x"),
)


@pytest.mark.parametrize("looked_through", [10, 60, 2000])
def test_pages_of_the_audit_trail_together_are_what_fits(
    database: Database, looked_through: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_pages, "AT_ONCE", 7)
    monkeypatch.setattr(audit_pages, "LOOKED_THROUGH", looked_through)
    with database.transaction() as session:
        for number in range(1, 101):
            write(session, number)
    for wanted in FILTERS:
        for sees in (lambda _: True, lambda model: model != "b"):
            found, before, more = [], None, True
            while more:
                with database.reading() as session:
                    page = audit_pages.page(session, wanted, 5, before, sees)
                    assert len(page.rows) <= 5 and page.looked_through < looked_through + 7
                    found += [row.sequence for row in page.rows]
                before, more = page.older, page.older is not None
            with database.reading() as session:
                everything = queries.audit(session, None, 1000)
                assert found == [row.sequence for row in everything if wanted.fits(row) and sees(row.model_name)]


def test_the_head_is_the_last_row(database: Database) -> None:
    with database.transaction() as session:
        write(session, 1)
    with database.reading() as session:
        (row,) = audit_pages.page(session, Filter(), 5).rows
        assert audit_pages.head_of(session) == (1, row.digest)
