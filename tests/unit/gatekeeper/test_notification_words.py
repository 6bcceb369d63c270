"""What a message says: every event in words and figures, and no text of a model or a person as markup."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import BY_TYPE
from contracts.notification_settings import Notified, Severity
from gatekeeper.policy.notifications.rendering import LISTED, Format, Item, body_of, content_of
from gatekeeper.policy.notifications.wording import LONGEST, MOST_FIGURES, said
from support.notifying import drift

URL = "https://gauntlet.example"
DIGEST = "sha256:" + "0" * 64
AT = "2026-06-01T12:00:00Z"
COMMON = {"model_name": "flights", "model_version": 3}
LOAD = {**COMMON, "replica": "r1", "role": "production", "seconds": 1.5}
GATES = {
    **COMMON,
    "candidate_id": "c",
    "reason": "why",
    "artifact_uri": "models:/flights/3",
    "policy_digest": "d",
    "verdicts": [
        {"gate": "lineage", "outcome": "Passed", "reason": "known"},
        {
            "gate": "performance",
            "outcome": "Failed",
            "reason": "worse",
            "metric": "roc_auc",
            "observed": 0.64151,
            "bound": 0.6755,
            "n": 20000,
        },
    ],
}
ROLLOUT = {
    "model_name": "flights",
    "rollout_id": "r",
    "revision": 1,
    "step": 0,
    "mode": "off",
    "champion_version": 2,
    "champion_epoch": 1,
    "tried": {"model_version": 3, "artifact_uri": "models:/flights/3", "artifact_digest": "d"},
    "began_at": AT,
    "actor": "ann",
    "reason": "why",
}
APPROVAL = {**COMMON, "rollout_id": "r", "verdict_digest": DIGEST}
ROWS = {"uri": "u", "digest": DIGEST, "rows": 500}
BENCHMARK = {**COMMON, "benchmark_id": "b", "rows": ROWS, "reason": "why"}
PROMOTED = {
    **COMMON,
    "epoch": 4,
    "artifact_uri": "u",
    "artifact_digest": "d",
    "cause": "gate",
    "actor": "gatekeeper",
    "reason": "why",
    "previous_version": 2,
    "metric": "roc_auc",
    "baseline": {"roc_auc": 0.71234},
}


@pytest.mark.parametrize(
    ("event_type", "data", "title", "figure", "path"),
    [
        (
            "TrainingRequested",
            {"model_name": "flights", "window": "2013-01"},
            "flights: a training was requested",
            ("window", "2013-01"),
            "",
        ),
        (
            "TrainingFailed",
            {"model_name": "flights", "job_id": "j", "reason": "why"},
            "flights: a training failed",
            ("job", "j"),
            "/console/operations",
        ),
        (
            "ModelRegistered",
            {**COMMON, "metrics": {"auc": 0.7}},
            "flights v3 was registered",
            ("auc", "0.7"),
            "/versions/3",
        ),
        (
            "GatePassed",
            {**GATES, "outcome": "Passed"},
            "flights v3 passed its gates",
            ("performance: roc_auc", "0.6415 (bound 0.6755), 20,000 rows"),
            "/versions/3",
        ),
        (
            "GateFailed",
            {**GATES, "outcome": "Failed"},
            "flights v3 failed its gates",
            ("performance: roc_auc", "0.6415 (bound 0.6755), 20,000 rows"),
            "/versions/3",
        ),
        (
            "GateFailed",
            {**GATES, "outcome": "Inconclusive"},
            "flights v3 was not shown to pass its gates",
            ("performance: roc_auc", "0.6415 (bound 0.6755), 20,000 rows"),
            "/versions/3",
        ),
        (
            "Promoted",
            PROMOTED,
            "flights v3 is champion",
            ("roc_auc on golden rows", "0.7123"),
            "/console/models/flights",
        ),
        (
            "Promoted",
            {**PROMOTED, "cause": "rollback"},
            "flights v3 is champion again: v2 was rolled back",
            ("champion before", "v2"),
            "/console/models/flights",
        ),
        ("ModelLoaded", {**LOAD, "artifact_digest": "d"}, "flights v3 was loaded", ("replica", "r1"), "/console/fleet"),
        (
            "ModelLoadFailed",
            {**LOAD, "reason": "why", "permanent": True},
            "flights v3 could not be loaded",
            ("seconds", "1.5"),
            "/console/fleet",
        ),
        (
            "ModelLoadFailed",
            {**LOAD, "reason": "why"},
            "flights v3 could not be loaded; the replica tries again",
            ("role", "production"),
            "/console/fleet",
        ),
        (
            "DriftDetected",
            drift().model_dump(mode="json"),
            "flights v3: drift of its data",
            ("temp", "0.2 (limit 0.1)"),
            "/drift",
        ),
        (
            "RolloutChanged",
            {**ROLLOUT, "stage": "canary", "share": 0.1},
            "flights v3: its rollout is at stage canary",
            ("share of the entities", "0.1"),
            "/rollout",
        ),
        ("RolloutChanged", {**ROLLOUT, "stage": "watch"}, "flights v2 is watched", ("champion", "v2"), "/rollout"),
        (
            "RolloutChanged",
            {**ROLLOUT, "stage": "ended", "result": "aborted"},
            "flights v3: its rollout has ended (aborted)",
            ("decided by", "ann"),
            "/rollout",
        ),
        (
            "ApprovalRequested",
            {**APPROVAL, "people": 2, "expires_at": AT, "reason": "why"},
            "flights v3 waits for approval",
            ("people needed", "2"),
            "/rollout",
        ),
        (
            "ApprovalGiven",
            {**APPROVAL, "actor": "ann", "missing": 1},
            "flights v3 was approved",
            ("people still needed", "1"),
            "/rollout",
        ),
        ("ApprovalRefused", {**APPROVAL, "actor": "ann"}, "flights v3 was refused", ("decided by", "ann"), "/rollout"),
        (
            "BenchmarkDue",
            {**BENCHMARK, "label": "y", "start": AT, "end": AT},
            "flights v3: a benchmark is due",
            ("rows", "500"),
            "/console/models/flights",
        ),
        (
            "BenchmarkCompleted",
            {**BENCHMARK, "outcome": "Failed", "metric": "auc", "baseline": "the mean", "gain": -0.1},
            "flights v3 is not better than the trivial baseline",
            ("gain of auc over the mean", "-0.1"),
            "/console/models/flights",
        ),
    ],
)
def test_an_event_in_words(
    event_type: str, data: dict[str, Any], title: str, figure: tuple[str, str], path: str
) -> None:
    event = BY_TYPE[f"gauntlet.{event_type}.v1"].model_validate(data)
    found = said(event_type, event.model_dump(mode="json"))
    assert found.title == title
    assert figure in found.figures
    assert found.path.endswith(path)
    if "reason" in data:
        assert found.reason == data["reason"]


def test_every_event_that_may_be_named_has_words() -> None:
    marks = next(mark for mark in test_an_event_in_words.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[0] for case in marks.args[1]} == set(Notified)


def test_a_reason_and_figures_are_bounded() -> None:
    event = drift(reason="x" * 10_000).model_dump(mode="json")
    event["scores"] = [
        {"feature": f"f{n}", "method": "m", "score": 2.0, "limit": 1.0, "drifted": True} for n in range(50)
    ]
    found = said("DriftDetected", event)
    assert (len(found.reason), len(found.figures)) == (LONGEST, MOST_FIGURES)


ONE = Item(
    source="s",
    event_id="e",
    type="DriftDetected",
    model_name="flights",
    model_version=3,
    severity=Severity.WARNING,
    at=datetime(2026, 6, 1, 12, tzinfo=UTC),
    title="flights v3: drift of its data",
    reason="the reason",
    figures=(("rows", "1,000"),),
    badness=1.0,
    path="/console/models/flights/drift",
)


def test_a_message_says_what_happened_the_figures_and_the_link() -> None:
    content = content_of([ONE], f"{URL}/")
    assert content.title == "[warning] flights v3: drift of its data"
    assert body_of(content, Format.TEXT) == (
        "the reason\n\nrows: 1,000\n\n2026-06-01 12:00:00 UTC\n\nhttps://gauntlet.example/console/models/flights/drift"
    )
    assert body_of(content, Format.HTML) == (
        "<p>the reason</p>\n<ul><li>rows: 1,000</li></ul>\n<p>2026-06-01 12:00:00 UTC</p>\n"
        '<p><a href="https://gauntlet.example/console/models/flights/drift">'
        "https://gauntlet.example/console/models/flights/drift</a></p>"
    )


def test_a_group_has_its_count_and_the_figures_of_the_worst() -> None:
    items = [
        replace(ONE, event_id=f"e{number}", badness=float(number % 30), figures=(("score", str(number % 30)),))
        for number in range(50)
    ]
    content = content_of(items, URL)
    assert content.title == "[warning] flights: 50 events, the worst: flights v3: drift of its data"
    text = body_of(content, Format.TEXT)
    assert "score: 29" in text
    assert f"and {50 - LISTED} earlier" in text


def test_severity_comes_before_how_bad_and_several_models_are_said() -> None:
    other = replace(ONE, event_id="f", model_name="churn", severity=Severity.CRITICAL, badness=0.0, title="churn v1 …")
    content = content_of([replace(ONE, badness=99.0), other], URL)
    assert content.title == "[critical] 2 models: 2 events, the worst: churn v1 …"
    assert (content.model_name, content.link) == (None, f"{URL}/")


HARMLESS = "<b>bold</b> & *stars* _low_ `code` [link](there) @everyone <!channel>\nnext"


def test_foreign_text_is_escaped_for_each_format() -> None:
    content = content_of([replace(ONE, reason=HARMLESS, figures=((HARMLESS, HARMLESS),))], URL)
    as_html = body_of(content, Format.HTML)
    assert "<b>" not in as_html
    assert "&lt;b&gt;bold&lt;/b&gt; &amp;" in as_html
    marked = body_of(content, Format.MARKDOWN)
    assert "<b>" not in marked
    assert r"\*stars\* \_low\_ \`code\` \[link\]\(there\)" in marked
    text = body_of(content, Format.TEXT)
    for body in (text, marked):
        assert "@everyone" not in body
        assert "<!channel" not in body
    assert "\nnext" not in text


@given(foreign=st.text(max_size=200))
def test_no_foreign_text_makes_an_element_or_a_line(foreign: str) -> None:
    def bodies(text: str) -> list[str]:
        content = content_of([replace(ONE, reason=f"x{text}x", figures=((f"x{text}", f"{text}x"),))], URL)
        return [body_of(content, form) for form in Format]

    (text, marked, as_html), (text_of_none, marked_of_none, html_of_none) = bodies(foreign), bodies("")
    assert as_html.count("<") == html_of_none.count("<")
    assert marked.count("<") == marked_of_none.count("<")
    assert len(text.splitlines()) == len(text_of_none.splitlines())
    assert len(marked.splitlines()) == len(marked_of_none.splitlines())
