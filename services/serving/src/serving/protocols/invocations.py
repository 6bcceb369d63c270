"""What `mlflow models serve` answers, so that a client of it needs to change nothing but the address.

Rows that fit the signature to the letter take the same way as our own protocol's. Everything else is parsed, converted,
asked and refused by MLflow's own scoring code, which makes the answer the same by construction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import orjson
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import CONTENT_TYPES, SUPPORTED_FORMATS, InvocationsResponse, invocations
from mlflow.version import VERSION
from starlette.responses import Response

from chassis.http import Problem
from serving.front import Front
from serving.lean import JSON, Call, Reply
from serving.models import LoadedModel, ModelFailed
from serving.openapi import ERROR_TEXT, refusals, success
from serving.outcomes import Outcome
from serving.protocols.bodies import LARGE
from serving.protocols.extent import is_bomb
from serving.publishing_process import DROPPED
from serving.rows import RowsRefused
from serving.slots import Answering
from serving.tables import Table

MLFLOW_VERSION = VERSION
PLAIN_JSON = {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}

SPARSE = (
    "The rows have so few columns in common that the table would be many times larger than the body; send them apart"
)

_ERRORS: dict[str, Any] = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["error_code", "message"],
            "properties": {"error_code": ERROR_TEXT, "message": ERROR_TEXT},
        }
    }
}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": f"One of {', '.join(sorted(SUPPORTED_FORMATS))}; and `params`",
                }
            },
            "text/csv": {"schema": {"type": "string"}},
        },
    },
    "responses": success({"type": "object", "required": ["predictions"]})
    | refusals(_ERRORS, 400, 404, 408, 413, 503)
    | refusals(_ERRORS | {"text/plain": {"schema": ERROR_TEXT}}, 415),
}


class Invocations:
    """Handles `/invocations`, and `/models/{model_name}/invocations` where several models are served."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, call: Call) -> Reply:
        front = self._front
        answering = front.answering(call.path.get("model_name"))
        model = answering.model
        if len(call.body) <= LARGE:
            table = quick(model, call)
        else:
            table = await front.desk.run(lambda: quick(model, call))
        if table is not None:
            try:
                outcome = await front.desk.ask(model, table)
            except (ModelFailed, RowsRefused):
                pass  # MLflow's words for it follow
            else:
                front.done(call, answering, table, outcome)
                return Reply(orjson.dumps({"predictions": outcome.jsonable()}), _headers(answering))
        answer, table, outcome = await front.desk.run(lambda: as_mlflow_does(model, call))
        if answer.status == 200 and table is not None:
            front.done(call, answering, table, outcome)
        headers = [(b"content-type", answer.mimetype.encode()), *_headers(answering)[1:]]
        return Reply(answer.response.encode(), headers, answer.status)


def quick(model: LoadedModel, call: Call) -> Table | None:
    """The rows, where they fit the signature to the letter; None for MLflow to look at."""
    if call.header(b"content-type").lower() not in PLAIN_JSON or model.has_times:
        return None
    try:
        rows = _rows(orjson.loads(call.body))
        table = model.reader.read(rows, len(rows)) if rows else None
    except (orjson.JSONDecodeError, RowsRefused):
        return None
    return table if table is not None and len(table.columns) == model.width else None


def _rows(body: Any) -> list[Any] | None:
    """As records, from whichever form the body has."""
    if not isinstance(body, dict) or len(body) != 1:
        return None
    match body:
        case {"dataframe_records": [*rows]} | {"instances": [*rows]}:
            return rows
        case {"dataframe_split": {"columns": [*names], "data": [*data]}}:
            width = len(names)
            if all(isinstance(row, list) and len(row) == width for row in data) and _distinct(names):
                return [dict(zip(names, row, strict=True)) for row in data]
        case {"inputs": {**columns}}:
            lists: list[Any] = list(columns.values())
            if lists and all(isinstance(given, list) and len(given) == len(lists[0]) for given in lists):
                return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    return None


def _distinct(names: list[Any]) -> bool:
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


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


def as_mlflow_does(model: LoadedModel, call: Call) -> tuple[InvocationsResponse, Table | None, Any]:
    """Blocks. The response, and what was asked and answered where it was rows.

    Where the scoring server would fail with a 500, by whatever its parser raises, this is a 400.
    """
    listening = _Listening(model)
    content_type = call.header(b"content-type")
    if not content_type:
        return (
            InvocationsResponse(f"Content-Type is missing; expected one of {CONTENT_TYPES}", 415, "text/plain"),
            None,
            None,
        )
    try:
        if is_bomb(call.body, content_type.split(";")[0].strip()):
            raise MlflowException.invalid_parameter_value(SPARSE)
        schema = model.pyfunc.metadata.get_input_schema()
        answer = invocations(call.body, content_type, listening, schema)  # type: ignore[no-untyped-call]
    except MlflowException as error:
        return InvocationsResponse(_in_words(error), _status(error), "application/json"), None, None
    except Exception as error:
        words = MlflowException.invalid_parameter_value(f"{type(error).__name__}: {error}")
        return InvocationsResponse(_in_words(words), 400, "application/json"), None, None
    table, outcome = (None, None) if answer.status != 200 else _heard(model, listening)
    return answer, table, outcome


def _heard(model: LoadedModel, listening: _Listening) -> tuple[Table | None, Outcome | None]:
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


def shape(problem: Problem) -> Response:
    """What is refused before a model is asked, in MLflow's words."""
    code = {404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}.get(problem.status, "BAD_REQUEST")
    status = 400 if problem.status == 422 else problem.status
    body: Mapping[str, Any] = {"error_code": code, "message": problem.detail or problem.title}
    return Response(orjson.dumps(body), status, problem.headers, "application/json")


def _headers(answering: Answering) -> list[tuple[bytes, bytes]]:
    artifact = answering.wanted.artifact
    version = str(artifact.model_version).encode()
    return [JSON, (b"x-model-name", artifact.model_name.encode()), (b"x-model-version", version)]
