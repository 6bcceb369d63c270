"""The performance metric of a window: the champion's predictions against the labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_absolute_percentage_error,
    roc_auc_score,
    root_mean_squared_error,
)

from contracts import OutputFormat, Scalar
from contracts.custom_metrics import CustomMetricError, compute
from contracts.forecasts import pinball, quantile_of, same_direction, smape, values_before
from contracts.labels import BINARY, UNKNOWN, ClassLabels, number
from contracts.metrics import METRICS, Problem
from drift.database.window_rows import Answered
from drift.policy.estimates import Uncertainty, centred, groups, influences, losses, of_groups
from drift.policy.performance import Labelled
from drift.policy.predicted import predicted_class
from drift.scoring.units import Units

UNNAMED = ', which the model does not name: log it with metadata={"gauntlet": {"classes": ["negative", "positive"]}}'
NEEDS_SCORES = {"roc_auc", "pr_auc", "log_loss", "brier"}
ERRORS = {
    "mae": mean_absolute_error,
    "rmse": root_mean_squared_error,
    "mape": mean_absolute_percentage_error,
}


@dataclass(frozen=True)
class _Read:
    """Predictions and labels of the readable rows, as numbers; `why` says what could not be read.

    `before`: the label of the entity's row before, NaN without one. `scores`: NaN where a prediction has none.
    `units`: of which entity and time the rows are.
    """

    said: np.ndarray
    truth: np.ndarray
    before: np.ndarray
    scores: np.ndarray
    units: Units
    why: str


def measure(
    metric: str,
    window_rows: int,
    labelled: Sequence[Answered],
    output: OutputFormat | None = None,
    baseline: Mapping[str, float] | None = None,
) -> Labelled:
    """Compute `metric` on the readable rows; `why` states how many were not, with one of them.

    `output`: how the version's predictions are read; None: as the rows suggest. `baseline`: the version's metrics on
    the golden rows.
    Raises KeyError for a metric that is not in METRICS.
    """
    problem = _problem(metric, labelled, output)
    if METRICS[metric].of_every_class or (problem == "multiclass" and metric in NEEDS_SCORES):
        why = f"{metric} of more than two classes needs the score of each, which PredictionMade does not carry"
        return Labelled(window_rows, len(labelled), None, None, why)
    if problem == "regression":
        found = _numbers(labelled)
    else:
        found = _classes(metric, labelled, problem, output.classes if output else ())
    n, classes = len(found.truth), None if problem == "regression" else len(np.unique(found.truth))
    if metric == "mape" and (zeros := int((found.truth == 0).sum())):
        return Labelled(window_rows, n, classes, None, f"a relative error of zero is not defined: {zeros} labels are 0")
    if METRICS[metric].is_function and n:
        value, why, uncertainty = _of_function(metric, found, problem)
        return Labelled(window_rows, n, classes, value, why or found.why, uncertainty)
    if METRICS[metric].of_series and n:
        value, why, uncertainty = _of_series(metric, found, baseline or {})
        return Labelled(window_rows, n, None, value, why or found.why, uncertainty)
    if n == 0 or (classes is not None and classes < 2 and metric != "accuracy"):
        return Labelled(window_rows, n, classes, None, found.why)
    value = _value(metric, found.truth, found.said, problem)
    influence = influences(metric, found.truth, found.said, macro=problem != "binary")
    return Labelled(window_rows, n, classes, value, found.why, found.units.uncertainty(metric, found.truth, influence))


def _problem(metric: str, labelled: Sequence[Answered], output: OutputFormat | None) -> Problem:
    possible = METRICS[metric].problems
    if output is not None and output.problem in possible:
        return output.problem
    if len(possible) == 1:
        return possible[0]
    has_scores = any(row.score is not None for row in labelled)
    binary = ClassLabels(BINARY)
    if has_scores or all(UNKNOWN not in (binary.number(row.truth), binary.number(row.answer)) for row in labelled):
        return "binary"
    return "multiclass"


def _numbers(labelled: Sequence[Answered]) -> _Read:
    said, truth = [number(row.answer) for row in labelled], [number(row.truth) for row in labelled]
    unread = [row.truth for row, true in zip(labelled, truth, strict=True) if true is None]
    silent = sum(value is None for value in said)
    labels = [math.nan if value is None else value for value in truth]
    times = [row.event_time if value is not None else None for row, value in zip(labelled, truth, strict=True)]
    before = values_before(labels, times, [row.entity for row in labelled])
    return _readable(
        labelled, said, truth, _unread(unread, "it is no number"), _silent(silent, "number"), before=before
    )


def _classes(metric: str, labelled: Sequence[Answered], problem: Problem, names: tuple[Scalar, ...]) -> _Read:
    known = ClassLabels(names or (BINARY if problem == "binary" else ()))
    if problem == "multiclass":
        known = known.with_others(row.truth for row in labelled)  # the model cannot predict them: they are its errors
    truth = [None if (found := known.number(row.truth)) == UNKNOWN else found for row in labelled]
    unread = [row.truth for row, true in zip(labelled, truth, strict=True) if true is None]
    if metric in NEEDS_SCORES:
        said: list[float | None] = [row.score for row in labelled]
    else:
        said = [predicted_class(row.score, row.answer, known, problem) for row in labelled]
    silent = _silent(sum(value is None for value in said), "score" if metric in NEEDS_SCORES else "class")
    which = f"it is none of the classes {', '.join(map(repr, known.names))}" + ("" if names else UNNAMED)
    return _readable(labelled, said, truth, _unread(unread, which), silent)


def _readable(
    labelled: Sequence[Answered],
    said: Sequence[float | None],
    truth: Sequence[float | None],
    *unread: str,
    before: Sequence[float] | None = None,
) -> _Read:
    scores = [math.nan if row.score is None else row.score for row in labelled]
    rows = zip(said, truth, before or [math.nan] * len(said), scores, range(len(said)), strict=True)
    usable = np.array([row for row in rows if None not in row], dtype=float).reshape(-1, 5)
    *columns, places = usable.T
    found = dict(zip(("said", "truth", "before", "scores"), columns, strict=True))
    return _Read(**found, units=Units.of([labelled[int(at)] for at in places]), why="; ".join(filter(None, unread)))


Measured = tuple[float | None, str, Uncertainty | None]
"""A metric, why there is none, and its standard error."""


def _of_function(metric: str, found: _Read, problem: Problem) -> Measured:
    """Return the value of a user's function; its standard error by leaving out groups of rows."""
    kind = np.float64 if problem == "regression" else np.int64
    scores = None if np.isnan(found.scores).any() else found.scores
    truth, said = found.truth.astype(kind), found.said.astype(kind)
    try:
        value = compute(metric, truth, said, scores)
        if math.isnan(value):
            return None, "the function returns no number for these rows", None
        group = groups(len(truth), found.units.entities, found.units.order)
        kept = [group != number for number in range(int(group.max()) + 1)]
        without = [compute(metric, truth[k], said[k], None if scores is None else scores[k]) for k in kept]
    except CustomMetricError as error:
        return None, str(error), None
    return value, "", of_groups(np.array(without))


