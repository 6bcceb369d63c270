"""Bars: a histogram whose buckets may grow, one bar a bucket."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from gatekeeper.charts.chart import Scale, element, text

WIDTH, HEIGHT = 520, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 40


def bars_svg(labels: Sequence[str], values: Sequence[float], x_label: str = "") -> tuple[float, float, Markup]:
    """Return width, height and the picture; `labels`: of the buckets, below their bars."""
    y = Scale(0.0, max([*values, 1.0]) * 1.05, HEIGHT - BOTTOM, TOP)
    wide = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    parts = [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis")]
    for tick in y.ticks(4):
        parts.append(text(f"{tick:,g}", x=LEFT - 6, y=y(tick) + 4, text_anchor="end", class_="axis"))
        parts.append(element("line", x1=LEFT - 4, x2=LEFT, y1=y(tick), y2=y(tick), class_="axis"))
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        x, top = round(LEFT + number * wide, 1), y(value)
        height = round(HEIGHT - BOTTOM - top, 1)
        if value:
            parts.append(
                element("rect", x=x + 1, y=top, width=round(wide - 2, 1), height=max(1.0, height), class_="mark")
            )
        middle = round(x + wide / 2, 1)
        parts.append(text(label, x=middle, y=HEIGHT - BOTTOM + 14, text_anchor="middle", class_="axis"))
    if x_label:
        parts.append(text(x_label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 6, text_anchor="middle", class_="soft"))
    return WIDTH, HEIGHT, Markup("\n").join(parts)
