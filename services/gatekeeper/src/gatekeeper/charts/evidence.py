"""Charts of what a rollout's tests showed over time, against what decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from gatekeeper.charts.chart import Chart
from gatekeeper.charts.lines import Axes, Bound, Line, lines_svg
from gatekeeper.policy.rollout_endings import odds
from gatekeeper.policy.rollout_figures import Finding

TITLES = {
    "metric": "Metric: is it better, is it worse?",
    "agreement": "Agreement of both versions",
    "errors": "Errors: does it fail more often?",
    "latency": "Latency: is it slower?",
    "sample ratio": "Routing: does it receive its share?",
}
TEN = math.log(10)
FLOOR, CEILING = -3.0, 9.0
"""Of the picture, as powers of ten; the numbers are in the table."""


@dataclass(frozen=True)
class Moment:
    """What the tests of a step showed at one time; `counted` and `total` as of `policy.rollout.counted`."""

    at: datetime
    findings: Mapping[str, Finding]
    counted: int = 0
    total: int = 0


def evidence_charts(moments: Sequence[Moment]) -> list[Chart]:
    """Return a chart for each thing that is judged; `moments` oldest first. None without a moment."""
    if not moments:
        return []
    return [_chart(name, moments) for name in moments[-1].findings if _has_something(name, moments)]


def _has_something(name: str, moments: Sequence[Moment]) -> bool:
    found = [moment.findings[name] for moment in moments if name in moment.findings]
    return any(each.evidence or each.interval for each in found)


def _chart(name: str, moments: Sequence[Moment]) -> Chart:
    seen = [(moment.at, moment.findings[name]) for moment in moments if name in moment.findings]
    if any(finding.interval for _, finding in seen):
        return _of_intervals(name, seen)
    return _of_evidence(name, seen)


def _of_intervals(name: str, seen: Sequence[tuple[datetime, Finding]]) -> Chart:
    known = [(at, finding.interval, finding.figure.n) for at, finding in seen if finding.interval is not None]
    line = Line(
        "mean loss of the champion minus that of the tried version, with its bounds",
        [(at.timestamp(), interval.observed) for at, interval, _ in known],
        [(at.timestamp(), interval.low, interval.high) for at, interval, _ in known],
        dots=len(known) == 1,
    )
    last = known[-1][1]
    bound = Bound(f"{last.bound:.4g}: better when all of the band is above, worse when all is below", last.bound)
    width, height, svg = lines_svg([line], [bound], Axes())
    return Chart(
        _id(name),
        TITLES[name],
        f"The loss is lower by {last.observed:.4g} now ({last.low:.4g} to {last.high:.4g}), compared with"
        f" {last.bound:.4g}, on {known[-1][2]:,} labelled units. The bounds hold however often they are looked at.",
        width,
        height,
        svg,
        ("time (UTC)", "units", "lower by", "at least", "at most", "compared with"),
        tuple((_time(at), n, each.observed, each.low, each.high, each.bound) for at, each, n in known),
    )


def _of_evidence(name: str, seen: Sequence[tuple[datetime, Finding]]) -> Chart:
    last = next(finding for _, finding in reversed(seen) if finding.evidence)
    known = [(at, finding) for at, finding in seen if finding.evidence]
    lines = [
        Line(each.shows, [(at.timestamp(), finding.evidence[n].strength / TEN) for at, finding in known])
        for n, each in enumerate(last.evidence)
    ]
    needs: dict[float, list[str]] = {}
    for each in last.evidence:
        needs.setdefault(each.needed, []).append(each.shows)
    bounds = [
        Bound(f"{odds(needed)} shows that {' / '.join(shows)}", needed / TEN, odds(needed).replace(" to ", ":"))
        for needed, shows in needs.items()
    ]
    axes = Axes(y_text=lambda y: odds(y * TEN).replace(" to ", ":"), low=0.0, floor=FLOOR, ceiling=CEILING)
    width, height, svg = lines_svg(lines, bounds, axes)
    now = "; ".join(f"that {each.shows}: {odds(each.strength)} of {odds(each.needed)}" for each in last.evidence)
    return Chart(
        _id(name),
        TITLES[name],
        f"Evidence as odds, now {now}, on {last.figure.n:,} rows or units. It may be looked at at any time.",
        width,
        height,
        svg,
        ("time (UTC)", "rows or units", *(each.shows for each in last.evidence)),
        tuple(
            (_time(at), finding.figure.n, *(odds(each.strength) for each in finding.evidence)) for at, finding in known
        ),
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _id(name: str) -> str:
    return f"evidence-{name.replace(' ', '-')}"
