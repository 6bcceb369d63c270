"""A model version in memory: warm-up and prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from chassis.column_types import READERS
from chassis.errors import Permanent
from chassis.model_signature import Column, Signature
from chassis.predictions import as_array, read
from chassis.row_reader import InputBatch, RowReader, Values, frame_of
from chassis.row_validation import MISSING, Row, RowsRefused, fault_of
from chassis.telemetry import get_logger
from serving.inference.missing_texts import MissingTexts
from serving.inference.prediction import Prediction
from serving.policy.versions import Artifact

if TYPE_CHECKING:
    import pandas as pd

    from chassis.scoring import Scorer
    from serving.inference.tried import TriedRequest

WARM_UP_ROWS = 32
SMALLEST_INTEGER, LARGEST_INTEGER = -(2**63), 2**64 - 1
"""What the protocols can represent as a label."""

log = get_logger(__name__)


class ModelFailed(Exception):
    """The model raised, or returned an invalid prediction, on rows that fit its signature."""

    tried: TriedRequest | None = None
    """What is published of it, when it failed during a rollout."""


class NotCompiled(Exception):
    """The compiled model cannot predict these rows; the native model may."""


@dataclass(eq=False, slots=True)
class LoadedModel:
    """`example` are the rows of its input example, as they would be sent; empty when it has none.

    `pyfunc` predicts what MLflow's scoring server would; `scorer` what the version was judged by, None for the same.
    `form` is the verified compiled model, if there is one; `batches` is True when the native model predicts the same
    for several rows together as for each alone, so that requests may share a call.
    """

    artifact: Artifact
    signature: Signature
    example: Sequence[Row]
    pyfunc: Any
    scorer: Scorer | None = None
    reader: RowReader = field(init=False)
    missing_texts: MissingTexts = field(init=False)
    form: Any = None
    batches: bool = False

    def __post_init__(self) -> None:
        self.reader = RowReader(self.signature)
        self.missing_texts = MissingTexts(self.artifact, self.signature, self.example)

    @property
    def has_times(self) -> bool:
        return any(column.kind == "datetime" for column in self.signature.columns)

    @property
    def width(self) -> int:
        return len(self.signature.columns)

    def absent(self, table: InputBatch) -> list[Column]:
        """Return the optional columns that no row of `table` has. If any, only the native model takes the table."""
        return [column for column in self.signature.columns if column not in table.columns]

    def predict(self, table: InputBatch) -> Prediction:
        """Predict `table`. Raises RowsRefused for a failure due to missing values or columns, otherwise ModelFailed."""
        try:
            return self.prediction(table.columns, table.values)
        except ModelFailed as failure:
            gaps = [(row, column, None) for row, column in table.nulls]
            gaps += [(0, column, MISSING) for column in self.absent(table)]
            if gaps and self._answers_once_filled(table, [column for _, column, _ in gaps]):
                expected = f"a value: without one this model fails ({failure})"
                raise RowsRefused([fault_of(row, column, value, expected) for row, column, value in gaps]) from failure
            raise

    def prediction(self, columns: Sequence[Column], values: Sequence[Values]) -> Prediction:
        """Predict with the compiled model if it takes these rows, otherwise natively. Raises ModelFailed."""
        if self.form is not None and len(columns) == self.width:
            try:
                return self.compiled(values)
            except NotCompiled:
                pass
        return self._ask(frame_of(columns, values))

    def compiled(self, values: Sequence[Values]) -> Prediction:
        """Predict with the compiled model. Raises NotCompiled for rows that only the native model can predict."""
        try:
            return self.read(self.form.predict(values), len(values))
        except Exception as error:  # ValueError by contract; on any other error, the native model still works
            raise NotCompiled(f"{type(error).__name__}: {error}") from error

    def _ask(self, frame: pd.DataFrame) -> Prediction:
        try:
            return self.read((self.scorer or self.pyfunc).predict(frame), len(frame))
        except (Exception, SystemExit) as error:  # a third-party model may raise anything
            raise ModelFailed(f"{type(error).__name__}: {first_line(error)}") from error

    def read(self, raw: Any, rows: int) -> Prediction:
        """Convert the model's raw output to a Prediction. Raises ValueError for one that does not fit so many rows."""
        problem = self.signature.problem or problem_of(raw)
        reading = self.scorer.read if self.scorer is not None else read
        answers = reading(raw, problem, self.signature.classes, rows=rows)
        labels = answers.labels.tolist()
        _check_labels(labels)
        return Prediction(raw, labels, answers.scores.tolist() if answers.scores is not None else None)

    @property
    def has_own_labels(self) -> bool:
        """Return whether MLflow's scoring server would answer with labels, which scores do not determine exactly."""
        return self.scorer is not None and self.scorer.pyfunc is not self.pyfunc

    def invoked(self, table: InputBatch) -> Prediction:
        """Predict as `predict`, with the raw output of MLflow's scoring server. Blocks. Raises as `predict`."""
        prediction = self.predict(table)
        if self.scorer is None or not self.has_own_labels:
            return prediction
        try:
            return replace(prediction, raw=self.pyfunc.predict(self.scorer.as_logged(table.frame)))
        except (Exception, SystemExit) as error:
            raise ModelFailed(f"{type(error).__name__}: {first_line(error)}") from error

    def _answers_once_filled(self, table: InputBatch, columns: Sequence[Column]) -> bool:
        """Return whether the model predicts the same rows once the example's values fill the gaps in `columns`."""
        frame = table.frame
        for column in columns:
            name = column.name
            known = next((row[name] for row in self.example if row.get(name) is not None), None)
            if known is None:
                return False
            value = READERS[column.kind]([known])[0]
            frame[name] = frame[name].where(frame[name].notna(), value) if name in frame else value
        try:
            self._ask(frame[[column.name for column in self.signature.columns]])
        except ModelFailed:
            return False
        return True


