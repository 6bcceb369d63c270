"""What leaves both databases, and what stays: rows, labels, windows and reports, by age and by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update

from drift.database.tables import LabelRow, PlaceRow, ReportRow, WindowRow
from support.drift_bench import Bench
from support.drifting import customers, predictions, truths

SIZE = 2000


def test_labels_that_never_come_are_waited_for_no_longer_than_set(database_url):
    bench = Bench(database_url, label_maturity="1h")
    bench.promote()
    bench.predict(predictions(customers(2000, 1)))
    bench.keeper.sweep()
    assert ("performance", "shop-v1-w1") not in bench.jobs()
    with bench.database.transaction() as session:
        session.execute(update(WindowRow).values(closed_at=datetime.now(UTC) - timedelta(hours=1, seconds=1)))
    bench.keeper.sweep()
    bench.keeper.sweep()
    assert bench.jobs().count(("performance", "shop-v1-w1")) == 1


def test_rows_of_old_windows_leave_and_a_replay_does_not_bring_them_back(database_url):
    bench = Bench(database_url, windows_kept=1)
    bench.promote()
    made = predictions(customers(10_100, 1))
    bench.predict(made)
    bench.judged()
    bench.keeper.sweep()
    assert bench.count(PlaceRow) == SIZE + 100, "one judged window, and the open one"
    before = bench.windows(), bench.jobs()
    for start in range(0, len(made), 3000):
        bench.predict(made[start : start + 3000])
    assert (bench.windows(), bench.jobs()) == before
    assert bench.count(PlaceRow) == SIZE + 100


def test_a_window_whose_rows_have_to_leave_is_judged_with_the_labels_there_are(database_url):
    bench = Bench(database_url, windows_kept=1)
    bench.promote()
    bench.predict(predictions(customers(8000, 1)))
    bench.keeper.sweep()
    assert {window for kind, window in bench.jobs() if kind == "performance"} == {"shop-v1-w1", "shop-v1-w2"}
    assert bench.count(PlaceRow) == 8000, "not before they were"


def test_rows_of_a_version_that_is_no_longer_champion_leave(bench):
    bench.promote()
    bench.predict(predictions(customers(2300, 1)))
    bench.promote(version=2, epoch=2)
    with bench.database.transaction() as session:
        session.execute(update(WindowRow).values(closed_at=datetime.now(UTC) - timedelta(hours=1)))
    bench.keeper.sweep()
    assert bench.count(PlaceRow) == 0


def test_reports_and_verdicts_beyond_what_is_kept_leave_except_of_announced_drift(database_url):
    bench = Bench(database_url, windows_kept=1, reports_kept=1, history_kept=2)
    bench.promote()
    bench.predict(predictions(customers(16_000, 1)))
    bench.judged()
    with bench.database.transaction() as session:
        for key in session.scalars(select(WindowRow.key)):
            session.add(ReportRow(window_key=key, page=b"x", note="n"))
        session.execute(update(WindowRow).where(WindowRow.number == 1).values(data_event_id="shop-v1-w1:data"))
    for _ in range(2):
        bench.keeper.sweep()
    with bench.database.reading() as session:
        reports = session.scalars(select(WindowRow.number).join(ReportRow, ReportRow.window_key == WindowRow.key)).all()
    assert sorted(reports) == [1, 8]
    assert [window[0].rpartition("w")[2] for window in bench.windows()] == ["1", "5", "6", "7", "8"]


def test_labels_that_wait_too_long_leave(bench):
    bench.tell(truths(predictions(customers(10, 1))))
    bench.keeper.sweep()
    assert bench.count(LabelRow) == 10
    with bench.database.transaction() as session:
        session.execute(update(LabelRow).values(received_at=datetime.now(UTC) - timedelta(days=31)))
    bench.keeper.sweep()
    assert bench.count(LabelRow) == 0


def test_rows_of_a_version_whose_promotion_never_comes_are_given_up(bench):
    bench.predict(predictions(customers(2300, 1)))
    bench.keeper.sweep()
    assert [window[1] for window in bench.windows()] == ["complete", "filling"]
    with bench.database.transaction() as session:
        session.execute(update(WindowRow).values(opened_at=datetime.now(UTC) - timedelta(hours=2)))
    bench.keeper.sweep()
    assert [window[1] for window in bench.windows()] == ["superseded", "superseded"]
