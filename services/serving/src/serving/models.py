"""A model version in memory: loaded from its folder, warmed up, asked."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd

from chassis.answers import Answers, read
from chassis.errors import Permanent, Transient
from chassis.telemetry import get_logger
from serving.policy import Artifact
from serving.rows import Fault, Row, RowsRefused, Table, read_rows
from serving.signature import Signature, read_signature

WARM_UP_ROWS = 32

log = get_logger(__name__)


class ModelFailed(Exception):
    """The model raised, or answered nonsense, on rows that fit its signature."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """`example` are the rows of its input example, as they would be sent; empty when it has none."""

    artifact: Artifact
    signature: Signature
    example: Sequence[Row]
    pyfunc: Any

    def predict(self, table: Table) -> Answers:
        """Raises RowsRefused when the model fails because of missing values, otherwise ModelFailed."""
        try:
            return self._ask(table.frame)
        except ModelFailed as failure:
            if table.nulls and self._answers_without_nulls(table):
                expected = f"a value: with a missing one this model fails ({failure})"
                faults = [Fault(row, name, "null", "null", expected) for row, name in table.nulls]
                raise RowsRefused(faults) from failure
            raise

    def _ask(self, frame: pd.DataFrame) -> Answers:
        try:
            raw = self.pyfunc.predict(frame)
            problem = self.signature.problem or problem_of(raw)
            answers = read(raw, problem, self.signature.classes, rows=len(frame))
            _check_labels(answers)
        except (Exception, SystemExit) as error:  # whatever somebody's model may raise
            raise ModelFailed(f"{type(error).__name__}: {_first_line(error)}") from error
        return answers

    def _answers_without_nulls(self, table: Table) -> bool:
        """Whether the model answers the same rows once the example's values stand where values are missing."""
        frame = table.frame.copy()
        for _, name in table.nulls:
            known = next((row[name] for row in self.example if row.get(name) is not None), None)
            if known is None:
                return False
            frame[name] = frame[name].where(frame[name].notna(), known)
        try:
            self._ask(frame)
        except ModelFailed:
            return False
        return True


def load(artifact: Artifact, folder: Path) -> LoadedModel:
    """Blocks. Raises Permanent for what will never load, Transient when the machine is short of something."""
    sys.dont_write_bytecode = True  # a model's own code would leave .pyc files in the cache, and change its digest
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pyfunc = mlflow.pyfunc.load_model(str(folder))
        signature = read_signature(pyfunc.metadata)
        example = _example(pyfunc, signature)
    except (Permanent, Transient):
        raise
    except MemoryError as error:
        raise Transient("not enough memory to load the model") from error
    except (Exception, SystemExit) as error:  # unpickling runs whatever the model brings
        raise Permanent(f"cannot load the model: {type(error).__name__}: {_first_line(error)}") from error
    return LoadedModel(artifact, signature, example, pyfunc)


def warm_up(model: LoadedModel) -> None:
    """Blocks. One row and a batch of the input example; the first calls of a model are its slowest.

    Raises Permanent when the model does not answer its own example as it should.
    """
    if not model.example:
        log.warning("model has no input example to warm up with", model_name=model.artifact.model_name)
        return
    batch = (list(model.example) * WARM_UP_ROWS)[:WARM_UP_ROWS]
    for rows in (batch[:1], batch):
        try:
            model.predict(read_rows(rows, model.signature, len(rows)))
        except (ModelFailed, RowsRefused) as failure:
            raise Permanent(f"the model fails on {len(rows)} row(s) of its own input example: {failure}") from failure


def problem_of(raw: Any) -> str:
    """What a model that does not say it seems to answer, by the shape and type of its answer."""
    values = np.asarray(raw)
    if values.ndim == 2 and values.shape[1] > 1:
        return "binary" if values.shape[1] == 2 else "multiclass"
    return "regression" if np.issubdtype(values.dtype, np.floating) else "multiclass"


def _example(pyfunc: Any, signature: Signature) -> list[Row]:
    frame = pyfunc.input_example
    names = [column.name for column in signature.columns]
    if not isinstance(frame, pd.DataFrame):
        return []
    present = [name for name in names if name in frame.columns]
    rows: list[Row] = json.loads(frame[present].to_json(orient="records", date_format="iso", double_precision=15))
    return rows


def _check_labels(answers: Answers) -> None:
    for label in answers.labels.tolist():
        if not isinstance(label, bool | int | float | str) or label != label:
            raise ValueError(f"answered {label!r} of type {type(label).__name__}; expected a class or a number")


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"
