"""Gate: the model loads and predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.policy import Functional, ModelPolicy, Problem
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.needs import Need
from gatekeeper.policy.predictions import as_answers
from gatekeeper.policy.section import plain
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics.estimates import Predictions

if TYPE_CHECKING:
    from gatekeeper.evaluation.measurements import Measurements

name = "functional"
needs = frozenset({Need.CANDIDATE})
section = plain

SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, eq=False)
class Facts:
    """Results of loading the model and predicting the same rows twice."""

    problem: Problem
    measurement_error: MeasurementError | None = None
    rows: int = 0
    asked: str = "input example"
    first: Predictions | None = None
    second: Predictions | None = None
    isolation: Mapping[str, str] = field(default_factory=dict)
    """Isolation of the model from network, files and other processes, with gaps."""


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error, probe = measurements.measurement_error(Stage.LOADING, Stage.EXAMPLE), measurements.probe
    isolation = probe.isolation if probe else {}
    measurement_error = _asks_for_label(measurements) or measurement_error
    if measurement_error is not None or probe is None:
        return Facts(policy.problem, measurement_error, isolation=isolation)
    classes = _classes(measurements, probe.first, probe.second)
    first, second = (
        None if raw is None else as_answers(raw, policy.problem, classes) for raw in (probe.first, probe.second)
    )
    return Facts(policy.problem, None, probe.example_rows, probe.asked, first, second, isolation)


def _asks_for_label(measurements: Measurements) -> MeasurementError | None:
    """Return an error if the signature has the label column: such a model was fitted to it, and never receives it."""
    label = measurements.golden.label if measurements.golden else measurements.description.roles.get("label")
    if label is None or label not in (measurements.description.inputs or ()):
        return None
    return MeasurementError(
        ErrorSource.CANDIDATE, f"its signature asks for the label column {label!r}, which no model is given"
    )


def decide(facts: Facts, settings: Functional) -> GateVerdict:
    if facts.measurement_error is not None:
        verdict = facts.measurement_error.verdict(name)
        return verdict.model_copy(update={"details": {**verdict.details, "isolation": dict(facts.isolation)}})
    if facts.first is None or facts.second is None or facts.rows == 0:
        return _verdict(
            facts,
            Outcome.INCONCLUSIVE,
            "the model has neither an input example nor golden rows to answer",
        )
    for answers in (facts.first, facts.second):
        if complaint := _complaint(facts.problem, facts.rows, answers):
            return _verdict(facts, Outcome.FAILED, complaint)
    if not alike(facts.first, facts.second):
        return _verdict(
            facts,
            Outcome.FAILED,
            f"it answered the {facts.asked} differently the second time",
        )
    return _verdict(facts, Outcome.PASSED, f"it loads, and answers the {facts.asked} twice alike")


def alike(first: Predictions, second: Predictions) -> bool:
    """Return whether predictions are bitwise equal."""
    if (first.scores is None) != (second.scores is None) or not np.array_equal(first.labels, second.labels):
        return False
    return first.scores is None or second.scores is None or np.array_equal(first.scores, second.scores)


def _complaint(problem: Problem, rows: int, answers: Predictions) -> str | None:
    if len(answers.labels) != rows or (answers.scores is not None and len(answers.scores) != rows):
        return f"asked {rows} rows, it gave {len(answers.labels)} answers"
    if problem == "regression":
        return None if _finite(answers.labels) else "it answered NaN or infinity"
    if answers.scores is None:
        return None
    if not _finite(answers.scores):
        return "it answered NaN or infinity"
    low, high = float(answers.scores.min()), float(answers.scores.max())
    if low < 0 or high > 1:
        return f"it answered scores from {low:.6g} to {high:.6g}, which are no probabilities"
    if answers.scores.ndim == 2:
        total = answers.scores.sum(axis=1)
        if float(np.abs(total - 1).max()) > SUM_TOLERANCE:
            return f"its class probabilities add up to {float(total.min()):.6g}…{float(total.max()):.6g}, not to 1"
    return None


def _classes(measurements: Measurements, *answers: NDArray[Any] | None) -> tuple[Any, ...]:
    """Return the classes of the model or its golden rows; for string predictions without them, those predicted."""
    known = measurements.description.classes or (measurements.golden.classes if measurements.golden else None)
    if known is not None:
        return known
    words = {word for raw in answers if raw is not None and raw.dtype.kind == "U" for word in raw.tolist()}
    return tuple(sorted(words)) or (0, 1)


def _finite(values: object) -> bool:
    return bool(np.isfinite(np.asarray(values, dtype=np.float64)).all())


def _verdict(facts: Facts, outcome: Outcome, reason: str) -> GateVerdict:
    return GateVerdict(
        gate=name,
        outcome=outcome,
        reason=reason,
        n=facts.rows,
        details={"asked": facts.asked, "isolation": dict(facts.isolation)},
    )
