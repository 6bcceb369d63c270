"""Gate: the model loads and predicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Functional
from contracts.metrics import Problem
from contracts.policy import ModelPolicy
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
ALONE_TOLERANCE = 1e-5
"""Between a row's answer alone and among others, absolute and relative: the rounding of sums in single precision."""


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
    alone: Predictions | None = None
    """Of some rows, each predicted alone; `together` are those of the same rows among the others."""
    together: Predictions | None = None
    batch: int = 0
    """Rows that were predicted together."""


def facts(measurements: Measurements, policy: ModelPolicy) -> Facts:
    measurement_error, probe = measurements.measurement_error(Stage.LOADING, Stage.EXAMPLE), measurements.probe
    isolation = probe.isolation if probe else {}
    by_itself = _asks_for_label(measurements) or _is_untyped(measurements)
    measurement_error = by_itself or measurement_error or _fault_alone(measurements)
    if measurement_error is not None or probe is None:
        return Facts(policy.problem, measurement_error, isolation=isolation)
    classes = _classes(measurements, probe.first, probe.second)
    first, second = (
        None if raw is None else as_answers(raw, policy.problem, classes) for raw in (probe.first, probe.second)
    )
    alone = together = None
    batch = probe.first if probe.golden is None else probe.golden
    if probe.alone is not None and batch is not None:
        classes = _classes(measurements, batch, probe.alone)
        alone = as_answers(probe.alone, policy.problem, classes)
        together = as_answers(batch[list(probe.alone_rows)], policy.problem, classes)
    asked, n = probe.asked, 0 if batch is None else len(batch)
    return Facts(policy.problem, None, probe.example_rows, asked, first, second, isolation, alone, together, n)


def _is_untyped(measurements: Measurements) -> MeasurementError | None:
    """Return an error if the signature has no columns because MLflow had no type for one; name it, where it is known.

    Not in evidence before format 3, which was judged without this.
    """
    description, golden = measurements.description, measurements.golden
    if description.inputs is not None or description.kinds != ("any",) or measurements.golden_source is None:
        return None
    found = golden.untyped if golden else ()
    which = f"in the golden rows {', '.join(found)}" if found else "such as uint64, timedelta, Decimal or mixed values"
    return MeasurementError(
        ErrorSource.CANDIDATE,
        "its signature is one column of type any without a name, by which no request can be read: MLflow has no type"
        f" for a column that it was inferred from, {which}; convert it first, and infer the signature again",
    )


def _fault_alone(measurements: Measurements) -> MeasurementError | None:
    fault = measurements.probe.fault if measurements.probe else None
    if fault is None or fault.stage is not Stage.ALONE:
        return None
    return MeasurementError(ErrorSource.CANDIDATE, f"the model {fault.what} while {fault.stage.value}")


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
    if facts.alone is None or facts.together is None:  # evidence before format 3
        return _verdict(facts, Outcome.PASSED, f"it loads, and answers the {facts.asked} twice alike")
    if complaint := _depends_on_others(facts.alone, facts.together, facts.batch):
        return _verdict(facts, Outcome.FAILED, complaint)
    reason = f"it loads, answers the {facts.asked} twice alike, and {len(facts.alone.labels)} rows alone as together"
    return _verdict(facts, Outcome.PASSED, reason)


def _depends_on_others(alone: Predictions, together: Predictions, batch: int) -> str | None:
    one, other = (each.labels if each.scores is None else each.scores for each in (alone, together))
    numbers = alone.scores is not None or one.dtype.kind == "f"
    same = np.isclose(one, other, ALONE_TOLERANCE, ALONE_TOLERANCE) if numbers else one == other
    differ = np.flatnonzero(~same.reshape(len(same), -1).all(axis=1))
    if not len(differ):
        return None
    first = differ[0]
    within = f", within {ALONE_TOLERANCE:g}" if numbers else ""
    return (
        f"its answer to a row depends on the other rows: {len(differ)} of {len(one)} rows are answered otherwise alone"
        f" than in the batch of {batch} (the first: {_told(one[first])} alone, {_told(other[first])} together{within});"
        " such as category codes that predict makes from the rows that it is given"
    )


def _told(answer: Any) -> str:
    values = np.atleast_1d(answer).tolist()
    texts = [f"{value:.6g}" if isinstance(value, float) else str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts[:5])}{', …' if len(texts) > 5 else ''}]"


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
