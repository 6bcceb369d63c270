"""Gate: the challenger is not worse than the champion on any group of rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Slices
from contracts.policy import ModelPolicy
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Interval, Section
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Difference, Predictions, Series, Unmeasurable
from gatekeeper.policy.statistics.holm import holm
from gatekeeper.policy.statistics.metrics import direction, trivial

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "slices"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION, Need.TRAINING_KEYS})

MOST_TOLD = 200
MOST_DRAWN = 30


@dataclass(frozen=True, eq=False)
class Grouping:
    """The n rows by one column: `names[codes[i]]` is the group of row i."""

    names: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Facts:
    """Clean golden rows: labels, both models' predictions, and the groups by each declared column."""

    metric: str
    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    challenger: Predictions | None = None
    champion: Predictions | None = None
    champion_version: int | None = None
    clusters: NDArray[Any] | None = None
    groupings: Mapping[str, Grouping] = field(default_factory=dict)
    series: Series | None = None


@dataclass(frozen=True)
class Slice:
    """One group that is large enough to be judged; `p` is the p-value of a loss beyond the margin."""

    label: str
    difference: Difference
    p: float


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    settings = policy.gates.slices
    measurement_error = measurements.other_error()
    if settings is False or measurement_error is not None:
        return Facts(policy.metric, measurement_error)
    clean, clusters = leakage.clean_rows(measurements, policy), measurements.clusters
    found = grouped(measurements, settings.columns, settings.bins, clean)
    if isinstance(found, MeasurementError):
        return Facts(policy.metric, found)
    return Facts(
        metric=policy.metric,
        **measurements.compared(clean),
        clusters=None if clusters is None else clusters[clean],
        groupings=found,
        series=measurements.series(clean),
    )


def grouped(
    measurements: Measurements, columns: Sequence[str], bins: int, rows: NDArray[np.bool_]
) -> Mapping[str, Grouping] | MeasurementError:
    """Group the selected golden rows by each of these columns; return an error if a column is missing."""
    golden = measurements.golden
    if golden is None:
        return {}
    if missing := [column for column in columns if column not in golden.rows.columns]:
        known = ", ".join(sorted(map(str, golden.rows.columns)))
        return MeasurementError(ErrorSource.DATA, f"the golden rows have no column {missing[0]!r}, only {known}")
    by_column = ((column, golden.groups(column, bins)) for column in columns)
    return {column: Grouping(names, codes[rows]) for column, (names, codes) in by_column}


def decide(facts: Facts, settings: Slices) -> GateVerdict:
    """Fail if a slice is shown to lose more than its margin, at family-wise level alpha over all slices (Holm 1979)."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.truth is None or facts.challenger is None or len(facts.truth) == 0:
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason="there are no clean golden rows with labels")
    if facts.champion_version is None:
        return GateVerdict(gate=name, outcome=Outcome.PASSED, reason="no champion yet, so nothing to lose to it")
    if facts.champion is None:
        reason = f"champion v{facts.champion_version} has not answered the golden rows"
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason)
    try:
        champion = estimates.value(facts.metric, facts.truth, facts.champion, facts.series)
        worth = direction(facts.metric) * (champion - trivial(facts.metric, facts.truth, facts.series))
    except Unmeasurable as error:
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=f"{facts.metric}: {error}")
    margin = settings.margin_share * max(0.0, worth)
    judged, left_out = _judge(facts, settings, margin)
    if not judged:
        reason = (
            f"no slice has {settings.minimum_rows} rows on which {facts.metric} is defined ({len(left_out)} smaller)"
        )
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason)
    rejected = holm([found.p for found in judged], settings.alpha)
    losers = [found for found, lost in zip(judged, rejected, strict=True) if lost]
    worst = min(losers or judged, key=lambda found: found.difference.value)
    return GateVerdict(
        gate=name,
        outcome=Outcome.FAILED if losers else Outcome.PASSED,
        reason=_reason(facts, judged, losers, worst, margin, len(left_out)),
        metric=facts.metric,
        observed=worst.difference.value,
        bound=-margin,
        margin=margin,
        n=len(facts.truth),
        details={
            "alpha": settings.alpha,
            "slices": [_told(found, lost) for found, lost in zip(judged, rejected, strict=True)][:MOST_TOLD],
            "too_small": left_out[:MOST_TOLD],
        },
    )


def _judge(facts: Facts, settings: Slices, margin: float) -> tuple[list[Slice], list[str]]:
    assert facts.truth is not None and facts.challenger is not None and facts.champion is not None, "checked before"
    judged: list[Slice] = []
    left_out: list[str] = []
    for column, grouping in facts.groupings.items():
        for code, value in enumerate(grouping.names):
            rows, label = grouping.codes == code, f"{column} = {value}"
            if rows.sum() < settings.minimum_rows:
                left_out.append(label)
                continue
            clusters = None if facts.clusters is None else facts.clusters[rows]
            series = None if facts.series is None else facts.series.only(rows)
            pair = facts.challenger.only(rows), facts.champion.only(rows)
            try:
                found = estimates.difference(facts.metric, facts.truth[rows], *pair, settings.alpha, clusters, series)
            except Unmeasurable:
                left_out.append(label)
                continue
            judged.append(Slice(label, found, estimates.p_value(found, -margin)))
    return judged, left_out


def _reason(facts: Facts, judged: list[Slice], losers: list[Slice], worst: Slice, margin: float, left_out: int) -> str:
    found = worst.difference
    said = (
        f"{worst.label}: {facts.metric} {found.first:.4f} against champion v{facts.champion_version}'s"
        f" {found.second:.4f} on {found.n} rows"
    )
    small = f"; {left_out} slices are too small to judge" if left_out else ""
    if losers:
        others = f" (and {len(losers) - 1} more)" if len(losers) > 1 else ""
        return f"{said} is a loss of more than {margin:.4f}, beyond chance{others}; {len(judged)} slices judged{small}"
    return f"no slice of {len(judged)} is shown to lose more than {margin:.4f}; the lowest is {said}{small}"


def _told(found: Slice, lost: bool) -> dict[str, Any]:
    each = found.difference
    return {
        "slice": found.label,
        "n": each.n,
        "challenger": each.first,
        "champion": each.second,
        "difference": each.value,
        "lower": each.lower,
        "upper": each.upper,
        "p": found.p,
        "loses": lost,
    }


def section(verdict: GateVerdict) -> Section:
    """Show each slice's difference with its bounds, the worst first."""
    found = sorted(verdict.details.get("slices", ()), key=lambda each: float(each["difference"]))
    intervals = tuple(
        Interval(
            f"{each['slice']} ({each['n']:,} rows)", each["difference"], each["lower"], each["upper"], verdict.bound
        )
        for each in found[:MOST_DRAWN]
    )
    losers = ", ".join(each["slice"] for each in found if each["loses"])
    return Section(intervals, to_pass=f"No loss beyond {verdict.margin:.4f} in: {losers}." if losers else None)
