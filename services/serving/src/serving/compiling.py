"""Which compiled form a model is served by: the fastest that is proven to answer as the model itself does.

The rows to prove it by are the model's input example and some hundred more that are made of it: values missing, unseen,
extreme, next to each other in double and in single precision.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import forms
from chassis.telemetry import get_logger
from serving.models import LoadedModel
from serving.tables import Values

NATIVE = "native"
PROBES = 500
MOST_CALLS = 24
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
    rows = [*example, *forms.probe_rows(example, columns, PROBES)]
    complete, holed = ([row for row in rows if (None in row) is missing] for missing in (False, True))

    def ask(values: Sequence[Values]) -> Any:
        return model.outcome(model.signature.columns, values).raw

    # Apart: many a model refuses missing values, and then it is quickly known to answer all the others.
    known, expected, refused_rows = forms.answered(ask, complete, MOST_CALLS)
    more, answers, holes = forms.answered(ask, holed, MOST_CALLS)
    if more:
        known, expected = [*known, *more], np.concatenate([expected, answers]) if known else answers
    if not known:
        return Served(refused=(*refused, forms.Refused("any", "the model answers none of the rows to prove it by")))
    for form in found:
        verdict = forms.prove(form, known, expected, tolerance, [*refused_rows, *holes])
        if isinstance(verdict, forms.Proof) and verdict.holds:
            model.form = form
            return Served(form.name, verdict, tuple(refused))
        refused.append(verdict if isinstance(verdict, forms.Refused) else _differing(verdict))
    return Served(refused=tuple(refused))


def _differing(proof: forms.Proof) -> forms.Refused:
    differ = f"{proof.labels_differ} of {proof.rows} labels, scores by up to {proof.largest_difference:.3g}"
    return forms.Refused(proof.form, f"differs from the model: {differ} (tolerance {proof.tolerance:g})")


def native_estimator(pyfunc: Any) -> tuple[Any, str]:
    """The fitted estimator inside a pyfunc, and the name of the method that answers.

    Raises NotImplementedError when there is none.
    """
    flavor = pyfunc.metadata.flavors["python_function"]
    return pyfunc.get_raw_model(), flavor.get("predict_fn") or "predict"
