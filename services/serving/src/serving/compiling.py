"""Which compiled form a model is served by: the fastest that is proven to answer as the model itself does.

The rows to prove it by are the model's input example and some hundred more that are made of it: values missing, unseen,
extreme, next to each other in double and in single precision.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import forms
from chassis.telemetry import get_logger
from serving.models import LoadedModel, ModelFailed
from serving.tables import Values

NATIVE = "native"
PROBES = 500
MOST_CALLS = 48
"""Of the native model, to find out which rows it refuses; each costs milliseconds."""

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """What `/models` tells of the form in use."""

    form: str = NATIVE
    proof: forms.Proof | None = None
    refused: tuple[forms.Refused, ...] = ()
    seconds: float = 0.0

    def about(self) -> dict[str, Any]:
        proof = self.proof and {
            "rows": self.proof.rows,
            "labels_differ": self.proof.labels_differ,
            "largest_difference": self.proof.largest_difference,
            "tolerance": self.proof.tolerance,
        }
        refused = [{"form": each.form, "reason": each.reason} for each in self.refused]
        return {"name": self.form, "parity": proof or None, "refused": refused}


@dataclass(slots=True)
class _Known:
    """The rows that the native model answers, with its answers, and rows that it refuses."""

    rows: list[Values] = field(default_factory=list)
    answers: list[Any] = field(default_factory=list)
    refused: list[Values] = field(default_factory=list)


def compile_model(model: LoadedModel, tolerance: float) -> Served:
    """Blocks. Gives `model` its form; the native one where none is proven. Raises nothing that a model may raise."""
    started = time.perf_counter()
    try:
        served = _compile(model, tolerance)
    except (Exception, SystemExit) as error:  # somebody's estimator; the native form is still there
        served = Served(refused=(forms.Refused("any", f"{type(error).__name__}: {error}"),))
    served = Served(served.form, served.proof, served.refused, time.perf_counter() - started)
    log.info(
        "form chosen",
        model_name=model.artifact.model_name,
        model_version=model.artifact.model_version,
        form=served.form,
        seconds=round(served.seconds, 4),
        refused={each.form: each.reason for each in served.refused},
    )
    return served


def _compile(model: LoadedModel, tolerance: float) -> Served:
    if not model.example:
        return Served(refused=(forms.Refused("any", "the model has no input example to prove a form by"),))
    if not all(column.required for column in model.signature.columns):
        return Served(refused=(forms.Refused("any", "the model has optional columns"),))
    columns = [forms.Column(column.name, column.kind) for column in model.signature.columns]
    try:
        estimator, method = native_estimator(model.pyfunc)
    except NotImplementedError:
        return Served(refused=(forms.Refused("any", "a pyfunc of its own code: there is no estimator to compile"),))
    found, refused = forms.candidates(estimator, columns, method)
    if not found:
        return Served(refused=tuple(refused))
    example = list(model.reader.read(list(model.example), len(model.example)).values)
    known = _ask_native(model, [*example, *forms.probe_rows(example, columns, PROBES)])
    if not known.rows:
        return Served(refused=(*refused, forms.Refused("any", "the model answers none of the rows to prove it by")))
    expected = np.concatenate(known.answers)
    for form in found:
        verdict = _prove(form, known, expected, tolerance)
        if isinstance(verdict, forms.Proof):
            model.form = form
            return Served(form.name, verdict, tuple(refused))
        refused.append(verdict)
    return Served(refused=tuple(refused))


def native_estimator(pyfunc: Any) -> tuple[Any, str]:
    """The fitted estimator inside a pyfunc, and the name of the method that answers.

    Raises NotImplementedError when there is none.
    """
    flavor = pyfunc.metadata.flavors["python_function"]
    return pyfunc.get_raw_model(), flavor.get("predict_fn") or "predict"


def _prove(form: forms.Form, known: _Known, expected: np.ndarray, tolerance: float) -> forms.Proof | forms.Refused:
    verdict = forms.prove(form, known.rows, expected, tolerance)
    if isinstance(verdict, forms.Refused):
        return verdict
    if not verdict.holds:
        differ = f"{verdict.labels_differ} of {verdict.rows} labels, scores by up to {verdict.largest_difference:.3g}"
        return forms.Refused(form.name, f"differs from the model: {differ} (tolerance {verdict.tolerance:g})")
    for row in known.refused:
        try:
            form.predict([row])
        except ValueError:
            continue
        return forms.Refused(form.name, f"answers a row that the model refuses: {row!r}"[:300])
    return verdict


def _ask_native(model: LoadedModel, rows: Sequence[Values]) -> _Known:
    """All at once where that goes; where it fails, by halves. Rows whose fate is still open in the end are left out."""
    known, calls = _Known(), 0
    by_nulls: dict[tuple[bool, ...], list[Values]] = {}
    for row in rows:
        by_nulls.setdefault(tuple(value is None for value in row), []).append(row)
    complete = by_nulls.pop(tuple(False for _ in model.signature.columns), [])
    single = [given[0] for nulls, given in by_nulls.items() if sum(nulls) == 1]
    rest = [row for given in by_nulls.values() for row in given if row not in single]
    waiting = [part for part in (rest, single, complete) if part]
    while waiting and calls < MOST_CALLS:
        part = waiting.pop()
        calls += 1
        try:
            outcome = model.outcome(model.signature.columns, part)
        except ModelFailed:
            if len(part) == 1:
                known.refused += part
            else:
                waiting += [part[len(part) // 2 :], part[: len(part) // 2]]
        else:
            known.rows += part
            known.answers.append(np.asarray(outcome.raw))
    return known
