"""The page of a window: its verdicts and scores, followed by Evidently's report."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from contracts import FeatureScore
from drift.database.tables import WindowRow

STYLE = (
    "font-family:system-ui,sans-serif;margin:1rem;padding:1rem 1.5rem;border:2px solid #888;background:#fff;color:#222"
)
BLIND = (
    "Scores are of features only: they cannot see that the same features have come to mean something else. "
    "Labels can, and performance is judged on them. Evidently's page does not count missing values; the verdict does."
)


@dataclass(frozen=True)
class Drawing:
    """Evidently's page, None without data to plot, and a description of its data."""

    page: str | None
    note: str


def page_of(window: WindowRow, drawing: Drawing | None) -> str:
    """Return one self-contained HTML page."""
    note = drawing.note if drawing else "Not drawn: no drift, and other windows were waiting."
    box = _box(window, note)
    if drawing is None or drawing.page is None:
        head = f"<meta charset='utf-8'><title>{escape(window.id)}</title>"
        return f"<!DOCTYPE html><html lang='en'><head>{head}</head><body>{box}</body></html>"
    head, opening, rest = drawing.page.partition("<body")
    attributes, close, rest = rest.partition(">")
    return f"{head}{opening}{attributes}{close}{box}{rest}"


def _box(window: WindowRow, note: str) -> str:
    title = f"{window.model_name} version {window.model_version}, window {window.number}"
    span = f", from {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC" if window.start else ""
    scores = sorted(map(FeatureScore.model_validate, window.scores), key=lambda score: score.limit - score.score)
    rows = "".join(map(_row, scores))
    left_out = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in sorted(window.not_compared.items()))
    table = (
        "<details open><summary>Scores of all rows</summary><table><tr><th align='left'>feature</th>"
        "<th align='left'>method</th><th align='right'>score</th><th align='right'>limit</th><th></th></tr>"
        f"{rows}</table></details>"
    )
    return (
        f"<section id='gauntlet-verdict' style='{STYLE}'><h1>{escape(title)}</h1>"
        f"<p>{window.rows:,} rows, {window.labelled:,} labelled{span}</p>"
        + _verdict("Features", window.data_outcome, window.data_reason, window.data_held)
        + _verdict("Performance", window.performance_outcome, window.performance_reason, window.performance_held)
        + (table if rows else "")
        + (f"<details><summary>Not compared</summary><ul>{left_out}</ul></details>" if left_out else "")
        + f"<p>{BLIND}</p><p>{escape(note)}</p></section>"
    )


def _verdict(what: str, outcome: str | None, reason: str | None, held: str | None) -> str:
    if outcome is None:
        return f"<p><b>{what}: not judged yet</b></p>"
    words = {"Failed": "drift", "Passed": "no drift"}.get(outcome, "inconclusive")
    return f"<p><b>{what}: {words}</b>. {escape(reason or '')}. {escape(held or '')}</p>"


def _row(score: FeatureScore) -> str:
    return (
        f"<tr><td>{escape(score.feature)}</td><td>{escape(score.method)}</td><td align='right'>{score.score:.4f}</td>"
        f"<td align='right'>{score.limit:g}</td><td>{'drifted' if score.drifted else ''}</td></tr>"
    )
