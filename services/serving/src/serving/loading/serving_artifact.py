"""A version's serving artifact on this replica: fetch it, check its predictions, open its compiled model.

It is optional: a model without one, or with one that cannot be used here, is warmed up with its input example and
compiled locally.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import forms
from chassis.artifact_cache import ArtifactCache
from chassis.errors import Permanent, Transient
from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from chassis.telemetry import get_logger
from forms.artifact import RecordedPredictions, ServingArtifact, read
from serving.inference import model as models
from serving.inference.model import LoadedModel
from serving.policy.versions import ServingArtifactRef

log = get_logger(__name__)


def fetch(cache: ArtifactCache, artifact_ref: ServingArtifactRef, download: Callable[[str, Path], Path]) -> None:
    """Fetch a serving artifact into the cache, if it is available. Blocks."""
    try:
        if not cache.holds(artifact_ref.digest):
            cache.add(artifact_ref.digest, partial(download, artifact_ref.uri))
    except Exception as error:  # also a client library's: the model is served without
        log.warning("serving artifact not fetched", uri=artifact_ref.uri, reason=f"{type(error).__name__}: {error}")


def found(cache: ArtifactCache, artifact_ref: ServingArtifactRef) -> ServingArtifact | None:
    """Return the serving artifact from the cache; None when it is missing or corrupt. Blocks."""
    try:
        return read(cache.verified(artifact_ref.digest)) if cache.holds(artifact_ref.digest) else None
    except (Permanent, Transient, OSError, ValueError) as error:
        log.warning("serving artifact not read", digest=artifact_ref.digest, reason=str(error))
        return None


def warm_up(model: LoadedModel, given: ServingArtifact, tolerance: float | None) -> forms.CompilationResult | None:
    """Warm up `model`; return the compiled model it uses from here on, None for none, as without a `tolerance`. Blocks.

    The native model is not called when the compiled model reproduces the recorded predictions on the golden rows: a
    forest holds the interpreter, and with it every request, while it predicts. Otherwise it is called; then this raises
    Permanent if its predictions differ from the recorded ones: another version of a library may compute other values.
    """
    recorded = given.recorded
    if recorded is None or (rows := _read(model, recorded)) is None:
        models.warm_up(model)
        return None
    model.missing_texts.know(recorded.rows)
    if given.form is not None and tolerance is not None:
        try:
            choice = _opened(model, given.form, recorded, rows, tolerance)
        except (Exception, SystemExit) as error:  # untrusted bytes may raise anything
            reason = f"{type(error).__name__}: {error}"[:300]
            log.warning("the gate's compiled model is not used", model_name=model.artifact.model_name, reason=reason)
        else:
            model.form, model.batches = choice.form, True  # compiled models treat rows independently; it matches
            return choice
    here = models.warm_up_with(model, recorded.rows, "golden rows that it answered when it was judged").answers
    _check_shape(model, recorded, here)
    if model.batches and (row := recorded.differing(here)) is not None:  # else other rows in the batch may change it
        raise Permanent(
            f"the model does not answer as it did when it was judged: golden row {row} is {here[row]!r} here and was"
            f" {recorded.answers[row]!r} at the gate; are this replica's libraries the gatekeeper's?"
        )
    return None


def _check_shape(model: LoadedModel, recorded: RecordedPredictions, here: list[Any]) -> None:
    """Raise Permanent when the predictions have another shape than the gate's, of a version that is read as there.

    A promotion of before the reading travelled with it may be read otherwise here; then the two cannot be compared.
    """
    if recorded.is_comparable(here):
        return
    shapes = f"{np.shape(here)} here, and were of shape {np.shape(recorded.answers)} at the gate"
    if model.artifact.output is not None:
        raise Permanent(
            f"the model's predictions are of shape {shapes}; are this replica's libraries the gatekeeper's?"
        )
    log.warning("golden predictions not compared", model_name=model.artifact.model_name, reason=f"of shape {shapes}")


def _opened(
    model: LoadedModel, content: bytes, recorded: RecordedPredictions, rows: InputBatch, tolerance: float
) -> forms.CompilationResult:
    """Open the compiled model. Raises ValueError when it belongs to another model, or exceeds the tolerance."""
    choice = forms.loads(content)
    if choice.form is None or choice.proof is None or not choice.proof.holds:
        raise ValueError("it was not proven")
    if choice.proof.largest_difference > tolerance:
        raise ValueError(f"its scores differ by up to {choice.proof.largest_difference:.3g}, more than {tolerance:g}")
    if absent := model.absent(rows):
        raise ValueError(f"the golden rows lack {', '.join(repr(column.name) for column in absent)}")
    some = (rows.values[:1], rows.values)
    single, together = (model.read(choice.form.predict(values), len(values)).answers for values in some)
    for found, expected in ((single, recorded.only(1)), (together, recorded)):
        if not expected.is_comparable(found) or expected.differing(found) is not None:
            raise ValueError(f"it predicts {found[:3]}, … on golden rows, the model {list(expected.answers[:3])}, …")
    return choice


def _read(model: LoadedModel, recorded: RecordedPredictions) -> InputBatch | None:
    """Read the golden rows; return None where one, as it comes from Parquet, has a value that no request can have."""
    try:
        return model.reader.read(list(recorded.rows), len(recorded.rows))
    except RowsRefused as refused:
        log.warning("golden rows cannot be read", model_name=model.artifact.model_name, reason=str(refused))
        return None
