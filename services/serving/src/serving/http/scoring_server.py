"""Requests that MLflow's own scoring code parses, converts and answers, so that the answer is the same by construction.

Imported with the first model, as MLflow is: a replica starts without.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import CONTENT_TYPES, InvocationsResponse, invocations

from serving.http.asgi import RawRequest
from serving.http.body_limits import is_bomb
from serving.inference.model import LoadedModel
from serving.inference.prediction import Prediction
from serving.inference.row_reader import InputBatch
from serving.publishing.worker_client import DROPPED

SPARSE = (
    "The rows have so few columns in common that the table would be many times larger than the body; send them apart"
)


class _Listening:
    """A pyfunc that keeps what it was asked and what it answered."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self.metadata = model.pyfunc.metadata
        self.asked: Any = None
        self.raw: Any = None

    def predict(self, data: Any, params: Any = None) -> Any:
        self.raw = self._model.pyfunc.predict(data, params=params)
        self.asked = data
        return self.raw


def as_mlflow_does(model: LoadedModel, request: RawRequest) -> tuple[InvocationsResponse, InputBatch | None, Any]:
    """Blocks. The response, and what was asked and answered where it was rows.

    Where the scoring server would fail with a 500, by whatever its parser raises, this is a 400.
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
        words = MlflowException.invalid_parameter_value(f"{type(error).__name__}: {error}")
        return InvocationsResponse(_in_words(words), 400, "application/json"), None, None
    table, prediction = (None, None) if answer.status != 200 else _heard(model, listening)
    return answer, table, prediction


def _heard(model: LoadedModel, listening: _Listening) -> tuple[InputBatch | None, Prediction | None]:
    """The rows and answers as an event can carry them; counted as dropped where it cannot."""
    try:
        frame = listening.asked if isinstance(listening.asked, pd.DataFrame) else pd.DataFrame(listening.asked)
        known = [name for name in frame.columns if model.reader.knows(name)]
        rows = json.loads(frame[known].to_json(orient="records", date_format="iso", double_precision=15))
        return model.reader.read(rows, len(rows)), model.read(listening.raw, len(rows))
    except Exception:  # a tensor, an answer that is no label: nothing that PredictionMade could say
        DROPPED.labels("invalid").inc()
        return None, None


def _status(error: MlflowException) -> int:
    return int(error.get_http_status_code())  # type: ignore[no-untyped-call]


def _in_words(error: MlflowException) -> str:
    """Its body, without the traceback: that is for the log of who owns the model."""
    body = json.loads(error.serialize_as_json())  # type: ignore[no-untyped-call]
    body.pop("stack_trace", None)
    return json.dumps(body)
