"""Pages of windows over HTTP on both databases: kept drawings, one job for all openers, reasons, another attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import select

from chassis.auth.access import Access
from chassis.http import answer_with_problems
from chassis.jobs import JobRow, Jobs
from drift.api.models import build_router
from drift.database.tables import ReportRow, WindowRow
from drift.policies import DriftPolicies
from drift.reports.drawer import Drawer
from drift.reports.drawings import Drawings
from drift.reports.page import Drawing
from drift.reports.store import save_report
from support.drift_bench import Bench

SCORE = {"feature": "age", "method": "wasserstein", "score": 0.01, "limit": 0.1, "drifted": False}
DRAWN = "<!DOCTYPE html><html><head></head><body><div>" + "EVIDENTLY" * 100_000 + "</div></body></html>"


def add_windows(bench: Bench, count: int, **columns: Any) -> None:
    given: dict[str, Any] = {
        "model_name": "shop",
        "model_version": 1,
        "size": 2000,
        "rows": 2000,
        "labelled": 0,
        "state": "scored",
        "opened_at": datetime(2026, 3, 1, tzinfo=UTC),
        "data_outcome": "Passed",
        "data_reason": "as usual",
        "scores": [SCORE],
        "not_compared": {},
        "pruned": False,
    }
    with bench.database.transaction() as session:
        first = len(session.scalars(select(WindowRow.key)).all()) + 1
        for number in range(first, first + count):
            session.add(WindowRow(**{**given, "id": f"shop-v1-w{number}", "number": number, **columns}))


@pytest.fixture
def pages(bench: Bench) -> TestClient:
    """Of the real router; nothing is drawn, because no worker runs."""
    jobs, policies = Jobs(bench.database, owner="test"), DriftPolicies({})
    drawings = Drawings(jobs, policies, Drawer(bench.settings, "", ""), bench.settings.windows_kept)
    app = FastAPI()
    app.state.access = Access(None)
    answer_with_problems(app)
    app.include_router(build_router(bench.database, bench.handlers, bench.rollouts, policies, drawings, "http://test"))
    bench.promote()
    return TestClient(app, base_url="http://test", follow_redirects=False)


def drawing_jobs(bench: Bench) -> list[str]:
    with bench.database.reading() as session:
        found = session.scalars(select(JobRow).where(JobRow.kind == "draw").order_by(JobRow.sequence))
        return [f"{row.payload['window']} {row.state}" for row in found]


def test_a_hundred_old_windows_open_from_the_store_and_those_without_a_drawing_say_why(
    bench: Bench, pages: TestClient
) -> None:
    add_windows(bench, 100, pruned=True)
    with bench.database.transaction() as session:
        for window in session.scalars(select(WindowRow).where(WindowRow.number <= 90)):
            save_report(session, window, Drawing(DRAWN, "Drawn from all 2,000 rows of the window."))
    for number in range(1, 101):
        response = pages.get(f"/reports/shop-v1-w{number}")
        assert response.status_code == 200 and "The data is as usual." in response.text
        assert ("EVIDENTLY" in response.text) == (number <= 90)
        assert ("Not drawn: its rows are no longer kept" in response.text) == (number > 90)
    assert drawing_jobs(bench) == []


def test_openers_of_one_page_share_one_drawing(bench: Bench, pages: TestClient) -> None:
    add_windows(bench, 2)
    for _ in range(3):
        assert "http-equiv='refresh'" in pages.get("/reports/shop-v1-w1").text
    assert drawing_jobs(bench) == ["shop-v1-w1 queued"]


def test_a_drawing_that_failed_is_made_again_only_on_request(bench: Bench, pages: TestClient) -> None:
    add_windows(bench, 1)
    with bench.database.transaction() as session:
        window = session.scalars(select(WindowRow)).one()
        save_report(session, window, Drawing(None, "Not drawn: it took longer than 60 s."))
    page = pages.get("/reports/shop-v1-w1").text
    assert "longer than 60 s. <a href='?again=true'>" in page and "http-equiv='refresh'" not in page
    assert drawing_jobs(bench) == []
    response = pages.get("/reports/shop-v1-w1?again=true")
    assert (response.status_code, response.headers["location"]) == (303, "http://test/reports/shop-v1-w1")
    assert drawing_jobs(bench) == ["shop-v1-w1 queued"]
    assert "http-equiv='refresh'" in pages.get("/reports/shop-v1-w1").text
    pages.get("/reports/shop-v1-w1?again=true")
    assert drawing_jobs(bench) == ["shop-v1-w1 queued"]


def test_a_drawing_that_was_deleted_is_made_again_while_its_rows_are_there(bench: Bench, pages: TestClient) -> None:
    add_windows(bench, 1)
    pages.get("/reports/shop-v1-w1")
    with bench.database.transaction() as session:
        session.scalars(select(JobRow).where(JobRow.kind == "draw")).one().state = "done"
    pages.get("/reports/shop-v1-w1")
    assert drawing_jobs(bench) == ["shop-v1-w1 queued"]
    assert bench.count(ReportRow) == 0


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"state": "refused", "scores": [], "data_outcome": "Inconclusive"}, "no feature was compared"),
        ({"state": "complete", "data_outcome": None, "performance_outcome": "Passed"}, "features are not judged yet"),
        ({"pruned": True}, "DRIFT_WINDOWS_KEPT"),
    ],
)
def test_a_window_that_cannot_be_drawn_says_why(
    bench: Bench, pages: TestClient, columns: dict[str, Any], says: str
) -> None:
    add_windows(bench, 1, **columns)
    page = pages.get("/reports/shop-v1-w1").text
    assert says in page and "http-equiv='refresh'" not in page and "again=true" not in page
    assert drawing_jobs(bench) == []


def test_facts_of_a_window_are_in_its_json_as_they_are_stored(bench: Bench, pages: TestClient) -> None:
    estimate = {"metric": "roc_auc", "estimated": 0.7, "low": 0.6, "high": 0.8, "baseline": 0.75}
    add_windows(
        bench,
        1,
        limits={
            "assumption": "windows",
            "windows": 40,
            "blocks": False,
            "splits": 400,
            "share": 0.05,
            "size": 2000,
            "reference_rows": 5000,
            "calibrated_at": "2026-03-01T00:00:00Z",
            "share_rule": {"share": 0.5, "alarms": 0, "of": 40},
        },
        prediction={"outcome": "Passed", "reason": "r", "method": "wasserstein", "distance": 0.1, "limit": 0.2},
        proxy={"outcome": "Passed", "reason": "r", **estimate},
        harm={"harm": "benign", "reason": "r", **estimate},
    )
    window = pages.get("/windows/shop-v1-w1").json()
    assert window["data"]["limits"]["share_rule"] == {"share": 0.5, "alarms": 0, "of": 40}
    assert (window["data"]["harm"]["harm"], window["proxy"]["estimated"], window["prediction"]["limit"]) == (
        "benign",
        0.7,
        0.2,
    )
    add_windows(bench, 1)
    window = pages.get("/windows/shop-v1-w2").json()
    assert (window["data"]["limits"], window["data"]["harm"], window["proxy"], window["prediction"]) == (None,) * 4
    rules = pages.get("/models/shop").json()["rules"]
    assert (rules["budget"], rules["after"], rules["retrain"]) == ("1 false alarm in 20 windows", "2 of 3", "always")
