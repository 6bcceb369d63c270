"""Gate: the model is robust to dirty input: missing cells, unseen categories, extreme numbers, noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Robustness
from contracts.policy import ModelPolicy
from gatekeeper.policy import unseen_categories
from gatekeeper.policy.measurement_error import MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.section import Section, Table
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.estimates import Predictions, Series, Unmeasurable
from gatekeeper.policy.statistics.metrics import direction, trivial
from gatekeeper.policy.unseen_categories import CategoryAnswers

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "robustness"
needs = frozenset({Need.CANDIDATE, Need.DIRTY_ROWS})

WORDS = {
    "missing": "cells are missing",
    "unseen": "categories are new",
    "extreme": "numbers are extreme",
    "noise": "numbers are noisy",
}


@dataclass(frozen=True, eq=False)
class Facts:
    """Labels of m golden rows, and the predictions on the clean rows and on each dirty version.

    `faults`: errors by kind of dirty rows. Kinds in neither do not apply to the columns.
    """

    metric: str
    measurement_error: MeasurementError | None = None
    truth: NDArray[Any] | None = None
    clean: Predictions | None = None
    dirty: Mapping[str, Predictions] = field(default_factory=dict)
    faults: Mapping[str, str] = field(default_factory=dict)
    categories: tuple[CategoryAnswers, ...] = ()
    """By column of categories; none in evidence before format 3."""
    series: Series | None = None


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error = measurements.measurement_error(Stage.DIRTY)
    rows, answers, probe = measurements.golden, measurements.challenger_answers, measurements.probe
    chosen = measurements.dirty_rows
    if measurement_error is not None or rows is None or answers is None or probe is None or chosen is None:
        return Facts(policy.metric, measurement_error or measurements.other_error())
    return Facts(
        metric=policy.metric,
        truth=rows.truth[chosen],
        clean=answers.only(chosen),
        dirty={kind: measurements.answers(values) for kind, values in probe.dirty.items() if kind in WORDS},
        faults={kind: fault for kind, fault in probe.dirty_faults.items() if kind in WORDS},
        categories=tuple(
            found
            for trial in measurements.category_trials
            if (found := unseen_categories.read(trial, probe.dirty)) is not None
        ),
        series=measurements.series(chosen),
    )


def decide(facts: Facts, settings: Robustness) -> GateVerdict:
    """Fail if dirty rows crash the model or cost more than the margin, a share of its clean gain over the trivial."""
    if facts.measurement_error is not None:
        return facts.measurement_error.verdict(name)
    if facts.truth is None or facts.clean is None or len(facts.truth) == 0:
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason="there are no golden rows with labels")
    sign = direction(facts.metric)
    try:
        clean = estimates.value(facts.metric, facts.truth, facts.clean, facts.series)
        margin = settings.margin_share * max(0.0, sign * (clean - trivial(facts.metric, facts.truth, facts.series)))
        values = {
            kind: estimates.value(facts.metric, facts.truth, answers, facts.series)
            for kind, answers in facts.dirty.items()
        }
    except Unmeasurable as error:
        return GateVerdict(gate=name, outcome=Outcome.INCONCLUSIVE, reason=f"{facts.metric}: {error}")
    wanted = [kind for kind in settings.perturbations if kind in values or kind in facts.faults]
    crashed = [f"when {WORDS[kind]}, it raised {facts.faults[kind]}" for kind in wanted if kind in facts.faults]
    lost = [
        f"when {WORDS[kind]}, {facts.metric} is {values[kind]:.4f} instead of {clean:.4f}"
        for kind in wanted
        if kind in values and sign * (clean - values[kind]) > margin
    ]
    problems = crashed + ([f"{'; '.join(lost)}: it may lose {margin:.4f}"] if lost else [])
    as_known = {each.column: names for each in facts.categories if (names := unseen_categories.scored_as(each))}
    warnings = [unseen_categories.warning(column, names) for column, names in as_known.items()]
    if settings.unseen_as_known == "fail":
        problems, warnings = problems + warnings, []
    if not wanted:
        return GateVerdict(
            gate=name, outcome=Outcome.INCONCLUSIVE, reason="no perturbation of the policy applies to these columns"
        )
    judged = [kind for kind in wanted if kind in values]
    worst = min(judged, key=lambda kind: sign * values[kind], default=None)
    observed = None if worst is None else values[worst]
    reason = "; ".join(problems)
    if not reason and worst is not None:
        reason = (
            f"with {settings.share:.0%} of the cells dirty, {facts.metric} goes from {clean:.4f} to {values[worst]:.4f}"
            f" at worst ({WORDS[worst]}); it may lose {margin:.4f}"
        )
    reason = "; ".join(filter(None, (reason, *(f"warning: {each}" for each in warnings))))
    details: dict[str, Any] = {"clean": clean, "dirty": values, "faults": dict(facts.faults)}
    if facts.categories:
        details["unseen_as_known"] = {column: list(names) for column, names in as_known.items()}
    return GateVerdict(
        gate=name,
        outcome=Outcome.FAILED if problems else Outcome.PASSED,
        reason=reason,
        metric=facts.metric,
        observed=observed,
        bound=clean - sign * margin,
        margin=margin,
        n=len(facts.truth),
        details=details,
    )


def section(verdict: GateVerdict) -> Section:
    """Show the metric on each kind of dirty rows, or the error raised."""
    details = verdict.details
    if "dirty" not in details:
        return Section()
    rows = [("as they are", details["clean"])]
    rows += [(WORDS[kind], value) for kind, value in details["dirty"].items()]
    rows += [(WORDS[kind], fault) for kind, fault in details["faults"].items()]
    found = [Table("Dirty rows", ("when", str(verdict.metric)), tuple(rows))]
    if as_known := details.get("unseen_as_known"):
        told = tuple((column, ", ".join(names)) for column, names in as_known.items())
        found.append(Table("Categories never seen that are scored as known ones", ("column", "as"), told))
    return Section(tables=tuple(found))
