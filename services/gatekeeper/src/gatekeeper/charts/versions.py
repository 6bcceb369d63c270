"""The metric of each version with its interval, champions marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from gatekeeper.charts.chart import Chart, Scale, element, text

WIDTH, HEIGHT = 720, 250
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 18, 44
EVERY = 24
"""Pixels that the number of a version needs below the axis."""


@dataclass(frozen=True)
class VersionMetric:
    """What a verdict measured of a version; `lower` and `upper` None: no interval was computed.

    `against`: the champion that it was compared with, and `champion` that one's value on the same rows. Without it the
    interval is that of the value; with it, the one of the difference from `champion` on.
    """

    model_version: int
    value: float
    lower: float | None
    upper: float | None
    rows: int | None
    state: str
    was_champion: bool
    against: int | None = None
    champion: float | None = None


def metric_by_version(metric: str, versions: Sequence[VersionMetric], *, greater_is_better: bool) -> Chart | None:
    """Return the chart of these versions, the oldest first; None without any."""
    if not versions:
        return None
    marks = [mark for each in versions for mark in (each.value, each.lower, each.upper, each.champion)]
    known = [mark for mark in marks if mark is not None]
    room = (max(known) - min(known)) * 0.08 or 0.05
    y = Scale(min(known) - room, max(known) + room, HEIGHT - BOTTOM, TOP)
    x = Scale(-0.5, len(versions) - 0.5, LEFT, WIDTH - RIGHT)
    step = -(-EVERY * len(versions) // (WIDTH - LEFT - RIGHT))
    parts = [*_axes(y), *_legend(versions)]
    for place, each in enumerate(versions):
        parts += _drawn(each, x(place), y)
        if (len(versions) - 1 - place) % step == 0:
            label = f"v{each.model_version}"
            parts.append(text(label, x=x(place), y=HEIGHT - BOTTOM + 16, text_anchor="middle", class_="axis"))
    return Chart(
        id="metric-by-version",
        title=f"{metric} by version, on golden rows",
        description=_description(metric, versions, greater_is_better),
        width=WIDTH,
        height=HEIGHT,
        svg=Markup("\n").join(parts),
        columns=(
            "version",
            metric,
            "lower",
            "upper",
            "compared with",
            "its value",
            "golden rows",
            "verdict",
            "champion",
        ),
        rows=tuple(_row(each) for each in reversed(versions)),
    )


def _axes(y: Scale) -> list[Markup]:
    parts = [element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=HEIGHT - BOTTOM, y2=HEIGHT - BOTTOM, class_="axis")]
    parts.append(element("line", x1=LEFT, x2=LEFT, y1=TOP, y2=HEIGHT - BOTTOM, class_="axis"))
    for tick in y.ticks(4):
        parts.append(text(f"{tick:.4g}", x=LEFT - 8, y=y(tick) + 4, text_anchor="end", class_="axis"))
        parts.append(element("line", x1=LEFT - 4, x2=LEFT, y1=y(tick), y2=y(tick), class_="axis"))
    return parts


def _drawn(each: VersionMetric, x: float, y: Scale) -> list[Markup]:
    parts = []
    if each.champion is not None:
        level = y(each.champion)
        parts.append(element("line", x1=x - 8, x2=x + 8, y1=level, y2=level, class_="soft"))
    if each.lower is not None and each.upper is not None:
        parts.append(element("line", x1=x, x2=x, y1=y(each.lower), y2=y(each.upper), class_="mark"))
    return [*parts, _point(each.was_champion, x, y(each.value))]


def _point(champion: bool, x: float, y: float) -> Markup:
    """Champions are diamonds, others are dots: they differ without colour, too."""
    if champion:
        return element("polygon", points=f"{x},{y - 8} {x + 8},{y} {x},{y + 8} {x - 8},{y}", class_="good")
    return element("circle", cx=x, cy=y, r=4.5, class_="mark")


def _legend(versions: Sequence[VersionMetric]) -> list[Markup]:
    y, x = HEIGHT - 8, LEFT
    parts = [_point(True, x + 6, y - 4)]
    parts += [text("was champion", x=x + 18, y=y), _point(False, x + 130, y - 4)]
    parts.append(text("was not", x=x + 142, y=y))
    if any(each.champion is not None for each in versions):
        parts.append(element("line", x1=x + 214, x2=x + 230, y1=y - 4, y2=y - 4, class_="soft"))
        parts.append(text("the champion that it was compared with", x=x + 238, y=y))
    return parts


def _description(metric: str, versions: Sequence[VersionMetric], greater_is_better: bool) -> str:
    better = "greater" if greater_is_better else "smaller"
    newest, champions = versions[-1], [each for each in versions if each.was_champion]
    span = f"v{versions[0].model_version} to v{newest.model_version}" if len(versions) > 1 else "One version"
    said = f"{span}; {better} is better. The newest, v{newest.model_version}, has {newest.value:.4g}"
    if newest.champion is not None:
        said += f", v{newest.against} {newest.champion:.4g} on the same rows"
    if champions:
        said += (
            f". Of those that were champion, the newest is v{champions[-1].model_version}: {champions[-1].value:.4g}"
        )
    if any(each.champion is not None for each in versions):
        said += (
            ". An interval is that of the difference to the champion then, on the same rows: a version is shown to be"
            " better where all of it is beyond the champion's line"
        )
    return f"{said}."


def _row(each: VersionMetric) -> tuple[object, ...]:
    against = None if each.against is None else f"v{each.against}"
    was = "yes" if each.was_champion else "no"
    figures = (each.value, each.lower, each.upper, against, each.champion, each.rows)
    return (f"v{each.model_version}", *figures, each.state, was)
