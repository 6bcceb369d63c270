"""Charts of rollouts, drift and the fleet: what they show, that it is text, and what they do with odd numbers."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from contracts import FeatureScore, Outcome
from contracts.production import HarmEstimate
from drift.api.views import DataView, PerformanceView, PredictionView, ProxyView, WindowView
from gatekeeper.charts.bars import bars_svg
from gatekeeper.charts.drift import heat_map, performance_chart
from gatekeeper.charts.evidence import Moment, evidence_charts
from gatekeeper.charts.heat_map import heat_svg, step_of
from gatekeeper.charts.lines import Axes, Bound, Line, lines_svg
from gatekeeper.console.screens.drift import screen
from gatekeeper.policy.rollout_figures import Evidence, Figure, Finding, Interval

HOSTILE = "<script>alert('é')</script>"
BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)


def parsed(svg: object) -> ElementTree.Element:
    """The picture as XML: what is not well-formed raises."""
    return ElementTree.fromstring(f"<svg>{svg}</svg>")


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in root.iter("text")]


@pytest.mark.parametrize(
    ("share", "step"),
    [(0, 0), (0.249, 0), (0.25, 1), (0.5, 2), (0.75, 3), (0.999, 3), (1.0, 4), (50.0, 4)],
)
def test_steps_of_the_heat_map(share: float, step: int) -> None:
    assert step_of(share) == step


def test_a_heat_map_marks_what_is_over_its_limit_by_more_than_a_colour() -> None:
    width, height, svg = heat_svg([HOSTILE, "b"], ["1", "2"], {(0, 0): 0.1, (0, 1): 1.0, (1, 0): math.nan})
    root = parsed(svg)
    crosses = [each.get("d", "") for each in root.iter("path") if each.get("class") == "cross"]
    assert [each.count("M") for each in crosses] == [1, 1]  # the cell, and its explanation
    assert HOSTILE[:25] + "…" in texts(root) and width >= 640 and height > 0


@pytest.mark.parametrize("points", [[], [(0.0, 1.0)], [(0.0, math.inf), (1.0, math.nan)], [(0.0, -5.0), (9.0, -5.0)]])
def test_lines_of_any_numbers_are_a_picture(points: list[tuple[float, float]]) -> None:
    _, height, svg = lines_svg([Line(HOSTILE, points)], [Bound("limit", 0.0, "0")], Axes(floor=-3.0))
    root = parsed(svg)
    assert HOSTILE in texts(root) and "limit" in texts(root)
    places = [float(each.get("y1", 0)) for each in root.iter("line")]
    assert all(0 <= place <= height for place in places)


def test_bars_show_every_bucket() -> None:
    _, _, svg = bars_svg(["1", "2", "more"], [0, 90, 10], "ms")
    root = parsed(svg)
    assert len(list(root.iter("rect"))) == 2  # an empty bucket has no bar, but its label
    assert {"1", "2", "more", "ms"} <= set(texts(root))


def moment(minute: int, strength: float, interval: Interval | None = None) -> Moment:
    evidence = (
        Evidence("it is better", strength, math.log(20), harm=False),
        Evidence("it is worse", -1.0, math.log(200)),
    )
    found = Finding(
        Figure("metric", 0.1, 0.0, 100 * minute, HOSTILE), evidence=() if interval else evidence, interval=interval
    )
    return Moment(BEGAN + timedelta(minutes=minute), {"metric": found})


def test_evidence_is_shown_with_what_decides() -> None:
    [chart] = evidence_charts([moment(minute, minute / 2) for minute in range(1, 11)])
    shown = texts(parsed(chart.svg))
    assert {"it is better", "it is worse", "20 to 1 shows that it is better", "20:1"} <= set(shown)
    assert len(chart.rows) == 10 and chart.rows[-1][2] == "148 to 1"
    assert evidence_charts([]) == []


def test_an_interval_is_shown_as_a_band() -> None:
    [chart] = evidence_charts([moment(n, 0.0, Interval(0.02, 0.02 - 1 / n, 0.02 + 1 / n, -0.01)) for n in (1, 2, 9)])
    assert next(each.get("class") for each in parsed(chart.svg).iter("path")) == "band"
    assert chart.rows[-1][2:] == (0.02, 0.02 - 1 / 9, 0.02 + 1 / 9, -0.01)


def window(number: int, **changes: Any) -> dict[str, Any]:
    """A window as the drift service returns it: made of its own response model."""
    end = BEGAN + timedelta(hours=number)
    distances = [
        ("temp", "wasserstein", 0.05 * number),
        (HOSTILE, "jensenshannon", 0.01),
        ("temp", "missing share", 0.2),
    ]
    scores = [
        FeatureScore(feature=name, method=method, score=score, limit=0.1, drifted=score >= 0.1)
        for name, method, score in distances
    ]
    view = WindowView(
        id=f"w{number}",
        model_name="m",
        model_version=1,
        number=number,
        state="scored",
        progress="200/200",
        rows=200,
        size=200,
        labelled=100,
        start=end,
        end=end,
        opened_at=end,
        closed_at=end,
        data=DataView(
            outcome=Outcome.FAILED,
            reason="temp has drifted",
            event_id="e1" if number == 2 else None,
            held=None,
            drift_share=0.5,
            limit=None,
            scores=scores,
            not_compared={"gate": "not in the reference", "gone": "vanished: in no prediction of the window"},
            harm=HarmEstimate(harm="harmful", reason="it matters"),
            limits=None,
            judged_at=end,
        ),
        prediction=PredictionView(outcome=Outcome.PASSED, distance=0.02, limit=0.1),
        proxy=ProxyView(outcome=Outcome.PASSED, metric="roc_auc", estimated=0.7, low=0.6, high=0.8),
        performance=PerformanceView(
            outcome=Outcome.PASSED,
            reason=None,
            event_id=None,
            held=None,
            metric="roc_auc",
            observed=0.69 if number < 3 else None,
            bound=0.6,
            low=0.6,
            high=0.8,
            late_labels=0,
            judged_at=end,
        ),
        report_url="javascript:alert(1)" if number == 1 else f"http://drift/reports/w{number}",
    )
    return {**view.model_dump(mode="json"), **changes}


WINDOWS = [window(number) for number in (3, 2, 1)]


def test_the_heat_map_has_signals_of_their_own_and_the_predictions() -> None:
    chart = heat_map(WINDOWS)
    assert chart is not None
    names = {row[0] for row in chart.rows}
    assert names == {"temp", HOSTILE, "temp: missing values", "predictions"}
    assert chart.rows[0][:4] == ("temp: missing values", "v1", 3, 2.0)
    assert "5 of 12 cells are at or beyond their limit" in chart.description
    assert heat_map([]) is None


def test_estimated_and_true_performance() -> None:
    chart = performance_chart(WINDOWS, {"roc_auc": 0.71})
    assert chart is not None and "2 windows have labels, 3 an estimate" in chart.description
    assert "differ by 0.01 on average" in chart.description and len(chart.rows) == 3
    assert chart.rows[-1][3:] == (None, None, None, 0.7, 0.6, 0.8)
    assert "0.71 on the golden rows" in texts(parsed(chart.svg))


def test_the_screen_shows_the_last_alarm_and_links_to_web_pages_only() -> None:
    found = screen({"champion": None}, WINDOWS)
    assert found.alarm is not None and found.alarm.kind == "data" and found.alarm.harm == "harmful"
    assert [line.report for line in found.windows] == ["http://drift/reports/w3", "http://drift/reports/w2", None]
    assert found.windows[0].new == ("gate",) and found.windows[0].vanished == ("gone",)
    assert found.windows[0].drifted == ("temp", "temp: missing values")
