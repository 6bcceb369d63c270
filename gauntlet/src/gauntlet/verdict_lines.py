"""Verdicts as text: gate by gate, with the observed values and their references."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.markup import escape

STYLES = {"Passed": "green", "Failed": "red", "Inconclusive": "yellow"}


def verdict_lines(candidate: Mapping[str, Any]) -> Iterable[str]:
    """Return the whole verdict on a candidate as lines of markup: the outcome, then each gate."""
    yield headline(candidate)
    if (problem := problem_line(candidate)) is not None:
        yield problem
    for verdict in candidate["verdicts"]:
        yield gate_line(verdict)


def problem_line(candidate: Mapping[str, Any]) -> str | None:
    """Return how the problem was found that the policy leaves out; None if it states it."""
    evidence = candidate.get("evidence") or {}
    because = (evidence.get("measured") or {}).get("problem_because")
    if because is None:
        return None
    policy = evidence["policy"]
    return f"  [dim]judged as a {policy['problem']} problem by {policy['metric']}, because {escape(because)}[/]"


def headline(candidate: Mapping[str, Any]) -> str:
    """Return the outcome of a candidate, and its reason, as a line of markup."""
    state = str(candidate["state"]).capitalize()
    champion = candidate["champion_version"]
    against = f" against champion v{champion}" if champion else ""
    name = escape(f"{candidate['model_name']} v{candidate['model_version']}")
    # The gates' lines below state it one by one.
    reason = escape(f": {candidate['reason']}" if candidate["reason"] and not candidate["verdicts"] else "")
    return f"[{STYLES.get(state, 'bold')}]{state}[/] {name}{against}{reason}"


def gate_line(verdict: Mapping[str, Any]) -> str:
    """Return one gate's verdict as a line of markup."""
    outcome = str(verdict["outcome"])
    numbers = ", ".join(gate_numbers(verdict))
    return (
        f"  [{STYLES.get(outcome, 'bold')}]{outcome_of(verdict):<12}[/] {escape(str(verdict['gate'])):<12} "
        f"{escape(str(verdict['reason']))}{escape(f' ({numbers})') if numbers else ''}"
    )


def outcome_of(verdict: Mapping[str, Any]) -> str:
    """Return a gate's outcome; a gate that did not run, because an earlier one failed, has none."""
    return "Not run" if (verdict.get("details") or {}).get("not_run") else str(verdict["outcome"])


def gate_numbers(verdict: Mapping[str, Any]) -> Iterable[str]:
    """Return the available numbers of the evidence."""
    metric = verdict.get("metric")
    if verdict.get("observed") is not None:
        yield f"{metric or 'observed'} {number(verdict['observed'])}"
    if verdict.get("bound") is not None:
        yield f"bound {number(verdict['bound'])}"
    if verdict.get("margin") is not None:
        yield f"margin {number(verdict['margin'])}"
    if verdict.get("n") is not None:
        yield f"n {rows_of(verdict)}"


def rows_of(verdict: Mapping[str, Any]) -> str:
    """Return how many rows or calls a verdict is based on; none is a dash."""
    return "–" if verdict["n"] is None else f"{verdict['n']:,}"


def number(value: float | None) -> str:
    """Return `value` with four significant digits; None is a dash."""
    return "–" if value is None else f"{value + 0.0:.4g}"  # no minus before a zero
