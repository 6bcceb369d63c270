"""Pictures of a version's and its champion's predictions on the same golden rows, from the evidence of the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from contracts.policy import ModelPolicy
from gatekeeper.charts.chart import Chart
from gatekeeper.charts.predictions import calibration_chart, errors_chart, roc_chart
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.compared import Facts
from gatekeeper.policy.gates import performance
from gatekeeper.policy.statistics import curves
from gatekeeper.policy.statistics.estimates import Predictions


@dataclass(frozen=True)
class Pictures:
    """`notes`: why there are fewer pictures than one would expect, in sentences."""

    charts: tuple[Chart, ...] = ()
    notes: tuple[str, ...] = ()
    unfinished: bool = False
    """They are being made: look again."""


def pictures_of(measurements: Measurements, policy: ModelPolicy) -> Pictures:
    """Return the pictures of what the performance gate compared: the golden rows that no version was trained on."""
    facts = performance.facts(measurements, policy)
    if facts.truth is None or facts.challenger is None or len(facts.truth) == 0:
        error = facts.measurement_error
        return Pictures(notes=(error.what if error else "There are no golden rows with labels to draw.",))
    named = [(f"v{measurements.event.model_version}", facts.challenger)]
    notes = []
    if facts.champion is not None:
        named.append((f"champion v{facts.champion_version}", facts.champion))
    elif facts.champion_version is None:
        notes.append("There was no champion to compare it with.")
    else:
        notes.append(f"Champion v{facts.champion_version} has not predicted these golden rows.")
    charts, more = _charts(facts, named)
    return Pictures(tuple(charts), (*notes, *more))


def _charts(facts: Facts, named: list[tuple[str, Predictions]]) -> tuple[list[Chart], list[str]]:
    truth = facts.truth
    assert truth is not None
    rows = len(truth)
    if facts.problem == "regression":
        found = curves.residuals(*(each.labels - truth for _, each in named))
        return [errors_chart(list(zip(_names(named), found, strict=True)), rows)] if found else [], []
    scored = [(name, each) for name, each in named if each.scores is not None]
    notes = [
        f"{name} predicts labels without scores, which have no curve."
        for name in _names(named)
        if name not in _names(scored)
    ]
    charts = []
    if facts.problem == "binary":
        rocs = [(name, found) for name, each in scored if (found := curves.roc(truth == 1, _scores(each))) is not None]
        charts += [roc_chart(rocs, rows)] if rocs else []
        hits = [(name, truth == 1, _scores(each)) for name, each in scored]
        what = "the row is of the positive class"
    else:
        hits = [(name, truth == each.labels, _scores(each).max(axis=1)) for name, each in scored]
        what = "the predicted class is the right one"
    lines = [(name, found) for name, true, given in hits if (found := curves.calibration(true, given)) is not None]
    charts += [calibration_chart(lines, rows, what)] if lines else []
    if len(lines) < len(scored):
        notes.append("Scores beyond 0 to 1 are no probabilities, and have no calibration.")
    return charts, notes


def _scores(predictions: Predictions) -> curves.Floats:
    assert predictions.scores is not None
    return np.asarray(predictions.scores, dtype=np.float64)


def _names(named: Iterable[tuple[str, Predictions]]) -> list[str]:
    return [name for name, _ in named]
