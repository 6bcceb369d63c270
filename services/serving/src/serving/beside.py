"""A version's serving artifact on this replica: fetched beside the model, its answers checked, its form opened.

None of it is needed: a model that has none, or one that cannot be used here, is warmed up with its input example and
compiled on the spot.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

import forms
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger
from forms.artifact import Recorded, ServingArtifact, read
from serving import models
from serving.cache import ArtifactCache
from serving.models import LoadedModel
from serving.outcomes import Outcome
from serving.policy import Beside
from serving.rows import RowsRefused

log = get_logger(__name__)


def fetch(cache: ArtifactCache, beside: Beside, download: Callable[[str, Path], Path]) -> None:
    """Blocks. Into the cache, if it can be had."""
    try:
        if not cache.holds(beside.digest):
            cache.add(beside.digest, partial(download, beside.uri))
    except Exception as error:  # of a client library, too: the model is served without
        log.warning("serving artifact not fetched", uri=beside.uri, reason=f"{type(error).__name__}: {error}")


def found(cache: ArtifactCache, beside: Beside) -> ServingArtifact | None:
    """Blocks. None where the cache has none that is as it was made."""
    try:
        return read(cache.verified(beside.digest)) if cache.holds(beside.digest) else None
    except (Permanent, Transient, OSError, ValueError) as error:
        log.warning("serving artifact not read", digest=beside.digest, reason=str(error))
        return None


def warm_up(model: LoadedModel, given: ServingArtifact, tolerance: float | None) -> forms.Choice | None:
    """Blocks. The form that `model` answers by from here on; None for none, as without a `tolerance`.

    Raises Permanent for a model that does not answer the golden rows as it did when it was judged: another version of a
    library, say, computes something else.
    """
    recorded = given.recorded
    if recorded is None or not _is_readable(model, recorded):
        models.warm_up(model)
        return None
    here = models.warm_up_with(model, recorded.rows, "golden rows that it answered when it was judged")
    if model.batches:  # else a row may be answered otherwise among others
        _compare(here, recorded)
    if given.form is None or tolerance is None or not model.batches:
        return None
    try:
        choice = _opened(model, given.form, recorded, here, tolerance)
    except (Exception, SystemExit) as error:  # whatever somebody's bytes may raise
        reason = f"{type(error).__name__}: {error}"[:300]
        log.warning("form of the gate not used", model_name=model.artifact.model_name, reason=reason)
        return None
    model.form = choice.form
    return choice


def _opened(model: LoadedModel, content: bytes, recorded: Recorded, here: Outcome, tolerance: float) -> forms.Choice:
    """Raises ValueError for a form that is none of this model's, or not proven to be near enough."""
    choice = forms.loads(content)
    if choice.form is None or choice.proof is None or not choice.proof.holds:
        raise ValueError("it was not proven")
    if choice.proof.largest_difference > tolerance:
        raise ValueError(f"its scores differ by up to {choice.proof.largest_difference:.3g}, more than {tolerance:g}")
    values = model.reader.read(list(recorded.rows), len(recorded.rows)).values
    again = forms.prove(choice.form, list(values), np.asarray(here.raw), tolerance)
    if not isinstance(again, forms.Proof) or not again.holds:
        raise ValueError(f"it does not answer as the model does: {again}")
    return choice


def _is_readable(model: LoadedModel, recorded: Recorded) -> bool:
    """Golden rows come from Parquet: a value may be one that no request could bring."""
    try:
        model.reader.read(list(recorded.rows), len(recorded.rows))
    except RowsRefused as refused:
        log.warning("golden rows cannot be asked", model_name=model.artifact.model_name, reason=str(refused))
        return False
    return True


def _compare(here: Outcome, recorded: Recorded) -> None:
    answers = here.labels if here.scores is None else here.scores
    if (row := recorded.differing(answers)) is not None:
        raise Permanent(
            f"the model does not answer as it did when it was judged: golden row {row} is {answers[row]!r} here and was"
            f" {recorded.answers[row]!r} at the gate; are this replica's libraries the gatekeeper's?"
        )
