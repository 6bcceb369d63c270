"""Requests that MLflow's own scoring code handles, so that the response is the same by construction.

Imported with the first model, like MLflow: a replica starts without it.
"""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import CONTENT_TYPES, InvocationsResponse, invocations, predictions_to_json

from chassis.http import Problem
from chassis.row_reader import InputBatch
from serving.http.asgi import RawRequest
from serving.http.body_limits import is_bomb
from serving.inference.model import LoadedModel
from serving.inference.prediction import Prediction
from serving.publishing.worker_client import DROPPED

SPARSE = (
    "The rows have so few columns in common that the table would be many times larger than the body; send them apart"
)


class _Listening:
    """A pyfunc that keeps its input and its raw output."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.metadata = model.pyfunc.metadata
        self.asked: Any = None
        self.raw: Any = None

    def predict(self, data: Any, params: Any = None) -> Any:
        try:
            self.raw = self._model.pyfunc.predict(data, params=params)
        except SystemExit as error:  # a third-party model; in a thread it would end the whole replica
            raise RuntimeError(f"SystemExit: {error}") from error
        self.asked = data
        return self.raw


def as_mlflow_does(model: LoadedModel, request: RawRequest) -> tuple[InvocationsResponse, InputBatch | None, Any]:
    """Return MLflow's response, and the rows and their prediction where there are any. Blocks.

    Where the scoring server would fail with a 500, on any error of its parser, this returns a 400; and raises Problem
    400 for predictions that JSON cannot represent.
    """
    listening = _Listening(model)
    content_type = request.header(b"content-type")
    if not content_type:
        return (
            InvocationsResponse(f"Content-Type is missing; expected one of {CONTENT_TYPES}", 415, "text/plain"),
            None,
            None,
        )
    try:
        if is_bomb(request.body, content_type.split(";")[0].strip()):
            raise MlflowException.invalid_parameter_value(SPARSE)
        schema = model.pyfunc.metadata.get_input_schema()
        answer = invocations(request.body, content_type, listening, schema)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        return InvocationsResponse(_in_words(error), _status(error), "application/json"), None, None
    except Exception as error:
        if listening.asked is not None:
            raise _unwritable(listening.raw, error) from error
        words = MlflowException.invalid_parameter_value(f"{type(error).__name__}: {error}")
        return InvocationsResponse(_in_words(words), 400, "application/json"), None, None
    if answer.status == 200:
        answer = answer._replace(response=_without_nan(answer.response))
    table, prediction = (None, None) if answer.status != 200 else _heard(model, listening)
    return answer, table, prediction


def as_mlflow_writes(raw: Any) -> bytes:
    """Return the body of a response with a model's raw output. Raises Problem 400 when JSON cannot represent it."""
    body = StringIO()
    try:
        predictions_to_json(raw, body)  # type: ignore[no-untyped-call]
        return _without_nan(body.getvalue()).encode()
    except Exception as error:  # whatever the values' own conversions raise
        raise _unwritable(raw, error) from error


def _without_nan(body: str) -> str:
    """Write null for NaN and infinity, where Python's encoder, and so MLflow, writes words that are no JSON."""
    if "NaN" not in body and "Infinity" not in body:
        return body
    return json.dumps(json.loads(body, parse_constant=lambda _word: None))


def _unwritable(raw: Any, error: Exception) -> Problem:
    """The model's fault; 400 nevertheless, like all failures of models in this protocol."""
    what = f"the model returned a {type(raw).__name__} that JSON cannot represent ({type(error).__name__}: {error})"
    return Problem(400, "unwritable predictions", f"{what}; numbers, texts, times, and arrays or tables of them can be")


def _heard(model: LoadedModel, listening: _Listening) -> tuple[InputBatch | None, Prediction | None]:
    """Return the rows and predictions as an event can carry them; count them as dropped where it cannot."""
    try:
        frame = listening.asked if isinstance(listening.asked, pd.DataFrame) else pd.DataFrame(listening.asked)
        frame = frame.set_axis([str(name) for name in frame.columns], axis=1)  # 0, 1, … of a matrix
        known = [name for name in frame.columns if model.reader.knows(name)]
        rows = json.loads(frame[known].to_json(orient="records", date_format="iso", double_precision=15))
        table = model.reader.read(rows, len(rows))
        return table, model.predict(table) if model.has_own_labels else model.read(listening.raw, len(rows))
    except Exception:  # a tensor, or an output that is no label: PredictionMade cannot represent it
        DROPPED.labels("invalid").inc()
        return None, None


def _status(error: MlflowException) -> int:
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def _in_words(error: MlflowException) -> str:
    """Return the error's body without the traceback, which belongs in the model owner's log."""
    body = json.loads(error.serialize_as_json())  # type: ignore[no-untyped-call]
    body.pop("stack_trace", None)
    return json.dumps(body)
