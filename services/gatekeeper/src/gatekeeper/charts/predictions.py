"""Charts of both versions' predictions on the same golden rows: ROC curve, calibration, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gatekeeper.charts.chart import Chart
from gatekeeper.charts.lines import Axes, Line, lines_svg
from gatekeeper.policy.statistics.curves import Calibration, Histogram, Roc

UNIT = Axes(low=0.0, high=1.0, times=False)


def roc_chart(curves: Sequence[tuple[str, Roc]], rows: int) -> Chart:
    """Return the chart of the curves by name, the version's first."""
    lines = [
        Line(f"{name}: area {each.area:.4f}", _points(each.false_positive, each.true_positive)) for name, each in curves
    ]
    lines.append(Line("chance: area 0.5", [(0.0, 0.0), (1.0, 1.0)]))
    areas = ", ".join(f"{name} {each.area:.4f}" for name, each in curves)
    return _chart(
        "roc",
        "ROC curve on golden rows",
        f"Share of the positives found (y) at each share of false alarms (x), on {rows:,} golden rows that no version"
        f" was trained on. Area below the curve: {areas}; by chance it is 0.5.",
        lines,
        ("version", "false alarms", "positives found"),
        [(name, x, y) for name, each in curves for x, y in _points(each.false_positive, each.true_positive)],
    )


def calibration_chart(curves: Sequence[tuple[str, Calibration]], rows: int, what: str) -> Chart:
    """Return the chart of the curves by name, the version's first. `what`: what a score is the probability of."""
    lines = [Line(name, _points(each.score, each.share), dots=True) for name, each in curves]
    lines.append(Line("perfectly calibrated", [(0.0, 0.0), (1.0, 1.0)]))
    return _chart(
        "calibration",
        "Calibration on golden rows",
        f"How often it is true (y) that {what}, where its probability was predicted as x; {rows:,} golden rows in ten"
        " bins. Below the diagonal a version promises too much.",
        lines,
        ("version", "predicted", "true", "rows"),
        [
            (name, x, y, int(count))
            for name, each in curves
            for (x, y), count in zip(_points(each.score, each.share), each.rows, strict=True)
        ],
    )


def errors_chart(histograms: Sequence[tuple[str, Histogram]], rows: int) -> Chart:
    """Return the chart of the errors by name, the version's first."""
    lines = [Line(name, _steps(each)) for name, each in histograms]
    return _chart(
        "errors",
        "Errors on golden rows",
        f"Predicted less true value (x), and the share of {rows:,} golden rows with such an error (y). Right of 0 a"
        " version predicts too much; errors beyond the picture are counted at its ends.",
        lines,
        ("version", "error from", "to", "share of the rows"),
        [
            (name, float(low), float(high), float(share))
            for name, each in histograms
            for low, high, share in zip(each.edges, each.edges[1:], each.shares, strict=False)
        ],
        Axes(low=0.0, times=False),
    )


def _chart(
    id_: str,
    title: str,
    description: str,
    lines: Sequence[Line],
    columns: tuple[str, ...],
    rows: Sequence[tuple[Any, ...]],
    axes: Axes = UNIT,
) -> Chart:
    width, height, svg = lines_svg(lines, [], axes)
    return Chart(id_, title, description, width, height, svg, columns, tuple(rows))


def _points(xs: Any, ys: Any) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]


def _steps(histogram: Histogram) -> list[tuple[float, float]]:
    """Two points a bin."""
    edges, shares = histogram.edges.tolist(), histogram.shares.tolist()
    return [
        point
        for low, high, share in zip(edges, edges[1:], shares, strict=False)
        for point in ((low, share), (high, share))
    ]
