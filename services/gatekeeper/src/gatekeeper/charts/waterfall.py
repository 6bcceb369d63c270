"""A waterfall: a line a step, from when it began to when it ended, on one axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gatekeeper.charts.chart import Scale, element, group, text

WIDTH, LEFT, RIGHT, TOP, LINE, BAR = 900, 250, 16, 26, 22, 12
LABEL = 34
"""Characters of a label that have room."""
LEAST = 2.0
"""Pixels of the shortest bar."""


@dataclass(frozen=True)
class Bar:
    """A line: its parts are (class, first second, last second)."""

    label: str
    depth: int
    parts: tuple[tuple[str, float, float], ...]
    emphasized: bool = False


def waterfall_svg(
    bars: Sequence[Bar], seconds: float, legend: Sequence[tuple[str, str]]
) -> tuple[float, float, Markup]:
    """Return width, height and the picture of `seconds` from left to right; `legend`: (class, words)."""
    height = TOP + LINE * len(bars) + 34
    x = Scale(0.0, seconds or 1.0, LEFT, WIDTH - RIGHT)
    unit, name = next((each for each in ((86400, "d"), (3600, "h"), (60, "min")) if seconds >= 2 * each[0]), (1, "s"))
    parts = []
    for tick in Scale(0.0, (seconds or 1.0) / unit, 0, 1).ticks(6):
        at = x(tick * unit)
        parts.append(element("line", x1=at, x2=at, y1=TOP - 4, y2=height - 34, class_="axis"))
        parts.append(text(f"{tick:g} {name}", x=at, y=TOP - 10, text_anchor="middle", class_="soft"))
    for number, bar in enumerate(bars):
        parts.append(_line(bar, TOP + LINE * number, x))
    left = LEFT
    for kind, words in legend:
        parts.append(element("rect", x=left, y=height - 18, width=BAR, height=BAR, class_=kind))
        parts.append(text(words, x=left + BAR + 5, y=height - 8, class_="soft"))
        left += BAR + 20 + 7 * len(words)
    return WIDTH, height, Markup("\n").join(parts)


def _line(bar: Bar, top: float, x: Scale) -> Markup:
    label = bar.label if len(bar.label) <= LABEL - bar.depth else bar.label[: LABEL - bar.depth - 1] + "…"
    words = text(label, x=6 + 6 * bar.depth, y=top + BAR, class_=None if bar.emphasized else "soft")
    marks = []
    for kind, first, last in bar.parts:
        begin, end = x(max(0.0, first)), x(last)
        width = max(LEAST, round(end - begin, 1))
        marks.append(
            element("rect", x=min(begin, WIDTH - RIGHT - width), y=top + 2, width=width, height=BAR, class_=kind)
        )
    return group([words, *marks])
