"""benchmark_report.txt and the page: every figure, and the alert, in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts import BenchmarkDue, BenchmarkFigure, Dataset, Outcome
from gatekeeper.benchmarks import page, report
from gatekeeper.benchmarks.results import Results, unmeasured
from gatekeeper.policy.benchmark import Compared, Verdict
from gatekeeper.policy.statistics.estimates import Difference
from gatekeeper.policy.statistics.units import Units

DUE = BenchmarkDue(
    model_name="shop",
    model_version=3,
    benchmark_id="shop-20260301-000000-000",
    rows=Dataset(uri="runs:/r/rows.parquet", digest="sha256:" + "1" * 64, rows=500),
    label="label",
    start=datetime(2026, 3, 1, tzinfo=UTC),
    end=datetime(2026, 3, 2, tzinfo=UTC),
    reason="every 7d <b>",
    requested_by="ada",
)
FIGURES = (
    BenchmarkFigure(name="v3", model_version=3, value=0.6, low=0.55, high=0.65, rows=450, problem="50 are left out"),
    BenchmarkFigure(name="v2", model_version=2, value=0.7, rows=450, gain=0.1, gain_low=0.05, gain_high=0.15),
    BenchmarkFigure(name="v1", model_version=1, problem="it gave no answers"),
    BenchmarkFigure(name="class frequencies", value=0.5, rows=450, gain=-0.1, gain_low=-0.15, gain_high=-0.05),
)


def results(outcome: Outcome, winner: int | None) -> dict[str, Any]:
    found = Difference(
        value=0.1, se=0.03, lower=0.05, upper=0.15, n=450, method="DeLong", first=0.6, second=0.5, units=Units(450)
    )
    strongest = Compared("class frequencies", found)
    verdict = Verdict(outcome, "0.6 against 0.5", (strongest,), strongest)
    made = Results(verdict, 3, "roc_auc", 0.95, winner, 500, "points in time", FIGURES)
    return made.document(DUE, "sha256:p")


@pytest.mark.parametrize(
    ("outcome", "winner", "words"),
    [
        (Outcome.PASSED, 3, "champion v3 is better than the trivial baseline"),
        (Outcome.PASSED, 2, "better than the trivial baseline, and v2 is better than the champion"),
        (Outcome.FAILED, None, "ALERT: champion v3 is not shown to be better than the trivial baseline"),
        (Outcome.INCONCLUSIVE, None, "inconclusive"),
    ],
)
def test_the_report_and_the_page_say_how_it_ended(outcome: Outcome, winner: int | None, words: str) -> None:
    found = results(outcome, winner)
    text, html = report.text(found), page.render(found, datetime(2026, 3, 3, tzinfo=UTC))
    assert words in text and words in html
    for said in ("v3 (champion)", "baseline: class frequencies", "it gave no answers", "50 are left out"):
        assert said in text and said in html
    assert "+0.0500 to +0.1500" in text and ", by points in time" in text and ", by ada" in text
    assert "every 7d &lt;b&gt;" in html and "<svg" in html
    assert max(len(line) for line in text.splitlines()) < 200


def test_without_figures_there_is_the_reason() -> None:
    found = unmeasured("shop has no champion").document(DUE, None)
    assert found["outcome"] == "Inconclusive" and found["beats_baseline"] is None and found["figures"] == []
    assert "shop has no champion" in report.text(found) and "shop has no champion" in page.render(found, None)
