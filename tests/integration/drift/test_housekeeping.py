"""What leaves both databases, and what stays: rows, labels, windows and reports, by age and by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update

from contracts import Envelope, GroundTruthReceived
from contracts.policy import ModelPolicy
from drift.database.tables import LabelRow, ModelRow, PlaceRow, ReportRow, WindowRow
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
    assert bench.payloads("performance") == [{"window": "shop-v1-w1", "maturity_seconds": 3600.0}]


def sent(labels: list[Envelope[GroundTruthReceived]], after: timedelta) -> list[Envelope[GroundTruthReceived]]:
    return [label.model_copy(update={"time": label.time + after}) for label in labels]


def aged(bench: Bench, age: timedelta) -> None:
    """As if all windows had been closed, and labels been observed, for that long."""
    with bench.database.transaction() as session:
        session.execute(update(WindowRow).values(closed_at=datetime.now(UTC) - age))
        for model in session.scalars(select(ModelRow)):
            since = (datetime.now(UTC) - age).isoformat()
            model.label_delays = {**model.label_delays, "since": since} if model.label_delays else None


def test_a_window_is_judged_when_its_labels_are_mature_by_their_measured_delay(bench):
    bench.promote()
    first, second = predictions(customers(2000, 1)), predictions(customers(2000, 2))
    bench.predict(first)
    bench.tell(sent(truths(first), timedelta(minutes=10)))
    bench.predict(second)
    bench.tell(sent(truths(second[:-10]), timedelta(minutes=10)))
    bench.keeper.sweep()
    assert [window for kind, window in bench.jobs() if kind == "performance"] == ["shop-v1-w1"]
    aged(bench, timedelta(minutes=11))
    bench.keeper.sweep()
    assert len(bench.payloads("performance")) == 1, "not observed for twice the delay: longer ones cannot be excluded"
    aged(bench, timedelta(minutes=25))
    bench.keeper.sweep()
    [_, judged] = bench.payloads("performance")
    assert judged["window"] == "shop-v1-w2"
    assert 600 <= judged["maturity_seconds"] < 720


def test_quick_labels_of_some_rows_are_not_judged_alone(bench):
    bench.promote()
    made = predictions(customers(2000, 1))
    bench.predict(made)
    bench.tell(sent(truths(made[:1800]), timedelta(minutes=10)))
    aged(bench, timedelta(days=1))
    bench.keeper.sweep()
    assert bench.payloads("performance") == [], "10 % of the rows may have late labels"
    aged(bench, timedelta(days=7, seconds=1))
    bench.keeper.sweep()
    assert [payload["window"] for payload in bench.payloads("performance")] == ["shop-v1-w1"]


def test_what_the_policy_says_of_labels_takes_the_place_of_the_setting(database_url):
    bench = Bench(database_url, policies={"shop": ModelPolicy(model="shop", label_maturity="5m")})
    bench.promote()
    bench.predict(predictions(customers(2000, 1)))
    aged(bench, timedelta(minutes=4))
    bench.keeper.sweep()
    assert bench.payloads("performance") == []
    aged(bench, timedelta(minutes=5))
    bench.keeper.sweep()
    assert [payload["maturity_seconds"] for payload in bench.payloads("performance")] == [300.0]


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


def test_a_window_whose_rows_have_to_leave_before_its_labels_are_mature_is_given_up(database_url):
    bench = Bench(database_url, windows_kept=1)
    bench.promote()
    bench.predict(predictions(customers(8000, 1)))
    bench.keeper.sweep()
    given_up = {payload["window"]: payload["immature"] for payload in bench.payloads("performance")}
    assert given_up.keys() == {"shop-v1-w1", "shop-v1-w2"}
    assert set(given_up.values()) == {"DRIFT_LABEL_MATURITY, 7 d: no label has come"}
    assert bench.count(PlaceRow) == 8000, "not before they were"


def test_rows_of_a_version_that_is_no_longer_champion_leave(bench):
    bench.promote()
    bench.predict(predictions(customers(2300, 1)))
    bench.promote(version=2, epoch=2)
    with bench.database.transaction() as session:
        session.execute(update(WindowRow).values(closed_at=datetime.now(UTC) - timedelta(hours=1)))
    bench.keeper.sweep()
    assert bench.count(PlaceRow) == 0


def test_rows_of_a_former_champion_stay_while_its_windows_are_among_the_newest_of_the_model(database_url):
    """Their pages are opened after the promotion, too; without them nothing could be drawn."""
    bench = Bench(database_url, windows_kept=2)
    bench.promote()
    bench.predict(predictions(customers(2 * SIZE, 1)))
    bench.judged()
    bench.promote(version=2, epoch=2)
    aged(bench, timedelta(hours=1))
    bench.keeper.sweep()
    assert bench.count(PlaceRow) == 2 * SIZE
    bench.predict(predictions(customers(SIZE + 100, 2), version=2))
    bench.judged()
    aged(bench, timedelta(hours=1))
    bench.keeper.sweep()
    assert bench.count(PlaceRow) == 2 * SIZE + 100, "the older one of the former champion left"


@pytest.mark.parametrize("kind", ["data", "performance", "prediction", "proxy"])
def test_a_report_that_an_event_of_any_kind_links_to_is_kept(database_url, kind):
    bench = Bench(database_url, windows_kept=1, reports_kept=1, history_kept=1)
    bench.promote()
    bench.predict(predictions(customers(5 * SIZE, 1)))
    bench.judged()
    event = f"shop-v1-w1:{kind}"
    columns = {f"{kind}_event_id": event} if kind in ("data", "performance") else {kind: {"event_id": event}}
    with bench.database.transaction() as session:
        for window in session.scalars(select(WindowRow)):
            session.add(ReportRow(window_key=window.key, page=b"x", note="n"))
            if window.number == 1:
                for name, value in columns.items():
                    setattr(window, name, value)
            else:
                window.proxy = {"event_id": None}
            assert window.is_announced == (window.number == 1)
    for _ in range(2):
        bench.keeper.sweep()
    assert [name for name, *_ in bench.windows()] == ["shop-v1-w1", "shop-v1-w3", "shop-v1-w4", "shop-v1-w5"]
    assert bench.count(ReportRow) == 2


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
