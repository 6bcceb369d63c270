"""Choose a model's compiled model: verified on its input example, and on rows that are generated from it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import forms
from chassis.row_reader import Values
from chassis.telemetry import get_logger
from serving.inference.model import LoadedModel

log = get_logger(__name__)


def compile_model(model: LoadedModel, tolerance: float) -> forms.CompilationResult:
    """Compile `model`; keep it native where no compiled model is verified. Blocks. Catches what a model may raise."""
    started = time.perf_counter()
    try:
        served = _compile(model, tolerance)
    except (Exception, SystemExit) as error:  # a third-party estimator; the native model still works
        served = forms.none(f"{type(error).__name__}: {error}")
    model.form = served.form
    log.info(
        "form chosen",
        model_name=model.artifact.model_name,
        model_version=model.artifact.model_version,
        form=served.name,
        seconds=round(time.perf_counter() - started, 4),
        refused={each.form: each.reason for each in served.refused},
    )
    return served


def _compile(model: LoadedModel, tolerance: float) -> forms.CompilationResult:
    if not model.example:
        return forms.none("the model has no input example to prove a form by")
    columns = [forms.Column(column.name, column.kind) for column in model.signature.columns]
    example = model.reader.read(list(model.example), len(model.example))
    if absent := model.absent(example):
        return forms.none(f"the model's input example lacks {', '.join(repr(column.name) for column in absent)}")

    def ask(values: Sequence[Values]) -> Any:
        return model.prediction(model.signature.columns, values).raw

    method = model.scorer.method if model.scorer is not None else None
    return forms.choose(model.pyfunc, columns, ask, list(example.values), tolerance, method)
