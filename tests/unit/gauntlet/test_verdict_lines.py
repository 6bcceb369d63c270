"""A verdict for people: what there is, in numbers that can be read, whatever the reason contains."""

from __future__ import annotations

from typing import Any

import pytest
from rich.text import Text

from gauntlet.form_lines import form_rows
from gauntlet.verdict_lines import gate_line, headline, number, verdict_lines

GATE: dict[str, Any] = {
    "gate": "performance",
    "outcome": "Passed",
    "reason": "not worse",
    "metric": "roc_auc",
    "observed": 0.74634,
    "bound": 0.7,
    "margin": 0.004,
    "n": 20000,
}
CANDIDATE: dict[str, Any] = {
    "model_name": "flights",
    "model_version": 2,
    "state": "failed",
    "reason": "performance: worse",
    "champion_version": 1,
    "verdicts": [GATE, {**GATE, "gate": "latency", "outcome": "Failed"}],
}


def plain(markup: str) -> str:
    return Text.from_markup(markup).plain


def test_a_gate_is_told_with_its_evidence() -> None:
    line = "  Passed       performance  not worse (roc_auc 0.7463, bound 0.7, margin 0.004, n 20,000)"
    assert plain(gate_line(GATE)) == line


def test_what_was_not_measured_is_left_out() -> None:
    nothing = dict.fromkeys(("metric", "observed", "bound", "margin", "n"))
    assert plain(gate_line({**GATE, **nothing})) == "  Passed       performance  not worse"


def test_a_gate_that_was_not_run_says_so() -> None:
    unrun = {**GATE, "outcome": "Inconclusive", "reason": "not run: x", "details": {"not_run": "integrity"}}
    assert plain(gate_line(unrun)).startswith("  Not run      performance  not run: x")


def test_zero_is_a_number() -> None:
    assert "n 0" in gate_line({**GATE, "n": 0})
    assert "roc_auc 0," in gate_line({**GATE, "observed": 0.0})


def test_square_brackets_in_a_reason_are_no_markup() -> None:
    assert "[red]x[/nosuch]" in plain(gate_line({**GATE, "reason": "[red]x[/nosuch]"}))


def test_the_whole_verdict_names_the_champion_and_every_gate() -> None:
    lines = [plain(line) for line in verdict_lines(CANDIDATE)]
    assert lines[0] == "Failed flights v2 against champion v1"
    assert [line.split()[:2] for line in lines[1:]] == [["Passed", "performance"], ["Failed", "latency"]]


def test_without_gates_the_reason_is_in_the_headline() -> None:
    superseded = {**CANDIDATE, "state": "superseded", "reason": "its time has passed", "verdicts": []}
    assert plain(headline(superseded)) == "Superseded flights v2 against champion v1: its time has passed"


def test_the_form_that_it_would_be_served_in_is_told_with_its_parity() -> None:
    parity = {"rows": 5487, "labels_differ": 0, "largest_difference": 2.2e-16, "tolerance": 1e-6}
    form = {"name": "onnxruntime", "parity": parity, "refused": [{"form": "linear", "reason": "trees"}]}
    assert list(form_rows({"measured": {"serving_form": form}})) == [
        (
            "served as",
            "onnxruntime: on 5,487 rows 0 labels differ from the model's, scores by 2.2e-16 at most (tolerance 1e-06)",
        ),
        ("", "not as linear: trees"),
    ]
    native = {"name": "native", "parity": None, "refused": [{"form": "any", "reason": "its own code"}]}
    told = [("served as", "native: the model itself"), ("", "its own code")]
    assert list(form_rows({"measured": {"serving_form": native}})) == told
    unknown = {"name": None, "problem": "it did not end", "refused": []}
    assert list(form_rows({"measured": {"serving_form": unknown}})) == [("served as", "not known: it did not end")]
    for older in ({}, {"measured": None}, {"measured": {}}):
        assert list(form_rows(older)) == []


@pytest.mark.parametrize(("value", "expected"), [(None, "–"), (0.70934, "0.7093"), (46.0, "46"), (1e-9, "1e-09")])
def test_a_number_has_four_figures(value: float | None, expected: str) -> None:
    assert number(value) == expected
