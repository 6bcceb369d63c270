"""The page of a verdict: everything in it, nothing from elsewhere, nothing of a candidate's words as markup."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from contracts import GateVerdict, Outcome, overall
from gatekeeper.evaluation.gate_runner import run_gates, summary
from gatekeeper.policy.section import Interval
from gatekeeper.read_models import CandidateView
from gatekeeper.report.page import drawn, render
from support.evidence_world import POLICY, World


class Page(HTMLParser):
    """Its tags, its text, and what it refers to."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.references: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        assert tag != "script"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A shape that closes itself."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(filter(None, self.texts))


def view(verdicts: tuple[GateVerdict, ...], **changes: Any) -> CandidateView:
    outcome = overall(verdicts)
    known: dict[str, Any] = {
        "id": "m:2",
        "model_name": "m",
        "model_version": 2,
        "state": outcome.value.lower(),
        "reason": summary(outcome, verdicts),
        "champion_version": 1,
        "metrics": {"roc_auc": 0.81234},
        "registered_at": datetime(2026, 1, 1, tzinfo=UTC),
        "gating_at": None,
        "judged_at": datetime(2026, 1, 2, tzinfo=UTC),
        "epochs": [],
        "run_id": "r",
        "artifact_uri": "runs:/r/model",
        "artifact_digest": "sha256:cc",
        "code_version": "c",
        "policy_digest": "sha256:pp",
        "trigger": None,
        "datasets": {},
        "verdicts": list(verdicts),
        "evidence": {},
        "correlation_id": "story",
        "judgement": 1,
        "registrations": [],
        "earlier": [],
    }
    return CandidateView.model_validate({**known, **changes})


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_whole_verdict_is_one_page_that_needs_nothing_else(world: World) -> None:
    measurements = world.measurements()
    verdicts = run_gates(measurements, POLICY)
    page = Page(render(view(verdicts, evidence=world.written(measurements))))
    assert page.open == [] and page.references == []
    for verdict in verdicts:
        assert verdict.gate in page.text and " ".join(verdict.reason.split()) in page.text
    assert "compared with champion v1" in page.text
    assert "Before and after the rows were taken out" in page.text
    assert "origin = JFK" in page.text and "cells are missing" in page.text
    assert "1,500 used of 1,500" in page.text
    assert "gauntlet replay m 2" in page.text


def test_what_is_missing_is_said_first(world: World) -> None:
    worse = world.measurements(champion_answers=world.measurements().challenger_answers, probe=world.blind())
    verdicts = run_gates(worse, POLICY)
    (performance,) = [verdict for verdict in verdicts if verdict.gate == "performance"]
    assert performance.outcome is Outcome.FAILED
    text = Page(render(view(verdicts))).text
    assert text.index("What would have to be true to pass") < text.rindex(performance.reason)
    half = performance.details["difference"] - performance.details["lower"]
    assert f"a difference of {performance.details['needed_difference'] + half:+.4f} or more" in text


def test_the_words_of_a_candidate_are_no_markup() -> None:
    nasty = "raised <script>alert(1)</script> & {{ 7 * 7 }}"
    verdict = GateVerdict(gate="functional", outcome=Outcome.FAILED, reason=nasty, details={"a": "<b>"})
    html = render(view((verdict,), reason=nasty, model_name="<i>m</i>"))
    assert "<script>alert" not in html and "<i>m</i>" not in html
    assert nasty in Page(html).text


def test_a_verdict_of_an_older_version_is_shown_as_far_as_it_goes() -> None:
    verdicts = tuple(
        GateVerdict(gate=gate, outcome=Outcome.PASSED, reason="fine", details={"models": {}, "slices": [{}]})
        for gate in ("leakage", "slices", "performance", "a gate of tomorrow")
    )
    assert "a gate of tomorrow" in Page(render(view(verdicts))).text


def test_the_tournament_on_its_golden_rows_is_shown(world: World) -> None:
    verdicts = run_gates(world.measurements(), POLICY)
    (own,) = [verdict for verdict in verdicts if verdict.gate == "performance"]
    played = {
        "champion_version": 1,
        "winner": 5,
        "reason": "the best of 3 <b>",
        "entrants": {"5": own.model_dump(mode="json")},
        "absent": {"4": "it raised KeyError: '<a>'"},
    }
    page = Page(render(view(verdicts, evidence={"tournament": played})))
    assert page.open == []
    assert "v5 won" in page.text and "the best of 3 <b>" in page.text
    assert "Earlier versions against champion v1" in page.text and "v5: difference in roc_auc" in page.text
    assert "it raised KeyError: '<a>'" in page.text
    nobody = Page(render(view(verdicts, evidence={"tournament": {**played, "winner": None}}))).text
    assert "nobody won" in nobody
    assert "tournament" not in Page(render(view(verdicts, evidence={"tournament": {"winner": 5}}))).text


def test_the_form_that_it_would_be_served_in_is_shown() -> None:
    parity = {"rows": 5487, "labels_differ": 0, "largest_difference": 2.2e-16, "tolerance": 1e-6}
    refused = [{"form": "linear", "reason": "<b>trees</b> are not linear"}]
    form = {"name": "onnxruntime", "parity": parity, "refused": refused, "seconds": 0.71, "problem": None}

    def text(form: Any) -> str:
        return Page(render(view((), evidence={"measured": {"serving_form": form}}))).text

    assert "Serving form onnxruntime" in text(form) and "(0.71 s)" in text(form)
    assert "<b>trees</b> are not linear" in text(form) and "5,487 0 2.2e-16 1e-06" in text(form)
    unknown = {**form, "name": None, "parity": None, "refused": [], "problem": "its process exited with code 3"}
    assert "Serving form not known its process exited with code 3" in text(unknown)
    assert "as it is" in text({**form, "name": "native", "parity": None})
    for older in (None, {"name": "onnxruntime"}):
        assert "Serving form" not in text(older)


def test_intervals_share_one_scale() -> None:
    first, second = drawn([Interval("a", 0.0, -1.0, 1.0, -0.5), Interval("b", 1.5, 1.0, 2.0)])
    assert first["lower"] < first["bound"] < first["zero"] == first["value"] < first["upper"] == second["lower"]
    assert second["bound"] is None
    assert drawn([]) == []
    assert drawn([Interval("flat", 0.0, 0.0, 0.0)])[0]["value"] == drawn([Interval("flat", 0, 0, 0)])[0]["zero"]
