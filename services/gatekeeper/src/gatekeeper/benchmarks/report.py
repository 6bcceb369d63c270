"""benchmark_report.txt, and the page of a benchmark: the same figures for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gatekeeper.policy.section import Interval, Section, Table, cell

COLUMNS = ("", "value", "interval", "rows", "gain over champion", "interval", "note")


def text(results: Mapping[str, Any]) -> str:
    """Write the results as plain text."""
    rows = results["rows"]
    lines = [
        f"Benchmark {results['benchmark_id']} of {results['model']}: {headline(results)}",
        "",
        f"{results['reason']}.",
        "",
        f"Rows: {rows['used']:,} labelled production rows from {rows['start']} to {rows['end']}{_together(rows)}",
        f"      {rows['digest']}",
        f"      {rows['uri']}",
        f"Why:  {results['due']['reason']}{_by(results['due'])}",
        f"Policy: {results['policy_digest'] or '-'}",
    ]
    if results["figures"]:
        lines += ["", f"{results['metric']}, {_better(results)}; each bound holds with {_level(results)}", ""]
        lines += aligned([COLUMNS, *table_rows(results)])
    return "\n".join(lines) + "\n"


def headline(results: Mapping[str, Any]) -> str:
    """Say in a few words how it ended."""
    champion, beats = results["champion"], results["beats_baseline"]
    if beats is None:
        return "inconclusive"
    of = f"champion v{champion} is better than the trivial baseline"
    if not beats:
        of = f"ALERT: champion v{champion} is not shown to be better than the trivial baseline"
    winner = results["winner"]
    return f"{of}, and v{winner} is better than the champion" if winner not in (None, champion) else of


def table_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Return the figures as cells: the champion, earlier versions, baselines."""
    found: list[tuple[str, ...]] = []
    for each in results["figures"]:
        version = each["model_version"]
        name = each["name"] + (" (champion)" if version is not None and version == results["champion"] else "")
        found.append(
            (
                name if version is not None else f"baseline: {name}",
                cell(each["value"]),
                _interval(each["low"], each["high"]),
                cell(each["rows"]),
                _signed(each["gain"]),
                _interval(each["gain_low"], each["gain_high"], signed=True),
                each["problem"] or "",
            )
        )
    return found


def section(results: Mapping[str, Any]) -> Section:
    """Draw the gains over the champion, and tabulate all figures."""
    drawn = tuple(
        Interval(f"{each['name']} against the champion", each["gain"], each["gain_low"], each["gain_high"])
        for each in results["figures"]
        if each["gain"] is not None
    )
    if not results["figures"]:
        return Section()
    title = f"{results['metric']}, {_better(results)}; each bound holds with {_level(results)}"
    return Section(drawn, (Table(title, COLUMNS, tuple(table_rows(results))),))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Align columns with blanks."""
    widths = [max(len(row[number]) for row in rows) for number in range(len(rows[0]))]
    return ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _better(results: Mapping[str, Any]) -> str:
    return "greater is better" if results["greater_is_better"] else "smaller is better"


def _level(results: Mapping[str, Any]) -> str:
    return f"{100 * results['confidence']:.4g} %"


def _together(rows: Mapping[str, Any]) -> str:
    entity = f" ({rows['entity']})" if rows["units"] == "entities" else ""
    return f", by {rows['units']}{entity}"


def _by(due: Mapping[str, Any]) -> str:
    return f", by {due['requested_by']}" if due["requested_by"] else ""


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.4f}"


def _interval(low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None or high is None:
        return "–"
    return f"{low:+.4f} to {high:+.4f}" if signed else f"{low:.4f} to {high:.4f}"
