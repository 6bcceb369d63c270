"""The scoring protocol of `mlflow models serve`: its clients need to change only the address.

Rows that fit the signature exactly take the same path as the native protocol's. MLflow's own scoring code parses,
converts, predicts and refuses everything else, which makes the response the same by construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from starlette.responses import Response

from chassis.http import Problem
from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from serving.http.answering_versions import LONGEST_HEADER, in_words, version_of, versions_of_rows
from serving.http.asgi import JSON, RawRequest, RawResponse
from serving.http.json_bodies import LARGE
from serving.http.openapi import ERROR_TEXT, refusals, success
from serving.http.prediction_service import PredictionService
from serving.inference.batcher import INLINE_ROWS
from serving.inference.model import LoadedModel, ModelFailed
from serving.loading.model_state import ActiveVersion

if TYPE_CHECKING:
    from mlflow.pyfunc.scoring_server import InvocationsResponse

    from serving.inference.prediction import Prediction

MLFLOW_VERSION = version("mlflow")
FORMATS = ("dataframe_records", "dataframe_split", "inputs", "instances")
LARGEST_ITEM = 8
"""Bytes of a number that Python has a type for; a long double has 16."""
CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    503: "TEMPORARILY_UNAVAILABLE",
}
"""MLflow's error codes; every other one is BAD_REQUEST."""
PLAIN_JSON = {"application/json", "application/json; charset=utf-8", "application/json;charset=utf-8"}

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
                    "description": f"One of {', '.join(FORMATS)}; and `params`",
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

    def __init__(self, service: PredictionService) -> None:
        self._service = service

    async def __call__(self, request: RawRequest) -> RawResponse:
        service = self._service
        active = service.active(request.path.get("model_name"), request.caller)
        model = active.model
        if len(request.body) <= LARGE:
            table = quick(model, request)
        else:
            table = await service.batcher.run(lambda: quick(model, request))
        failure: ModelFailed | None = None
        if table is not None:
            try:
                prediction = await service.predict_with_raw(request, active, table)
                body = await self._body(prediction)
            except ModelFailed as failed:
                failure = failed  # MLflow's own error message follows
            except RowsRefused:
                pass  # likewise
            else:
                service.record(request, active, table, prediction)
                return RawResponse(body, _headers(active, prediction))
        answer, read, made = await service.batcher.run(lambda: _as_mlflow_does(model, request))
        if answer.status == 200 and read is not None and made is not None:
            service.record(request, active, read, service.shadowed(active, made))
        elif failure is not None and table is not None:
            service.record_failure(request, active, table, failure)
        headers = [(b"content-type", answer.mimetype.encode()), *_headers(active)[1:]]
        return RawResponse(answer.response.encode(), headers, answer.status)

    async def _body(self, prediction: Prediction) -> bytes:
        """Return the raw output as MLflow's scoring server writes it. Raises Problem 400 where JSON cannot."""
        raw = prediction.raw
        if isinstance(raw, np.ndarray) and raw.dtype.kind in "fiub" and raw.itemsize <= LARGEST_ITEM:
            return orjson.dumps({"predictions": raw.tolist()})  # the same, faster; NaN and infinity become null
        if len(prediction.labels) <= INLINE_ROWS:
            return _as_mlflow_writes(raw)
        return await self._service.batcher.run(lambda: _as_mlflow_writes(raw))


def quick(model: LoadedModel, request: RawRequest) -> InputBatch | None:
    """Return the rows if they fit the signature exactly; None when MLflow must handle them."""
    if request.header(b"content-type").lower() not in PLAIN_JSON or model.has_times:
        return None
    try:
        rows = _rows(orjson.loads(request.body))
        if model.signature.is_tensor and not _are_arrays(rows):  # MLflow takes a table by the order of its columns
            return None
        table = model.reader.read(rows, len(rows)) if rows else None
    except (orjson.JSONDecodeError, RowsRefused):
        return None
    return table if table is not None and len(table.columns) == model.width else None


def _rows(body: Any) -> list[Any] | None:
    """Return the rows as records, from any of the body's formats."""
    if not isinstance(body, dict) or len(body) != 1:
        return None
    match body:
        case {"dataframe_records": [*rows]} | {"instances": [*rows]}:
            return rows
        case {"dataframe_split": {"columns": [*names], "data": [*data]}}:
            width = len(names)
            if all(isinstance(row, list) and len(row) == width for row in data) and _distinct(names):
                return [dict(zip(names, row, strict=True)) for row in data]
        case {"inputs": [*rows]} if _are_arrays(rows):
            return rows
        case {"inputs": {**columns}}:
            lists: list[Any] = list(columns.values())
            if lists and all(isinstance(given, list) and len(given) == len(lists[0]) for given in lists):
                return [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    return None


def _are_arrays(rows: list[Any] | None) -> bool:
    return rows is not None and all(isinstance(row, list) for row in rows)


def _distinct(names: list[Any]) -> bool:
    return all(isinstance(name, str) for name in names) and len(set(names)) == len(names)


def _as_mlflow_does(
    model: LoadedModel, request: RawRequest
) -> tuple[InvocationsResponse, InputBatch | None, Prediction | None]:
    from serving.http.scoring_server import as_mlflow_does  # MLflow: imported by now, with the first model

    return as_mlflow_does(model, request)


def _as_mlflow_writes(raw: Any) -> bytes:
    from serving.http.scoring_server import as_mlflow_writes

    return as_mlflow_writes(raw)


def shape(problem: Problem) -> Response:
    """Return a refusal from before the prediction, in MLflow's error format."""
    code = CODES.get(problem.status, "BAD_REQUEST")
    status = 400 if problem.status == 422 else problem.status
    body: Mapping[str, Any] = {"error_code": code, "message": problem.detail or problem.title}
    return Response(orjson.dumps(body), status, problem.headers, "application/json")


def _headers(active: ActiveVersion, prediction: Prediction | None = None) -> list[tuple[bytes, bytes]]:
    artifact = active.desired.artifact
    version = artifact.model_version if prediction is None else version_of(active, prediction)
    headers = [JSON, (b"x-model-name", artifact.model_name.encode()), (b"x-model-version", b"%d" % version)]
    if prediction is not None and (versions := versions_of_rows(prediction)) is not None:
        words = in_words(versions)
        if len(words) <= LONGEST_HEADER:
            headers.append((b"x-model-versions", words.encode()))
    return headers
