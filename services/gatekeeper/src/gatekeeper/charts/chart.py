"""What every chart is, and the scales and elements that charts are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Chart:
    """A picture and the numbers that it shows.

    `svg`: the children of the `<svg>` element, made with `element` and `text`, which escape what they are given.
    `rows`: a row of cells a mark, under `columns`; they are shown in a table behind the picture.
    """

    id: str
    """Unique on its page; of letters, digits and hyphens."""
    title: str
    description: str
    """What it shows in a sentence, with the figures that matter."""
    width: float
    height: float
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Scale:
    """Maps the values from `low` to `high` to pixels from `start` to `end`; `end` may be smaller, as on a y axis."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the pixel of a value, rounded to a tenth; a scale without a span puts all in its middle."""
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, count: int = 5) -> list[float]:
        """Return about `count` round values within the scale: multiples of 1, 2 or 5 times a power of ten."""
        span = self.high - self.low
        if not math.isfinite(span) or span <= 0:
            return [self.low]
        rough = span / count
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * factor for factor in (1, 2, 5, 10) if rough <= unit * factor * 1.0000001)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


def element(name: str, *children: Markup, **attributes: Any) -> Markup:
    """Return an SVG element. `stroke_width=1` is written `stroke-width="1"`, `class_` as `class`; None is left out.

    Colours come from classes of console.css (`mark`, `axis`, `bound`, `good`, `bad`, `soft`), so that they follow the
    reader's light or dark scheme; a `style` attribute would be refused by the page's content security policy.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), value)
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{}{}>{}</{}>").format(Markup(name), written, Markup("").join(children), Markup(name))


def text(content: object, **attributes: Any) -> Markup:
    """Return an SVG text element; its content is escaped."""
    return element("text", escape(content), **attributes)


def group(children: Sequence[Markup], **attributes: Any) -> Markup:
    return element("g", *children, **attributes)