def warm_up(model: LoadedModel) -> None:
    """Predict one row and a batch of the input example: a model's first calls are its slowest. Blocks.

    Raises Permanent when the model fails on its own example.
    """
    if model.example:
        warm_up_with(model, model.example, "its own input example")
    else:
        log.warning("model has no input example to warm up with", model_name=model.artifact.model_name)


def warm_up_with(model: LoadedModel, rows: Sequence[Row], what: str) -> Prediction:
    """Predict `rows`, which are repeated to fill a batch. Blocks. Raises Permanent, naming `what`."""
    batch = (list(rows) * WARM_UP_ROWS)[: max(WARM_UP_ROWS, len(rows))]
    single, together = (_asked(model, some, what) for some in (batch[:1], batch))
    model.batches = together.rows == len(batch) and _agree(single, together.split([1, len(batch) - 1])[0])
    return together.split([len(rows), len(batch) - len(rows)])[0] if model.batches else together


def _asked(model: LoadedModel, rows: Sequence[Row], what: str) -> Prediction:
    try:
        return model.predict(model.reader.read(rows, len(rows)))
    except (ModelFailed, RowsRefused) as failure:
        raise Permanent(f"the model fails on {len(rows)} row(s) of {what}: {failure}") from failure


def _agree(alone: Prediction, among_others: Prediction) -> bool:
    """Return whether labels are equal, and numbers equal up to the rounding of another summation order."""
    if alone.scores is not None and among_others.scores is not None:
        return alone.labels == among_others.labels and np.allclose(alone.scores, among_others.scores, 1e-9, 1e-12)
    numbers = all(isinstance(label, int | float) for label in alone.labels + among_others.labels)
    return np.allclose(alone.labels, among_others.labels, 1e-9, 1e-12) if numbers else alone == among_others


def problem_of(raw: Any) -> str:
    """Infer the problem type from the shape and type of a raw prediction, for a model that does not declare it."""
    values = as_array(raw)
    if values.ndim == 2 and values.shape[1] > 1:
        return "binary" if values.shape[1] == 2 else "multiclass"
    return "regression" if np.issubdtype(values.dtype, np.floating) else "multiclass"


def _check_labels(labels: Sequence[Any]) -> None:
    """Raise ValueError for a label that is no class or number, or that no protocol can send."""
    for label in labels:
        if not isinstance(label, bool | int | float | str):
            raise ValueError(f"answered {label!r:.80} of type {type(label).__name__}; expected a class or a number")
        if isinstance(label, float) and not math.isfinite(label):
            raise ValueError(f"answered {label!r}, which is no class or number")
        if isinstance(label, int) and not SMALLEST_INTEGER <= label <= LARGEST_INTEGER:
            raise ValueError(f"answered {label!r:.80}, which has more than 64 bits")
        if isinstance(label, str) and not label.isascii():
            label.encode()  # UnicodeEncodeError, a ValueError, for half of a surrogate pair


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else "no message"
