"""Gate: the model treats groups of people equally, within a limit and relative to the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Fairness
from contracts.metrics import Problem
from contracts.policy import ModelPolicy
from gatekeeper.policy.gates import leakage
from gatekeeper.policy.gates.slices import Grouping, grouped
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.statistics.estimates import Predictions

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "fairness"
needs = frozenset({Need.CANDIDATE, Need.CHAMPION, Need.TRAINING_KEYS})

EVERY_VALUE = 20  # maximum number of groups of a numeric sensitive column, such as age


@dataclass(frozen=True, eq=False)
class Facts:
    """Clean golden rows: labels (n,), both models' predictions, and the groups by each sensitive column."""

    problem: Problem
    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    challenger: Predictions | None = None
    champion: Predictions | None = None
    champion_version: int | None = None
    groupings: Mapping[str, Grouping] = field(default_factory=dict)


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    settings = policy.gates.fairness
    measurement_error = measurements.other_error()
    if settings is False or measurement_error is not None:
        return Facts(policy.problem, measurement_error)
    clean = leakage.clean_rows(measurements, policy)
    found = grouped(measurements, settings.columns, EVERY_VALUE, clean)
    if isinstance(found, MeasurementError):
        return Facts(policy.problem, found)
    return Facts(problem=policy.problem, **measurements.compared(clean), groupings=found)


def decide(facts: Facts, settings: Fairness) -> GateVerdict:
    """Fail above the limit, or if worse than the champion by more than the margin, in any sensitive column."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.problem != "binary":
        return _undecided(f"{settings.metric} is defined for a binary problem, not for {facts.problem}")
    if facts.truth is None or facts.challenger is None or len(facts.truth) == 0:
        return _undecided("there are no clean golden rows with labels")
    columns: dict[str, dict[str, Any]] = {}
    for column, grouping in facts.groupings.items():
        columns[column] = _column(facts, facts.truth, facts.challenger, grouping, settings)
    few = [column for column, found in columns.items() if len(found["groups"]) < 2]
    if few:
        return _undecided(f"{few[0]} has fewer than two groups of {settings.minimum_rows} rows", columns)
    undefined = [column for column, found in columns.items() if not np.isfinite(found["challenger"])]
    if undefined:
        return _undecided(f"{settings.metric} is not defined for the groups of {undefined[0]}", columns)
    problems = [said for column, found in columns.items() for said in _problems(column, found, facts, settings)]
    worst = max(columns, key=lambda column: columns[column]["challenger"])
    observed = float(columns[worst]["challenger"])
    reason = (
        "; ".join(problems) or f"{settings.metric} is at most {observed:.4f} ({worst}), {settings.limit:g} are allowed"
    )
    return GateVerdict(
        gate=name,
        outcome=Outcome.FAILED if problems else Outcome.PASSED,
        reason=reason,
        metric=settings.metric,
        observed=observed,
        bound=settings.limit,
        margin=settings.margin,
        n=len(facts.truth),
        details={"columns": columns},
    )


def _column(
    facts: Facts, truth: NDArray[Any], challenger: Predictions, grouping: Grouping, settings: Fairness
) -> dict[str, Any]:
    sizes = {value: int((grouping.codes == code).sum()) for code, value in enumerate(grouping.names)}
    large = [code for code, value in enumerate(grouping.names) if sizes[value] >= settings.minimum_rows]
    rows = np.isin(grouping.codes, large)
    found: dict[str, Any] = {
        "groups": {grouping.names[code]: sizes[grouping.names[code]] for code in large},
        "too_small": {value: size for value, size in sizes.items() if size < settings.minimum_rows},
        "challenger": float("nan"),
        "champion": None,
    }
    if len(large) >= 2:
        groups = grouping.codes[rows]
        found["challenger"] = _difference(settings.metric, truth[rows], challenger.labels[rows], groups)
        if facts.champion is not None:
            found["champion"] = _difference(settings.metric, truth[rows], facts.champion.labels[rows], groups)
    return found


def _problems(column: str, found: dict[str, Any], facts: Facts, settings: Fairness) -> list[str]:
    value, champion = found["challenger"], found["champion"]
    if value > settings.limit:
        return [f"{column}: {settings.metric} is {value:.4f}, {settings.limit:g} are allowed"]
    if champion is not None and value > champion + settings.margin:
        return [
            f"{column}: {settings.metric} is {value:.4f}, more than {settings.margin:g} above champion"
            f" v{facts.champion_version}'s {champion:.4f}"
        ]
    return []


def _selected(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of the rows that are labelled 1."""
    return float(np.mean(labels == 1))


def _true_positives(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    return _share_of(truth == 1, labels)


def _false_positives(truth: NDArray[Any], labels: NDArray[Any]) -> float:
    return _share_of(truth != 1, labels)


def _share_of(rows: NDArray[np.bool_], labels: NDArray[Any]) -> float:
    """Return the share of these rows that are labelled 1; 0 without rows, as in fairlearn."""
    return float(np.count_nonzero(labels[rows] == 1) / np.count_nonzero(rows)) if rows.any() else 0.0


RATES = {
    "demographic_parity_difference": (_selected,),
    "equal_opportunity_difference": (_true_positives,),
    "equalized_odds_difference": (_true_positives, _false_positives),
}
"""By fairlearn's name of the metric. Values equal fairlearn's, which is not used here because it needs pandas."""


def _difference(metric: str, truth: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any]) -> float:
    """Return the difference between the largest and smallest rate of the groups; the larger one of two rates.

    `truth`, `labels`, `groups`: (n,); the labels are 0 and 1.
    """
    found = []
    for rate in RATES[metric]:
        rates = [rate(truth[groups == group], labels[groups == group]) for group in np.unique(groups)]
        found.append(max(rates) - min(rates))
    return max(found)


def _undecided(reason: str, columns: dict[str, Any] | None = None) -> GateVerdict:
    details = {"groups": {column: found["groups"] for column, found in (columns or {}).items()}}
    return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=reason, details=details)


def section(verdict: GateVerdict) -> Section:
    """Show each sensitive column: challenger, champion, and the groups."""
    rows = tuple(
        (
            column,
            found["challenger"],
            found["champion"],
            ", ".join(f"{group}: {size:,}" for group, size in found["groups"].items()),
        )
        for column, found in verdict.details.get("columns", {}).items()
    )
    columns = ("column", "challenger", "champion", "groups")
    return Section(tables=(Table(str(verdict.metric), columns, rows),) if rows else ())