def _of_series(metric: str, found: _Read, baseline: Mapping[str, float]) -> Measured:
    if metric == "mase":
        # On the golden rows, both were measured with the naive error that the metric is a multiple of.
        mae, mase = baseline.get("mae", math.nan), baseline.get("mase", math.nan)
        if not (mae > 0 and mase > 0):
            return None, "the promotion carries no mae and mase above 0, from which the naive error is known", None
        errors = losses("mae", found.truth, found.said) * (mase / mae)
        return float(errors.mean()), "", found.units.uncertainty(metric, found.truth, centred(errors))
    known = ~np.isnan(found.before)
    if not known.any():
        why = "no labelled row has one before it: predictions need an event_time, and rows of an entity an id"
        return None, why, None
    right = same_direction(found.truth, found.said, found.before)[known].astype(np.float64)
    of_known = found.units.only(known).uncertainty(metric, found.truth[known], centred(right))
    return float(right.mean()), "", of_known


def _unread(labels: list[Scalar], why: str) -> str:
    if not labels:
        return ""
    return f"{len(labels)} labels could not be read, for example {str(labels[0])[:80]!r}: {why}"


def _silent(rows: int, what: str) -> str:
    return f"{rows} predictions carry no {what}" if rows else ""


def _value(metric: str, truth: np.ndarray, said: np.ndarray, problem: Problem) -> float:
    if metric == "accuracy":
        return float((truth == said).mean())
    if metric == "f1":
        labels = [1] if problem == "binary" else None
        return float(f1_score(truth, said, labels=labels, average="macro", zero_division=0))
    if metric == "roc_auc":
        return float(roc_auc_score(truth, said))
    if metric == "pr_auc":
        return float(average_precision_score(truth, said))
    if metric == "log_loss":
        return float(log_loss(truth, np.clip(said, 0.0, 1.0), labels=[0, 1]))
    if metric == "brier":
        return float(brier_score_loss(truth, np.clip(said, 0.0, 1.0), labels=[0, 1]))
    if metric == "smape":
        return float(smape(truth, said).mean())
    if (quantile := quantile_of(metric)) is not None:
        return float(pinball(truth, said, quantile).mean())
    with np.errstate(over="ignore"):
        return float(ERRORS[metric](truth, said))
