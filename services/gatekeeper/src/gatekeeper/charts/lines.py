"""Lines over time or numbers: with intervals as bands, and bounds that they are compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from markupsafe import Markup

from gatekeeper.charts.chart import Scale, element, group, text

WIDTH, HEIGHT = 720, 280
LEFT, RIGHT, TOP, BOTTOM = 84, 16, 16, 36
LINE = 18
"""Height of a line of the legend."""
MARKS = ("mark", "mark2", "good", "note", "unsure", "bad")
"""Classes of the lines, in their order."""
PATTERNS = ((600, "%H:%M:%S"), (86_400, "%H:%M"), (864_000, "%m-%d %H:%M"), (math.inf, "%m-%d"))
"""How times are written, by the seconds that are shown."""
DASHES = (None, "7 3", "2 3", "9 3 2 3", "1 4", "12 4")
"""They differ without colour, too."""


@dataclass(frozen=True)
class Line:
    """`points`: x and y; `band`: x, low and high; NaN and infinity are left out. `dots`: a dot a point."""

    label: str
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    dots: bool = False


@dataclass(frozen=True)
class Bound:
    """A horizontal line that the others are compared with; `short`: what is written on it."""

    label: str
    y: float
    short: str = ""


@dataclass(frozen=True)
class Axes:
    """`low` and `high`: what y shows at least; what is beyond `floor` and `ceiling` is drawn on them."""

    y_text: Callable[[float], str] = field(default=lambda value: f"{value:.4g}")
    low: float = math.inf
    high: float = -math.inf
    floor: float = -math.inf
    ceiling: float = math.inf
    times: bool = True
    """x is in seconds since 1970, shown as times; else as numbers."""


def lines_svg(lines: Sequence[Line], bounds: Sequence[Bound], axes: Axes) -> tuple[float, float, Markup]:
    """Return width, height and the picture: a legend above, the lines below."""
    legend = [(line.label, MARKS[n % len(MARKS)], DASHES[n % len(DASHES)]) for n, line in enumerate(lines)]
    legend += [(bound.label, "bound", None) for bound in bounds]
    top = TOP + LINE * len(legend)
    height = top + HEIGHT - TOP
    x, y = _scales(lines, bounds, axes, top, height)
    parts = [_legend(legend), _grid(x, y, axes, top, height)]
    for number, line in enumerate(lines):
        parts.append(_drawn(line, MARKS[number % len(MARKS)], DASHES[number % len(DASHES)], x, y, axes))
    parts += [
        element("line", x1=x.start, x2=x.end, y1=y(_within(each.y, axes)), y2=y(_within(each.y, axes)), class_="bound")
        for each in bounds
    ]
    parts += [
        text(each.short, x=x.end, y=y(_within(each.y, axes)) - 4, text_anchor="end", class_="bound") for each in bounds
    ]
    return WIDTH, height, Markup("\n").join(parts)


def _scales(
    lines: Sequence[Line], bounds: Sequence[Bound], axes: Axes, top: float, height: float
) -> tuple[Scale, Scale]:
    xs = [x for line in lines for x, *_ in (*line.points, *line.band) if math.isfinite(x)] or [0.0, 1.0]
    values = [y for line in lines for _, y in line.points]
    values += [y for line in lines for _, low, high in line.band for y in (low, high)]
    ys = [_within(y, axes) for y in (*values, *(bound.y for bound in bounds)) if not math.isnan(y)]
    ys += [y for y in (axes.low, axes.high) if math.isfinite(y)]
    ys = [y for y in ys if math.isfinite(y)] or [0.0, 1.0]
    low, high = min(ys), max(ys)
    room = (high - low or abs(high) or 1.0) * 0.06
    first, last = min(xs), max(xs)
    if first == last:
        first, last = first - 1, last + 1
    return Scale(first, last, LEFT, WIDTH - RIGHT), Scale(low - room, high + room, height - BOTTOM, top)


def _within(y: float, axes: Axes) -> float:
    return min(max(y, axes.floor), axes.ceiling)


def _legend(entries: Sequence[tuple[str, str, str | None]]) -> Markup:
    parts = []
    for number, (label, class_, dash) in enumerate(entries):
        y = TOP + LINE * number
        parts.append(element("line", x1=LEFT, x2=LEFT + 28, y1=y - 4, y2=y - 4, class_=class_, stroke_dasharray=dash))
        parts.append(text(label, x=LEFT + 36, y=y))
    return group(parts)


def _grid(x: Scale, y: Scale, axes: Axes, top: float, height: float) -> Markup:
    parts = []
    for tick in y.ticks(5):
        parts.append(element("line", x1=LEFT - 4, x2=LEFT, y1=y(tick), y2=y(tick), class_="axis"))
        parts.append(text(axes.y_text(tick), x=LEFT - 8, y=y(tick) + 4, text_anchor="end", class_="axis"))
    parts.append(element("line", x1=LEFT, x2=LEFT, y1=top, y2=height - BOTTOM, class_="axis"))
    parts.append(element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=height - BOTTOM, y2=height - BOTTOM, class_="axis"))
    ticks = time_ticks(x) if axes.times else [(tick, f"{tick:g}") for tick in x.ticks(6)]
    for tick, label in ticks:
        parts.append(element("line", x1=x(tick), x2=x(tick), y1=height - BOTTOM, y2=height - BOTTOM + 4, class_="axis"))
        parts.append(text(label, x=x(tick), y=height - BOTTOM + 18, text_anchor="middle", class_="axis"))
    return group(parts)


def time_ticks(x: Scale) -> list[tuple[float, str]]:
    """Return four times within the scale, in seconds since 1970, with their text in UTC."""
    span = x.high - x.low
    pattern = next(pattern for most, pattern in PATTERNS if span < most)
    ticks = [x.low + span * share for share in (0.08, 0.36, 0.64, 0.92)]
    return [(tick, datetime.fromtimestamp(tick, UTC).strftime(pattern)) for tick in ticks]


def _drawn(line: Line, class_: str, dash: str | None, x: Scale, y: Scale, axes: Axes) -> Markup:
    parts = []
    band = [(at, low, high) for at, low, high in line.band if math.isfinite(low) and math.isfinite(high)]
    if band:
        around = [(at, high) for at, _, high in band] + [(at, low) for at, low, _ in reversed(band)]
        parts.append(element("path", d=f"{_path(around, x, y, axes)}Z", class_="band"))
    shown = [(at, value) for at, value in line.points if math.isfinite(value)]
    if len(shown) > 1:
        parts.append(element("path", d=_path(shown, x, y, axes), class_=class_, stroke_dasharray=dash))
    if line.dots or len(shown) == 1:
        parts += [element("circle", cx=x(at), cy=y(_within(v, axes)), r=3, class_=class_) for at, v in shown]
    return group(parts)


def _path(points: Iterable[tuple[float, float]], x: Scale, y: Scale, axes: Axes) -> str:
    return "M" + "L".join(f"{x(at)} {y(_within(value, axes))}" for at, value in points)
