"""The Open Inference Protocol, version 2, over HTTP: what clients of KServe, Triton and MLServer speak."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import orjson
from fastapi import APIRouter, Response
from starlette.responses import JSONResponse

from chassis.http import Problem
from serving.http.asgi import JSON, Call, Later, Reply, patiently
from serving.http.json_bodies import LARGE
from serving.http.openapi import ERROR_TEXT, refusals
from serving.http.prediction_service import Front, refused
from serving.http.tensors import (
    DTYPES,
    MOST_DIMENSIONS,
    OF_KINDS,
    BadTensor,
    Output,
    Tensor,
    read_tensor,
    rows_of,
    split_body,
    wanted_outputs,
)
from serving.inference.prediction import Outcome
from serving.inference.row_reader import Table
from serving.inference.validation import RowsRefused
from serving.loading.model_state import Answering

LABELS, SCORES = "predict", "predict_proba"
HEADER_LENGTH = b"inference-header-content-length"
EXTENSIONS = ["binary_tensor_data"]

_REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": "string"},
        "inputs": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": {"type": "string"},
                    "shape": {
                        "type": "array",
                        "minItems": 1,
                        "maxItems": MOST_DIMENSIONS,
                        "items": {"type": "integer", "minimum": 0},
                    },
                    "datatype": {"enum": [*DTYPES, "BYTES"]},
                    "data": {"type": "array"},
                    "parameters": {"type": "object"},
                },
            },
        },
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "parameters": {"type": "object"},
    },
}
_ERRORS: dict[str, Any] = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": ERROR_TEXT}},
    }
}

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _REQUEST},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "200": {
            "description": "The outputs; binary where the request asked for binary outputs",
            "content": {
                "application/json": {"schema": {"type": "object", "required": ["model_name", "id", "outputs"]}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
        **refusals(_ERRORS, 400, 404, 408, 413, 415, 503),
    },
}


class Infer:
    """Handles `/v2/models/{model_name}/infer`, and the same of a version."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, call: Call) -> Reply:
        front = self._front
        answering = versioned(front, call.path["model_name"], call.path.get("version"))
        if len(call.body) <= LARGE:
            request, table = self._read(call, answering)
        else:
            request, table = await front.desk.run(lambda: self._read(call, answering))
        outcome = await front.ask(answering, table)
        try:
            reply = _reply(call, answering, request, outcome)
        except BadTensor as error:
            raise Problem(400, "bad request", str(error)) from None
        front.done(call, answering, table, outcome)
        return reply

    def _read(self, call: Call, answering: Answering) -> tuple[dict[str, Any], Table]:
        try:
            header, binary = split_body(call.body, call.header(HEADER_LENGTH))
            request = orjson.loads(header)
            if not isinstance(request, dict) or not isinstance(request.get("inputs"), list) or not request["inputs"]:
                raise BadTensor("expected an object with inputs, an array of tensors")
            columns = [column.name for column in answering.model.signature.columns]
            most = self._front.settings.max_rows
            rows = rows_of(_tensors(request["inputs"], binary, most), columns)
            return request, answering.model.reader.read(rows, most)
        except orjson.JSONDecodeError as error:
            raise Problem(400, "bad request", f"the request is not JSON: {error.msg}") from None
        except BadTensor as error:
            raise Problem(400, "bad request", str(error)) from None
        except RowsRefused as refusal:
            raise refused(answering, refusal) from None


def versioned(front: Front, model_name: str, version: str | None) -> Answering:
    """The version that answers; another one is told to be elsewhere: serving decides nothing."""
    answering = front.answering(model_name)
    current = answering.wanted.artifact.model_version
    if version is not None and version != str(current):
        raise Problem(
            404, "no such version", f"model {model_name!r} version {version[:40]!r}: version {current} answers"
        )
    return answering


def build_inference_router(front: Front) -> APIRouter:
    """Metadata and health; inference itself is on the lean path."""
    router = APIRouter(prefix="/v2", tags=["inference"])

    @router.get("")
    def server() -> dict[str, Any]:
        """Name, version and extensions of the server."""
        return {"name": "gauntlet-serving", "version": "0.1.0", "extensions": EXTENSIONS}

    @router.get("/health/live")
    def live() -> dict[str, bool]:
        """The process runs."""
        return {"live": True}

    @router.get("/health/ready", responses={503: {"description": "Not every desired version is loaded"}})
    def ready() -> Response:
        """Every version that was desired at the start is loaded."""
        try:
            front.loader.check()
        except Exception:
            return JSONResponse({"ready": False}, 503)
        return JSONResponse({"ready": True})

    unknown = refusals(_ERRORS, 404, 503)

    @router.get("/models/{model_name}", responses=unknown)
    @router.get("/models/{model_name}/versions/{version}", responses=unknown)
    async def model(model_name: str, version: str | None = None) -> Response:
        """Inputs and outputs of a model, as tensors."""

        async def find() -> Answering:
            return versioned(front, model_name, version)

        started = time.perf_counter()
        try:
            try:
                answering = await find()
            except Later as later:
                answering = await patiently(find, later, started)
        except Problem as problem:
            return shape(problem)
        return JSONResponse(_metadata(answering))

    @router.get("/models/{model_name}/ready", responses=unknown)
    @router.get("/models/{model_name}/versions/{version}/ready", responses=unknown)
    def model_ready(model_name: str, version: str | None = None) -> Response:
        """The model, or this version of it, is loaded."""
        try:
            versioned(front, model_name, version)
        except Later:
            pass  # out of memory, but not of service: it is loaded for who asks
        except Problem as problem:
            return shape(problem)
        return JSONResponse({"name": model_name, "ready": True})

    return router


def shape(problem: Problem) -> Response:
    """`{"error": …}`, as the protocol prescribes."""
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


def _reply(call: Call, answering: Answering, request: dict[str, Any], outcome: Outcome) -> Reply:
    outputs = _outputs(outcome)
    artifact = answering.wanted.artifact
    given = request.get("id")
    heads, parts = [], []
    for name, binary in wanted_outputs(request, list(outputs)):
        if binary:
            head, raw = outputs[name].as_binary()
            parts.append(raw)
        else:
            head = outputs[name].as_json()
        heads.append(head)
    body = orjson.dumps(
        {
            "model_name": artifact.model_name,
            "model_version": str(artifact.model_version),
            "id": given if isinstance(given, str) and given else call.request_id,
            "outputs": heads,
        }
    )
    if not parts:
        return Reply(body, [JSON])
    headers = [(b"content-type", b"application/octet-stream"), (HEADER_LENGTH, b"%d" % len(body))]
    return Reply(b"".join([body, *parts]), headers)


def _outputs(outcome: Outcome) -> dict[str, Output]:
    """The label, and where there are probabilities those of all classes, as scikit-learn names and orders them."""
    found = {LABELS: Output(LABELS, np.asarray(outcome.labels))}
    if outcome.numbers is not None:
        positive = np.asarray(outcome.numbers)
        found[SCORES] = Output(SCORES, np.column_stack([1 - positive, positive]))
    elif outcome.scores is not None:
        found[SCORES] = Output(SCORES, np.asarray(outcome.scores))
    return found


def _metadata(answering: Answering) -> dict[str, Any]:
    signature, artifact = answering.model.signature, answering.wanted.artifact
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
        "inputs": [
            {"name": column.name, "datatype": OF_KINDS[column.kind], "shape": [-1]} for column in signature.columns
        ],
        "outputs": outputs,
    }
