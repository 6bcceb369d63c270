"""A verdict as one self-contained HTML page: no scripts, external fonts or images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from contracts import GateVerdict, Outcome
from gatekeeper.evaluation.gate_runner import GATES
from gatekeeper.policy.section import Interval, Section, cell
from gatekeeper.read_models import CandidateView
from gatekeeper.report import form, importance, tournament

WIDTH, EDGE = 560, 12
"""Width of a plot and its padding on both sides, in pixels."""

WORDS = {
    "passed": "may become champion: every gate of its policy passed",
    "failed": "may not become champion",
    "waiting": "has no verdict yet",
    "inconclusive": "is undecided, so it may not become champion",
}


TONES = {"Passed": "good", "Failed": "bad", "Inconclusive": "unsure", "Waiting": "note"}
"""Classes of the style sheet, by outcome."""


def render(candidate: CandidateView) -> str:
    """Render the page of a judged candidate as UTF-8 text."""
    return environment().get_template("verdict.html").render(verdict_of(candidate))


def verdict_of(candidate: CandidateView) -> dict[str, Any]:
    """Return what the template `_verdict.html` shows, here and on the console's page."""
    known = {gate.name: gate for gate in GATES}
    gates = [
        {"verdict": verdict, "section": _section(known.get(verdict.gate), verdict)} for verdict in candidate.verdicts
    ]
    return {
        "candidate": candidate,
        "decision": WORDS.get(candidate.state, candidate.state),
        "gates": gates,
        "missing": [gate for gate in gates if gate["verdict"].outcome is not Outcome.PASSED],
        "versions": candidate.evidence.get("versions", {}),
        "golden": candidate.evidence.get("golden"),
        "golden_columns": golden_columns(candidate.evidence),
        "form": form.shown(candidate.evidence.get("measured")),
        "importance": importance.shown(candidate.evidence.get("measured")),
        "played": candidate.evidence.get("tournament"),
        "tournament": tournament.section(candidate.evidence.get("tournament")),
    }


def environment() -> Environment:
    """Return the templates of the gatekeeper's pages, each with its style within."""
    found = Environment(
        loader=PackageLoader("gatekeeper.report"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    equip(found)
    # The console's own, so that a verdict looks alike in both; ours, so there is nothing to escape.
    found.globals["style"] = Markup((files("gatekeeper") / "console/static/console.css").read_text())
    return found


def equip(environment: Environment) -> None:
    """Add what the templates of this package use."""
    environment.filters["cell"] = cell
    environment.globals.update(drawn=drawn, tone=defaultdict(lambda: "soft", TONES))


def golden_columns(evidence: Mapping[str, Any]) -> str | None:
    """Say where the golden rows are from and which columns were used; None in evidence before format 3."""
    source, golden = (evidence.get("measured") or {}).get("golden_source"), evidence.get("golden")
    if not source or not golden:
        return None
    roles = {"label": "label", "entity": "entity", "event time": "event_time"}
    named = [f"{role} {golden[key]!r}" for role, key in roles.items() if golden.get(key)]
    return f"{source['where']}, with {', '.join(named)}"


def drawn(intervals: Sequence[Interval]) -> list[dict[str, Any]]:
    """Positions in pixels on a common scale: lower, value, upper, bound and zero."""
    marks = [0.0, *(mark for each in intervals for mark in (each.lower, each.upper, each.value))]
    marks += [each.bound for each in intervals if each.bound is not None]
    low, high = min(marks), max(marks)
    span = (high - low) or 1.0

    def place(value: float) -> float:
        return round(EDGE + (value - low) / span * (WIDTH - 2 * EDGE), 1)

    return [
        {
            "label": each.label,
            "text": f"{each.value:+.4f} ({each.lower:+.4f} to {each.upper:+.4f})",
            "lower": place(each.lower),
            "upper": place(each.upper),
            "value": place(each.value),
            "zero": place(0.0),
            "bound": None if each.bound is None else place(each.bound),
            "bound_text": None if each.bound is None else f"{each.bound:+.4f}",
        }
        for each in intervals
    ]


def _section(gate: Any, verdict: GateVerdict) -> Section:
    """The gate's section of the page; empty where a verdict of an older version lacks its data."""
    if gate is None:
        return Section()
    try:
        found: Section = gate.section(verdict)
    except (KeyError, TypeError, AttributeError):
        return Section()
    return found
