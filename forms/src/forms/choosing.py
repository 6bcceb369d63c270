"""Chooses the fastest compiled model whose predictions are verified to equal the model's own."""

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
"""Calls of the native model to find the rows of one kind that it rejects; each takes milliseconds."""


def choose(
    pyfunc: Any,
    columns: Sequence[Column],
    ask: Callable[[Sequence[Row]], Any],
    rows: Sequence[Row],
    tolerance: float = 1e-6,
    method: str | None = None,
) -> CompilationResult:
    """Verify the compiled models of an MLflow pyfunc on `rows` and on some hundred rows derived from them.

    Those contain missing, unseen and extreme values, and neighbours in double and single precision. `ask` calls the
    native model with any number of rows; `method` is the estimator's that it calls, by default the one that the model
    was logged with. Propagates BaseExceptions of `ask` that are not Exceptions.
    """
    try:
        model, logged = estimator_of(pyfunc)
    except NotImplementedError:
        return none("a pyfunc of its own code: there is no estimator to compile")
    found, refused = candidates(model, columns, method or logged)
    if not found:
        return CompilationResult(refused=tuple(refused))
    known: list[Row] = []
    answers: list[np.ndarray] = []
    refused_rows: list[Row] = []
    # In separate calls: many models reject missing or synthetic values; the other rows then need only one call.
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
    """Return a result without a compiled model."""
    return CompilationResult(refused=(Rejection("any", reason),))


def estimator_of(pyfunc: Any) -> tuple[Any, str]:
    """Return the fitted estimator inside an MLflow pyfunc, and the name of its prediction method.

    Raises NotImplementedError when there is none.
    """
    flavor = pyfunc.metadata.flavors["python_function"]
    return pyfunc.get_raw_model(), flavor.get("predict_fn") or "predict"


def _differing(proof: ParityReport) -> Rejection:
    differ = f"{proof.labels_differ} of {proof.rows} labels, scores by up to {proof.largest_difference:.3g}"
    return Rejection(proof.form, f"differs from the model: {differ} (tolerance {proof.tolerance:g})")
