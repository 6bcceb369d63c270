"""The inner side of the parity check of a compiled model: compiles as serving does, and compares on golden rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.types import DataType

from chassis.scoring import Scorer
from forms import Column, choose, dumps, frame_of, rows_of
from forms.choosing import none
from forms.form import Row
from gatekeeper.sandbox.compiled_form import LONGEST_REASON


def proved(scorer: Scorer, features: pd.DataFrame, tolerance: float, into: Path) -> dict[str, Any]:
    """Return the chosen form, its parity with the model on `features` and rows made of them, and the refused forms.

    Writes the compiled model to the file `into`, if it is worth keeping. Raises any error of the model's `predict`.
    """
    schema = scorer.pyfunc.metadata.get_input_schema()
    if schema is None or schema.is_tensor_spec() or not all(spec.name for spec in schema.inputs):
        return none("the model's signature has no named columns").about()
    if absent := [spec.name for spec in schema.inputs if spec.name not in features]:  # optional, then
        return none(f"the golden rows lack {', '.join(map(repr, absent))}").about()
    columns = [_column(spec) for spec in schema.inputs]

    def ask(rows: Sequence[Row]) -> Any:
        return np.asarray(scorer.predict(frame_of(rows, columns)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of unknown categories: they are intended
        choice = choose(scorer.pyfunc, columns, ask, rows_of(features, columns), tolerance, scorer.method)
    if (kept := dumps(choice)) is not None:
        into.write_bytes(kept)
    about = choice.about()
    for each in about["refused"]:
        each["reason"] = each["reason"][:LONGEST_REASON]
    return about


def _column(spec: Any) -> Column:
    """Convert a column of the signature. Raises TypeError for a type that JSON requests cannot carry."""
    if not isinstance(spec.type, DataType) or spec.type is DataType.binary:
        raise TypeError(f"column {spec.name!r} has type {spec.type}, which is not served")
    return Column(spec.name, spec.type.name)
