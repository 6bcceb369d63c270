"""The Open Inference Protocol, version 2, over HTTP, as used by clients of KServe, Triton and MLServer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, allowed, guarded_router
from chassis.http import Problem
from chassis.model_signature import Signature
from chassis.row_reader import InputBatch
from chassis.row_validation import RowsRefused
from serving.http.access import ModelCaller, Permits
from serving.http.answering_versions import in_words, version_of, versions_of_rows
from serving.http.asgi import JSON, ModelEvicted, RawRequest, RawResponse, retry_when_loaded
from serving.http.json_bodies import LARGE
from serving.http.open_inference_schemas import ANSWER, REQUEST, VERSIONS
from serving.http.openapi import ERROR_TEXT, refusals
from serving.http.prediction_service import PredictionService, refused
from serving.http.tensors import (
    OF_KINDS,
    BadTensor,
    Output,
    Tensor,
    read_tensor,
    rows_of,
    split_body,
    wanted_outputs,
)
from serving.inference.prediction import Prediction
from serving.loading.model_state import ActiveVersion

MATRIX = "input-0"
LABELS, SCORES = "predict", "predict_proba"
HEADER_LENGTH = b"inference-header-content-length"
EXTENSIONS = ["binary_tensor_data"]

_ERRORS: dict[str, Any] = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": ERROR_TEXT}},
    }
}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": REQUEST},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "200": {
            "description": "The outputs; binary where the request asked for binary outputs",
            "content": {
                "application/json": {"schema": ANSWER},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **refusals(_ERRORS, 400, 404, 408, 413, 415, 503),
    },
}


class Infer:
    """Handles `/v2/models/{model_name}/infer`, and the same path with a version."""

    def __init__(self, service: PredictionService) -> None:
        self._service = service

    async def __call__(self, request: RawRequest) -> RawResponse:
        service = self._service
        version = request.path.get("version")
        active = versioned(service, request.path["model_name"], version, request.caller)
        if len(request.body) <= LARGE:
            fields, table = self._read(request, active)
        else:
            fields, table = await service.batcher.run(lambda: self._read(request, active))
        prediction = await service.predict(request, active, table, pinned=version is not None)
        try:
            response = _response(request, active, fields, prediction)
        except BadTensor as error:
            raise Problem(400, "bad request", str(error)) from None
        service.record(request, active, table, prediction)
        return response

    def _read(self, request: RawRequest, active: ActiveVersion) -> tuple[dict[str, Any], InputBatch]:
        try:
            header, binary = split_body(request.body, request.header(HEADER_LENGTH))
            fields = orjson.loads(header)
            if not isinstance(fields, dict) or not isinstance(fields.get("inputs"), list) or not fields["inputs"]:
                raise BadTensor("expected an object with inputs, an array of tensors")
            columns = [column.name for column in active.model.signature.columns]
            most = self._service.settings.max_rows
            rows = rows_of(_tensors(fields["inputs"], binary, most), columns)
            return fields, active.model.reader.read(rows, most)
        except orjson.JSONDecodeError as error:
            raise Problem(400, "bad request", f"the request is not JSON: {error.msg}") from None
        except BadTensor as error:
            raise Problem(400, "bad request", str(error)) from None
        except RowsRefused as refusal:
            raise refused(active, refusal) from None


def versioned(
    service: PredictionService, model_name: str, version: str | None, caller: ModelCaller | None
) -> ActiveVersion:
    """Return the active version. Raises Problem 404 for another one: serving does not choose versions."""
    active = service.active(model_name, caller)
    current = active.desired.artifact.model_version
    if version is not None and version != str(current):
        raise Problem(
            404, "no such version", f"model {model_name!r} version {version[:40]!r}: version {current} answers"
        )
    return active


def build_inference_router(service: PredictionService) -> APIRouter:
    """Build the routes for metadata and health; inference itself is on the lean path."""
    router = guarded_router(prefix="/v2", tags=["inference"])
    opened, used, permits = allowed(Action.OPEN), allowed(Action.PREDICT), Permits(Action.PREDICT)

    @router.get("", openapi_extra=opened)
    def server() -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": "gauntlet-serving", "version": "0.1.0", "extensions": EXTENSIONS}

    @router.get("/health/live", openapi_extra=opened)
    def live() -> dict[str, bool]:
        """The process runs."""
        return {"live": True}

    @router.get(
        "/health/ready",
        responses={503: {"description": "Not every desired version is loaded"}},
        openapi_extra=opened,
    )
    def ready() -> Response:
        """Every version that was desired at the start is loaded."""
        try:
            service.reconciler.check()
        except Exception:
            return JSONResponse({"ready": False}, 503)
        return JSONResponse({"ready": True})

    unknown = refusals(_ERRORS, 404, 503)

    @router.get("/models/{model_name}", responses=unknown, openapi_extra=used)
    @router.get("/models/{model_name}/versions/{version}", responses=unknown, openapi_extra=used)
    async def model(caller: CallerOf, model_name: str, version: str | None = None) -> Response:
        """Inputs and outputs of a model, as tensors."""

        async def find() -> ActiveVersion:
            return versioned(service, model_name, version, permits.admit(caller))

        started = time.perf_counter()
        try:
            try:
                active = await find()
            except ModelEvicted as evicted:
                active = await retry_when_loaded(find, evicted, started)
        except Problem as problem:
            return shape(problem)
        return JSONResponse(_metadata(active))

    @router.get("/models/{model_name}/ready", responses=unknown, openapi_extra=used)
    @router.get("/models/{model_name}/versions/{version}/ready", responses=unknown, openapi_extra=used)
    def model_ready(caller: CallerOf, model_name: str, version: str | None = None) -> Response:
        """The model, or this version of it, is loaded."""
        try:
            versioned(service, model_name, version, permits.admit(caller))
        except ModelEvicted:
            pass  # evicted from memory, but in service: it is loaded on request
        except Problem as problem:
            return shape(problem)
        return JSONResponse({"name": model_name, "ready": True})

    return router


def shape(problem: Problem) -> Response:
    """Write a Problem as `{"error": …}`, as the protocol prescribes."""
    status = 400 if problem.status == 422 else problem.status
    return Response(
        orjson.dumps({"error": problem.detail or problem.title}), status, problem.headers, "application/json"
    )


def _tensors(specs: list[Any], binary: memoryview, max_rows: int) -> list[Tensor]:
    found = []
    for spec in specs:
        tensor, taken = read_tensor(spec, binary, max_rows)
        binary = binary[taken:]
        found.append(tensor)
    if len(binary):
        raise BadTensor(f"{len(binary)} bytes are left after the last input")
    return found


def _response(
    request: RawRequest, active: ActiveVersion, fields: dict[str, Any], prediction: Prediction
) -> RawResponse:
    outputs = _outputs(prediction)
    artifact = active.desired.artifact
    given = fields.get("id")
    heads, parts = [], []
    for name, binary in wanted_outputs(fields, list(outputs)):
        if binary:
            head, raw = outputs[name].as_binary()
            parts.append(raw)
        else:
            head = outputs[name].as_json()
        heads.append(head)
    answer: dict[str, Any] = {
        "model_name": artifact.model_name,
        "model_version": str(version_of(active, prediction)),
        "id": given if isinstance(given, str) and given else request.request_id,
        "outputs": heads,
    }
    if (versions := versions_of_rows(prediction)) is not None:
        answer["parameters"] = {VERSIONS: in_words(versions)}  # a text: not every client takes a list
    body = orjson.dumps(answer)
    if not parts:
        return RawResponse(body, [JSON])
    headers = [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH, b"%d" % len(body))]
    return RawResponse(b"".join([body, *parts]), headers)


def _outputs(prediction: Prediction) -> dict[str, Output]:
    """Return the label and, if any, the probabilities of all classes, as scikit-learn names and orders them."""
    found = {LABELS: Output(LABELS, np.asarray(prediction.labels))}
    if prediction.numbers is not None:
        positive = np.asarray(prediction.numbers)
        found[SCORES] = Output(SCORES, np.column_stack([1 - positive, positive]))
    elif prediction.scores is not None:
        found[SCORES] = Output(SCORES, np.asarray(prediction.scores))
    return found


def _inputs(signature: Signature) -> list[dict[str, Any]]:
    """Describe one tensor per column, or the matrix that a model takes, by the name that MLServer gives it."""
    if signature.is_tensor:
        (kind,) = {column.kind for column in signature.columns}
        return [{"name": MATRIX, "datatype": OF_KINDS[kind], "shape": [-1, len(signature.columns)]}]
    return [{"name": column.name, "datatype": OF_KINDS[column.kind], "shape": [-1]} for column in signature.columns]


def _metadata(active: ActiveVersion) -> dict[str, Any]:
    signature, artifact = active.model.signature, active.desired.artifact
    outputs = [{"name": LABELS, "datatype": "FP64" if signature.problem == "regression" else "BYTES", "shape": [-1]}]
    if signature.problem != "regression":
        classes = len(signature.classes) if signature.classes else -1
        labels = np.asarray(signature.classes if signature.classes else [0, 1])
        outputs = [
            {"name": LABELS, "datatype": Output(LABELS, labels).datatype, "shape": [-1]},
            {"name": SCORES, "datatype": "FP64", "shape": [-1, 2 if signature.problem == "binary" else classes]},
        ]
    return {
        "name": artifact.model_name,
        "versions": [str(artifact.model_version)],
        "platform": "mlflow_pyfunc",
        "inputs": _inputs(signature),
        "outputs": outputs,
    }
