"""A heat map: rows of names, columns of windows, and for each cell how much of its limit is reached."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from gatekeeper.charts.chart import element, text

STEPS = (
    (0.25, "up to a quarter of the limit"),
    (0.5, "up to a half"),
    (0.75, "up to three quarters"),
    (1.0, "below it"),
)
BEYOND = "at or beyond the limit: drifted"
CELL = 18
NAME = 190
HEAD = 76
"""Height of the legend and the numbers of the windows."""
LONGEST = 26
"""Characters of a name that are shown; the whole one is in the table."""


def step_of(share: float) -> int:
    """Return the class of a share of the limit: 0 to 4; 4: the limit is reached."""
    return next((number for number, (end, _) in enumerate(STEPS) if share < end), len(STEPS))


def heat_svg(
    names: Sequence[str], columns: Sequence[str], shares: Mapping[tuple[int, int], float]
) -> tuple[float, float, Markup]:
    """Return width, height and the picture. `shares`: of the limit, by row and column; a missing cell was not judged.

    Cells of one step are one path, so that fifty windows of a hundred features stay small. A cross marks what is
    beyond its limit, so that it is seen without colours.
    """
    cells: dict[int, list[str]] = {}
    crosses: list[str] = []
    missing: list[str] = []
    for row in range(len(names)):
        for column in range(len(columns)):
            x, y = NAME + column * CELL, HEAD + row * CELL
            share = shares.get((row, column))
            if share is None or math.isnan(share):
                missing.append(f"M{x + 7} {y + 8.5}h3")
                continue
            step = step_of(share)
            cells.setdefault(step, []).append(f"M{x} {y}h{CELL - 1}v{CELL - 1}h-{CELL - 1}z")
            if step == len(STEPS):
                crosses.append(f"M{x + 5} {y + 5}l7 7m0 -7l-7 7")
    parts = [element("path", d="".join(found), class_=f"heat{step}") for step, found in sorted(cells.items())]
    if crosses:
        parts.append(element("path", d="".join(crosses), class_="cross"))
    if missing:
        parts.append(element("path", d="".join(missing), class_="axis"))
    parts += [
        text(_short(name), x=NAME - 8, y=HEAD + row * CELL + 13, text_anchor="end") for row, name in enumerate(names)
    ]
    every = max(1, math.ceil(len(columns) * 34 / (len(columns) * CELL or 1)))
    parts += [
        text(label, x=NAME + number * CELL + CELL / 2, y=HEAD - 8, text_anchor="middle", class_="axis")
        for number, label in enumerate(columns)
        if (len(columns) - 1 - number) % every == 0
    ]
    parts.append(_legend())
    width = max(NAME + len(columns) * CELL + 12, 640)
    return width, HEAD + len(names) * CELL + 8, Markup("\n").join(parts)


def _legend() -> Markup:
    parts = []
    x = 8
    for number, label in enumerate((*(words for _, words in STEPS), BEYOND)):
        row = 0 if number < 3 else 1
        if number == 3:
            x = 8
        y = 8 + 22 * row
        parts.append(element("rect", x=x, y=y, width=CELL - 1, height=CELL - 1, class_=f"heat{number}"))
        if number == len(STEPS):
            parts.append(element("path", d=f"M{x + 5} {y + 5}l7 7m0 -7l-7 7", class_="cross"))
        parts.append(text(label, x=x + CELL + 6, y=y + 13))
        x += CELL + 24 + 7 * len(label)
    parts.append(element("path", d=f"M{x + 7} {8 + 22 + 8.5}h3", class_="axis"))
    parts.append(text("not judged", x=x + CELL + 2, y=8 + 22 + 13))
    return Markup("").join(parts)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
