"""The page of a window: each verdict in words, nothing where there is nothing, and no markup of a column's name."""

from datetime import UTC, datetime
from typing import Any

import pytest

from drift.database.tables import WindowRow
from drift.reports.page import Drawing, Look, page_of

DRAWN = "<!DOCTYPE html><html><head><title>x</title></head><body class='e'><div>EVIDENTLY</div></body></html>"
ESTIMATE = {"metric": "roc_auc", "estimated": 0.74, "low": 0.71, "high": 0.77, "baseline": 0.76}


def window(**columns: Any) -> WindowRow:
    given: dict[str, Any] = {
        "id": "shop-v1-w2",
        "model_name": "shop",
        "model_version": 1,
        "number": 2,
        "rows": 2000,
        "labelled": 0,
        "state": "scored",
        "data_outcome": "Passed",
        "data_reason": "0 of 3 columns",
        "scores": [],
        "not_compared": {},
    }
    return WindowRow(**given | columns)


def text(found: WindowRow, look: Look | None = None) -> str:
    return page_of(found, look or Look(None, "Not drawn: a reason."))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({}, "The data is as usual."),
        ({"performance_outcome": "Passed"}, "The data is as usual. So is the performance."),
        ({"data_outcome": "Failed"}, "whether this does harm is not known"),
        ({"data_outcome": "Failed", "harm": {"harm": "harmful", "reason": "x"}}, "is estimated to harm"),
        ({"data_outcome": "Failed", "harm": {"harm": "benign", "reason": "x"}}, "no harm to the predictions"),
        ({"data_outcome": "Failed", "harm": {"harm": "unknown", "reason": "x"}}, "whether this does harm is not known"),
        ({"data_outcome": "Inconclusive"}, "cannot be said"),
        ({"data_outcome": None}, "not judged yet"),
        ({"performance_outcome": "Failed"}, "performs worse"),
    ],
)
def test_the_headline_says_what_matters_most(columns, says):
    assert says in text(window(**columns)).partition("<section>")[0]


def test_verdicts_of_a_former_window_without_the_new_facts_are_shown_without_them():
    page = text(window())
    assert "Harm" not in page and "Predictions" not in page and "estimated without labels" not in page
    assert "calibrated" not in page


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"assumption": "windows", "windows": 40, "share": 0.05}, "calibrated on 40 past windows: ordinary day-to-day"),
        ({"assumption": "windows", "windows": 40, "share": 0.05}, "They allow 5 % of the windows"),
        ({"assumption": "windows", "windows": 20, "blocks": True}, "20 windows of the reference in order of time"),
        ({"assumption": "iid", "splits": 400}, "400 random splits of the reference: ordinary day-to-day variation is"),
        ({"assumption": "iid", "splits": 400, "windows": 5}, "widened by 5 past windows: so few make them wide"),
        (
            {"assumption": "windows", "share_rule": {"share": 0.5, "alarms": 3, "of": 40}},
            "A fixed drift_share of 0.5 would have alarmed in 3 of 40 calibration windows",
        ),
    ],
)
def test_the_origin_of_the_limits_is_stated(limits, says):
    assert says in text(window(limits=limits))


def test_a_share_rule_that_was_not_computed_is_left_out():
    assert "drift_share" not in text(window(limits={"assumption": "iid", "share_rule": {"share": 0.5, "of": 0}}))


def test_estimates_have_their_interval_baseline_and_what_they_cannot_see():
    page = text(
        window(
            proxy=ESTIMATE | {"outcome": "Passed", "reason": "within its range"},
            harm=ESTIMATE | {"harm": "benign", "reason": "age has little importance"},
            prediction={"outcome": "Failed", "reason": "scores moved", "distance": 0.2, "limit": 0.1},
        )
    )
    assert page.count("Estimated roc_auc: 0.7400 (0.7100 to 0.7700); 0.7600 on the golden rows.") == 2
    assert "cannot see concept drift" in page and "never promotes or rolls back" in page
    assert "reference&#x27;s predictions: 0.2000; limit 0.1000." in page
    assert "Age has little importance." in page


@pytest.mark.parametrize(
    ("harm", "outcome", "explained"),
    [
        ("harmful", "Passed", True),
        ("benign", "Failed", True),
        ("harmful", "Failed", False),
        ("benign", "Passed", False),
    ],
)
def test_harm_beside_a_bound_that_holds_is_explained(harm, outcome, explained):
    proxy, of_harm = ESTIMATE | {"outcome": outcome, "reason": "r"}, ESTIMATE | {"harm": harm, "reason": "r"}
    assert ("two questions" in text(window(proxy=proxy, harm=of_harm))) == explained


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.7, 0.8, "Interval of roc_auc: 0.7000 to 0.8000."),
        (None, 0.8, "at most 0.8000"),
        (0.7, None, "at least 0.7000"),
    ],
)
def test_the_performance_has_its_interval(low, high, says):
    assert says in text(
        window(performance_outcome="Passed", performance_reason="r", metric="roc_auc", low=low, high=high)
    )


def test_scores_have_their_limits_and_the_usual_distance_where_it_is_known():
    score = {"feature": "age", "method": "wasserstein", "score": 0.5, "limit": 0.1, "drifted": True}
    assert ">usual<" not in text(window(scores=[score]))
    page = text(window(scores=[score | {"expected": 0.02}, score | {"feature": "huge", "score": 1.7e308}]))
    assert "<td class='number'>0.0200</td>" in page and "1.7e+308" in page
    assert page.count("drifted</td>") == 2


def test_a_page_refreshes_itself_only_while_it_is_being_drawn():
    assert "http-equiv='refresh'" in text(window(), Look(None, "It is being drawn.", waits=True))
    assert "http-equiv='refresh'" not in text(window(), Look(None, "Not drawn: a reason."))
    assert "?again=true" in text(window(), Look(Drawing(None, "n"), "Not drawn: a reason.", again=True))
    page = text(window(), Look(Drawing(DRAWN, "Drawn from all."), "Drawn from all."))
    assert page.index("id='gauntlet'") < page.index("EVIDENTLY") and "http-equiv='refresh'" not in page
    assert page.count("</head>") == 1 and "name='viewport'" in page


def test_nothing_of_a_request_is_markup():
    evil = "<script>alert(1)</script>"
    score = {"feature": evil, "method": evil, "score": 0.5, "limit": 0.1, "drifted": True}
    told = {"outcome": evil, "reason": evil, "metric": evil, "estimated": 1.0}
    page = text(
        window(
            data_reason=evil,
            data_held=evil,
            scores=[score],
            not_compared={evil: evil},
            harm=told | {"harm": evil},
            prediction=told,
            proxy=told,
            performance_outcome=evil,
            performance_reason=evil,
            start=datetime(2026, 3, 1, tzinfo=UTC),
            end=datetime(2026, 3, 2, tzinfo=UTC),
        ),
        Look(None, evil),
    )
    assert "<script" not in page
