"""Which form a model is served in: the fastest that is proven to answer as the model itself does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from forms.compiling import candidates
from forms.form import Column, CompilationResult, ParityReport, Rejection, Row
from forms.parity_inputs import parity_rows
from forms.proof import answered, prove

PROBES = 500
MOST_CALLS = 24
"""Of the native model, to find out which rows of one kind it refuses; each costs milliseconds."""


def choose(
    pyfunc: Any,
    columns: Sequence[Column],
    ask: Callable[[Sequence[Row]], Any],
    rows: Sequence[Row],
    tolerance: float = 1e-6,
) -> CompilationResult:
    """Prove the forms of an MLflow pyfunc on `rows` and on some hundred more that are made of them.

    Those have values missing, unseen, extreme, next to each other in double and in single precision. `ask` is the
    native model, of any number of rows. Raises what `ask` raises beyond Exception.
    """
    try:
        model, method = estimator_of(pyfunc)
    except NotImplementedError:
        return none("a pyfunc of its own code: there is no estimator to compile")
    found, refused = candidates(model, columns, method)
    if not found:
        return CompilationResult(refused=tuple(refused))
    known: list[Row] = []
    answers: list[np.ndarray] = []
    refused_rows: list[Row] = []
    # Apart: many a model refuses missing values or made-up ones, and is then quickly known to answer all the others.
    for some, is_holed in product((rows, parity_rows(rows, columns, PROBES)), (False, True)):
        part = [row for row in some if (None in row) is is_holed]
        more, theirs, not_answered = answered(ask, part, MOST_CALLS)
        known += more
        answers += [theirs] if more else []
        refused_rows += not_answered
    if not known:
        return CompilationResult(
            refused=(*refused, Rejection("any", "the model answers none of the rows to prove it by"))
        )
    expected = np.concatenate(answers)
    for form in found:
        verdict = prove(form, known, expected, tolerance, refused_rows)
        if isinstance(verdict, ParityReport) and verdict.holds:
            return CompilationResult(form, verdict, tuple(refused))
        refused.append(verdict if isinstance(verdict, Rejection) else _differing(verdict))
    return CompilationResult(refused=tuple(refused))


def none(reason: str) -> CompilationResult:
    """No form at all."""
    return CompilationResult(refused=(Rejection("any", reason),))


def estimator_of(pyfunc: Any) -> tuple[Any, str]:
    """The fitted estimator inside an MLflow pyfunc, and the name of the method that answers.

    Raises NotImplementedError when there is none.
    """
    flavor = pyfunc.metadata.flavors["python_function"]
    return pyfunc.get_raw_model(), flavor.get("predict_fn") or "predict"


def _differing(proof: ParityReport) -> Rejection:
    differ = f"{proof.labels_differ} of {proof.rows} labels, scores by up to {proof.largest_difference:.3g}"
    return Rejection(proof.form, f"differs from the model: {differ} (tolerance {proof.tolerance:g})")
