"""Charts of drift, from the windows as the drift service returns them, newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gatekeeper.charts.chart import Chart
from gatekeeper.charts.heat_map import heat_svg
from gatekeeper.charts.lines import Axes, Bound, Line, lines_svg

ROWS = 40
"""Rows of the heat map: those that came nearest to their limits; the others are in the table."""
NEWEST = 10
"""Windows that the table has of a column, but of the first WHOLE all."""
WHOLE = 5
SHARES = {"missing share": "missing values", "unseen share": "unseen categories"}
"""Distances that are signals of their own, by drift's names of them."""

Window = Mapping[str, Any]


def heat_map(windows: Sequence[Window]) -> Chart | None:
    """Return the heat map of the windows that were judged, oldest first; None without any."""
    judged = [each for each in reversed(windows) if each["data"]["scores"] or _prediction(each)]
    if not judged:
        return None
    found: dict[str, dict[int, tuple[float, float, float]]] = {}
    for column, window in enumerate(judged):
        for score in window["data"]["scores"]:
            name = row_name(score)
            found.setdefault(name, {})[column] = _cell(score["score"], score["limit"])
        if (prediction := _prediction(window)) is not None:
            found.setdefault("predictions", {})[column] = _cell(prediction["distance"], prediction["limit"])
    worst = sorted(found, key=lambda name: (-max(share for share, *_ in found[name].values()), name))
    shown, rest = worst[:ROWS], len(worst) - ROWS
    shares = {(row, column): found[name][column][0] for row, name in enumerate(shown) for column in found[name]}
    names = [f"{each['number']}" for each in judged]
    width, height, svg = heat_svg(shown, names, shares)
    over, nearest = sum(share >= 1 for share in shares.values()), _most(found[worst[0]])
    more = f" The {rest} columns that came least near to their limits are in the table only." if rest > 0 else ""
    many = len({each["model_version"] for each in judged})
    return Chart(
        "heat",
        f"Share of the calibrated limit, {len(judged)} windows, the newest on the right",
        f"{over:,} of {len(shares):,} cells are at or beyond their limit (marked by a cross); the highest is"
        f" {worst[0]}, at {nearest:.3g} times its limit.{more}"
        + (f" Windows of {many} versions: each counts its own." if many > 1 else ""),
        width,
        height,
        svg,
        ("feature", "version", "window", "of the limit", "distance", "limit"),
        tuple(
            (name, f"v{judged[column]['model_version']}", judged[column]["number"], *found[name][column])
            for name in worst
            for column in sorted(found[name], reverse=True)[: None if name in worst[:WHOLE] else NEWEST]
        ),
    )


def _most(cells: Mapping[int, tuple[float, float, float]]) -> float:
    return max(share for share, *_ in cells.values())


def _cell(score: float, limit: float) -> tuple[float, float, float]:
    """Return the share of the limit that is reached, the distance and the limit."""
    share = score / limit if limit > 0 else (1.0 if score >= limit and score > 0 else 0.0)
    return min(share, 1e6), score, limit


def row_name(score: Mapping[str, Any]) -> str:
    """Return a feature, with the signal that is meant where it is not its distribution."""
    signal = SHARES.get(score["method"])
    return f"{score['feature']}: {signal}" if signal else str(score["feature"])


def _prediction(window: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found: Mapping[str, Any] | None = window["prediction"]
    return found if found and found["distance"] is not None and found["limit"] is not None else None


def performance_chart(windows: Sequence[Window], baseline: Mapping[str, float]) -> Chart | None:
    """Return the metric as it was estimated without labels, and as labels showed it; None without either."""
    rows = [each for each in reversed(windows) if each["end"]]
    proxies = [(each, each["proxy"]) for each in rows if each["proxy"] and each["proxy"]["estimated"] is not None]
    truths = [(each, each["performance"]) for each in rows if each["performance"]["observed"] is not None]
    if not proxies and not truths:
        return None
    metric = (truths[-1][1] if truths else proxies[-1][1])["metric"]
    lines = []
    if truths:
        lines.append(_with_band(f"{metric} on labelled rows", truths, "observed"))
    if proxies:
        lines.append(_with_band(f"{metric} estimated without labels", proxies, "estimated"))
    bounds = [Bound(f"{baseline[metric]:.4g} on the golden rows", baseline[metric])] if metric in baseline else []
    width, height, svg = lines_svg(lines, bounds, Axes())
    true, estimated = {w["id"]: p for w, p in truths}, {w["id"]: p for w, p in proxies}
    both = [(estimated[each]["estimated"], true[each]["observed"]) for each in true if each in estimated]
    apart = ""
    if both:
        mean = sum(abs(one - other) for one, other in both) / len(both)
        apart = f" Where both are known, they differ by {mean:.3g} on average."
    return Chart(
        "performance",
        f"Estimated against true {metric}",
        f"{len(truths)} windows have labels, {len(proxies)} an estimate.{apart} An estimate without labels cannot see"
        " that the same features have come to mean something else.",
        width,
        height,
        svg,
        ("window", "end (UTC)", "labelled rows", "true", "from", "to", "estimated", "from", "to"),
        tuple(
            (
                each["number"],
                f"{moment(each['end']):%Y-%m-%d %H:%M:%S}",
                each["labelled"],
                *_triple(true.get(each["id"]), "observed"),
                *_triple(estimated.get(each["id"]), "estimated"),
            )
            for each in rows
            if each["id"] in true or each["id"] in estimated
        ),
    )


def _with_band(label: str, found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], name: str) -> Line:
    points = [(moment(window["end"]).timestamp(), each[name]) for window, each in found]
    band = [
        (moment(window["end"]).timestamp(), each["low"], each["high"])
        for window, each in found
        if each["low"] is not None and each["high"] is not None
    ]
    return Line(label, points, band, dots=True)


def _triple(found: Mapping[str, Any] | None, name: str) -> tuple[float | None, ...]:
    return (None, None, None) if found is None else (found[name], found["low"], found["high"])


def moment(text: str | None) -> Any:
    """Return a time of a response; None for none."""
    return None if text is None else datetime.fromisoformat(text)
