"""The inner side of the parity check of a compiled model: compiles as serving does, and compares on golden rows."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from chassis import model_signature
from chassis.scoring import Scorer
from forms import Column, choose, dumps, frame_of, rows_of
from forms.choosing import none
from forms.form import Row
from gatekeeper.sandbox.compiled_form import LONGEST_REASON


def proved(
    scorer: Scorer,
    signature: Sequence[model_signature.Column],
    features: pd.DataFrame,
    tolerance: float,
    into: Path,
) -> dict[str, Any]:
    """Return the chosen form, its parity with the model on `features` and rows made of them, and the refused forms.

    Writes the compiled model to the file `into`, if it is worth keeping. Raises any error of the model's `predict`.
    """
    if absent := [column.name for column in signature if column.name not in features]:  # optional, then
        return none(f"the golden rows lack {', '.join(map(repr, absent))}").about()
    columns = [Column(column.name, column.kind) for column in signature]

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
