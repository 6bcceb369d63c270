"""The page of a window: its verdicts and scores in words, followed by Evidently's report."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from contracts import FeatureScore
from drift.database.tables import WindowRow
from drift.reports import words
from drift.reports.style import STYLE

REFRESH_SECONDS = 2
"""Interval at which a page loads itself again while it is being drawn."""


@dataclass(frozen=True)
class Drawing:
    """Evidently's page, None without data to plot, and a description of its data."""

    page: str | None
    note: str


@dataclass(frozen=True)
class Look:
    """What the page of a window shows below its verdicts, and why, if it is no drawing."""

    drawing: Drawing | None
    note: str
    waits: bool = False
    """The drawing is on its way."""
    wanted: bool = False
    """A drawing is possible, and none is on its way yet."""
    again: bool = False
    """It failed, and another attempt is possible."""


def page_of(window: WindowRow, look: Look) -> str:
    """Return one self-contained HTML page."""
    box = _box(window, look)
    if look.drawing is None or look.drawing.page is None:
        refresh = f"<meta http-equiv='refresh' content='{REFRESH_SECONDS}'>" if look.waits else ""
        title = f"<title>{escape(window.id)}</title>"
        head = f"<head>{_head()}{title}{refresh}</head>"
        return f"<!DOCTYPE html><html lang='en'>{head}<body>{box}</body></html>"
    before, opening, rest = look.drawing.page.partition("<body")
    attributes, close, rest = rest.partition(">")
    return f"{before.replace('</head>', f'{_head()}</head>', 1)}{opening}{attributes}{close}{box}{rest}"


def _head() -> str:
    viewport = "<meta name='viewport' content='width=device-width, initial-scale=1'>"
    return f"<meta charset='utf-8'>{viewport}<style>{STYLE}</style>"


def _box(window: WindowRow, look: Look) -> str:
    span = f" · {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC" if window.start else ""
    title = f"{window.model_name} v{window.model_version}, window {window.number}"
    again = " <a href='?again=true'>Draw it again</a>" if look.again else ""
    return (
        f"<main id='gauntlet'><h1>{escape(title)}</h1>"
        f"<p class='headline'>{escape(words.headline(window))}</p>"
        f"<p class='soft'>{window.rows:,} rows, {window.labelled:,} labelled{span}</p>"
        + _card("Features", window.data_outcome, window.data_reason, window.data_held, _limits(window))
        + _harm(window.harm)
        + _predictions(window.prediction)
        + _proxy(window.proxy, words.two_limits(window))
        + _card(
            "Performance",
            window.performance_outcome,
            window.performance_reason,
            window.performance_held,
            [words.interval(window)],
        )
        + _scores(window)
        + f"<p class='soft'>{words.BLIND}</p><p class='soft' id='drawing'>{escape(look.note)}{again}</p></main>"
    )


def _card(
    what: str,
    outcome: str | None,
    reason: str | None,
    held: str | None = None,
    more: list[str | None] | None = None,
    badge: str | None = None,
) -> str:
    if outcome is None:
        return f"<section><h2>{what} <b class='badge'>not judged yet</b></h2></section>"
    lines = [_sentence(text) for text in (reason, held) if text]
    lines += [f"<span class='soft'>{escape(text)}</span>" for text in more or () if text]
    verdict = badge or words.OUTCOMES.get(outcome, "inconclusive")
    head = f"<h2>{what} <b class='badge {escape(outcome)}'>{escape(verdict)}</b></h2>"
    return f"<section>{head}{''.join(f'<p>{line}</p>' for line in lines)}</section>"


def _sentence(text: str) -> str:
    text = text.strip()
    first = text.split(maxsplit=1)[0] if text else ""
    if first.isalpha():  # not the name of a column
        text = text[:1].upper() + text[1:]
    return escape(text + ("" if text.endswith((".", "!", "?")) else "."))


def _limits(window: WindowRow) -> list[str | None]:
    return [words.limits(window.limits), words.share_rule(window.limits)]


def _harm(harm: dict[str, Any] | None) -> str:
    if not harm:
        return ""
    kind = str(harm.get("harm"))
    shade = {"harmful": "Failed", "benign": "Passed"}.get(kind, "Inconclusive")
    return _card("Harm", shade, harm.get("reason"), None, [words.estimate(harm)], badge=kind)


def _predictions(prediction: dict[str, Any] | None) -> str:
    if not prediction:
        return ""
    return _card(
        "Predictions",
        prediction.get("outcome"),
        prediction.get("reason"),
        prediction.get("held"),
        [words.distance(prediction), words.SIGNAL],
    )


def _proxy(proxy: dict[str, Any] | None, also: str | None) -> str:
    if not proxy:
        return ""
    return _card(
        "Performance, estimated without labels",
        proxy.get("outcome"),
        proxy.get("reason"),
        proxy.get("held"),
        [words.estimate(proxy), also, words.PROXY],
    )


def _scores(window: WindowRow) -> str:
    scores = sorted(map(FeatureScore.model_validate, window.scores), key=lambda score: score.limit - score.score)
    left_out = "".join(f"<li>{escape(name)}: {escape(why)}</li>" for name, why in sorted(window.not_compared.items()))
    table = ""
    if scores:
        calibrated = any(score.expected is not None for score in scores)
        expected = "<th class='number'>usual</th>" if calibrated else ""
        rows = "".join(_row(score, calibrated) for score in scores)
        table = (
            "<details open><summary>Distance of each feature from the reference, on all rows</summary>"
            "<div class='scroll'><table><tr><th>feature</th><th>compared</th><th class='number'>distance</th>"
            f"{expected}<th class='number'>limit</th><th></th></tr>{rows}</table></div>"
            f"<p class='soft'>{words.MEANING}</p></details>"
        )
    return table + (f"<details><summary>Not compared</summary><ul>{left_out}</ul></details>" if left_out else "")


def _row(score: FeatureScore, calibrated: bool) -> str:
    usual = "" if score.expected is None else f"{score.expected:.4f}"
    return (
        f"<tr><td>{escape(score.feature)}</td><td>{escape(words.METHODS.get(score.method, score.method))}</td>"
        f"<td class='number'>{_number(score.score)}</td>"
        + (f"<td class='number'>{usual}</td>" if calibrated else "")
        + f"<td class='number'>{_number(score.limit)}</td>"
        + ("<td class='Failed'>drifted</td></tr>" if score.drifted else "<td></td></tr>")
    )


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10_000 else f"{value:.3g}"
