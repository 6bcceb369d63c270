"""A version's serving artifact on this replica: fetched beside the model, its answers checked, its form opened.

None of it is needed: a model that has none, or one that cannot be used here, is warmed up with its input example and
compiled on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import forms
from chassis.artifact_cache import ArtifactCache
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger
from forms.artifact import RecordedPredictions, ServingArtifact, read
from serving.inference import model as models
from serving.inference.model import LoadedModel
from serving.inference.row_reader import InputBatch
from serving.inference.validation import RowsRefused
from serving.policy.versions import ServingArtifactRef

log = get_logger(__name__)


def fetch(cache: ArtifactCache, artifact_ref: ServingArtifactRef, download: Callable[[str, Path], Path]) -> None:
    """Blocks. Into the cache, if it can be had."""
    try:
        if not cache.holds(artifact_ref.digest):
            cache.add(artifact_ref.digest, partial(download, artifact_ref.uri))
    except Exception as error:  # of a client library, too: the model is served without
        log.warning("serving artifact not fetched", uri=artifact_ref.uri, reason=f"{type(error).__name__}: {error}")


def found(cache: ArtifactCache, artifact_ref: ServingArtifactRef) -> ServingArtifact | None:
    """Blocks. None where the cache has none that is as it was made."""
    try:
        return read(cache.verified(artifact_ref.digest)) if cache.holds(artifact_ref.digest) else None
    except (Permanent, Transient, OSError, ValueError) as error:
        log.warning("serving artifact not read", digest=artifact_ref.digest, reason=str(error))
        return None


def warm_up(model: LoadedModel, given: ServingArtifact, tolerance: float | None) -> forms.CompilationResult | None:
    """Blocks. The form that `model` answers by from here on; None for none, as without a `tolerance`.

    The model itself is not asked where a form answers the golden rows as they were judged: a forest holds the
    interpreter, and with it every request, for as long as it is asked. Otherwise it is; then this raises Permanent for
    one that does not answer as it did: another version of a library, say, computes something else.
    """
    recorded = given.recorded
    if recorded is None or (rows := _read(model, recorded)) is None:
        models.warm_up(model)
        return None
    if given.form is not None and tolerance is not None:
        try:
            choice = _opened(model, given.form, recorded, rows, tolerance)
        except (Exception, SystemExit) as error:  # whatever somebody's bytes may raise
            reason = f"{type(error).__name__}: {error}"[:300]
            log.warning("form of the gate not used", model_name=model.artifact.model_name, reason=reason)
        else:
            model.form, model.batches = choice.form, True  # no form looks at other rows, and it answered as the model
            return choice
    here = models.warm_up_with(model, recorded.rows, "golden rows that it answered when it was judged").answers
    if model.batches and (row := recorded.differing(here)) is not None:  # else others in the batch may change it
        raise Permanent(
            f"the model does not answer as it did when it was judged: golden row {row} is {here[row]!r} here and was"
            f" {recorded.answers[row]!r} at the gate; are this replica's libraries the gatekeeper's?"
        )
    return None


def _opened(
    model: LoadedModel, content: bytes, recorded: RecordedPredictions, rows: InputBatch, tolerance: float
) -> forms.CompilationResult:
    """Raises ValueError for a form that is none of this model's, or not proven to be near enough."""
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
            raise ValueError(f"it answers the golden rows {found[:3]}, …, the model {list(expected.answers[:3])}, …")
    return choice


def _read(model: LoadedModel, recorded: RecordedPredictions) -> InputBatch | None:
    """None where a golden row, which comes from Parquet, has a value that no request could bring."""
    try:
        return model.reader.read(list(recorded.rows), len(recorded.rows))
    except RowsRefused as refused:
        log.warning("golden rows cannot be asked", model_name=model.artifact.model_name, reason=str(refused))
        return None
