"""The native protocol: takes `{"rows": [{…}]}`, returns one prediction a row, with the model's version and epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from chassis.row_validation import MISSING, RowsRefused
from serving.http.answering_versions import version_of, versions_of_rows
from serving.http.asgi import JSON, RawRequest, RawResponse
from serving.http.json_bodies import LARGE, model_of, object_of, unknown, wrong
from serving.http.openapi import MODEL_NAME, PROBLEM, refusals, success
from serving.http.predict_by_id import Features
from serving.http.prediction_service import PredictionService, refused
from serving.inference.prediction import Prediction
from serving.loading.model_state import ActiveVersion

FIELDS = ("rows", "entities", "model")
LARGE_ROWS = 1000
EXAMPLE = '{"rows": [{…}]}'

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "Either rows, or ids of entities (also under the name of their column)",
                    "anyOf": [{"required": ["rows"]}, {"required": ["entities"]}],
                    "additionalProperties": False,
                    "properties": {
                        "model": MODEL_NAME,
                        "rows": {"type": "array", "minItems": 1, "items": {"type": ["object", "array"]}},
                        "entities": {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"]}},
                    },
                }
            }
        },
    },
    "responses": success(
        {
            "type": "object",
            "required": ["model_name", "model_version", "epoch", "request_id", "predictions"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {
                    "type": "integer",
                    "description": "The version of all predictions; the champion, where they are of two versions",
                },
                "epoch": {
                    "type": ["integer", "null"],
                    "description": "Of its promotion; null for a version that a rollout tries, and in staging",
                },
                "request_id": {"type": "string"},
                "predictions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["score", "label"],
                        "properties": {
                            "score": {"type": ["number", "null"]},
                            "scores": {"type": "object"},
                            "model_version": {
                                "type": "integer",
                                "description": "While a rollout divides the requests between two versions",
                            },
                        },
                    },
                },
            },
        }
    )
    | refusals(PROBLEM),
}


class Predict:
    """Handles `/predict` and `/models/{model_name}/predict`."""

    def __init__(self, service: PredictionService, features: Features) -> None:
        self._service = service
        self._features = features

    async def __call__(self, request: RawRequest) -> RawResponse:
        service, in_path = self._service, request.path.get("model_name")
        if len(request.body) <= LARGE:
            active, table = self._read(request, in_path)
        else:
            active, table = await service.batcher.run(lambda: self._read(request, in_path))
        if isinstance(table, list):
            table = await self._features.table(active.model, table)
        predicted = await service.predict(request, active, table)
        if len(request.body) <= LARGE and len(table) <= LARGE_ROWS:
            body = _body(request, active, predicted)
        else:
            body = await service.batcher.run(lambda: _body(request, active, predicted))
        service.record(request, active, table, predicted)
        return RawResponse(body, [JSON])

    def _read(self, request: RawRequest, in_path: str | None) -> tuple[ActiveVersion, Any]:
        """Return the active version; and the rows as an InputBatch, or a list of ids. Raises Problem."""
        fields = object_of(request.body, EXAMPLE)
        for name in fields:
            if name not in FIELDS and name not in self._features.fields:
                raise unknown(name, fields[name], (*FIELDS, *self._features.fields))
        active = self._service.active(model_of(fields, in_path), request.caller)
        given = one_of(fields)
        if given != "rows":
            return active, self._features.ids(active.desired.artifact.model_name, given, fields[given])
        try:
            return active, active.model.reader.read(fields["rows"], self._service.settings.max_rows)
        except RowsRefused as refusal:
            raise refused(active, refusal) from None


def one_of(fields: dict[str, Any]) -> str:
    """Return the one field besides `model`. Raises Problem 422 when there is none, or more than one."""
    given = [name for name in fields if name != "model"]
    if not given:
        raise wrong("rows", MISSING, "an array of objects, one a row")
    if len(given) > 1:
        raise wrong(given[1], fields[given[1]], f"{given[0]} or {given[1]}, not both")
    return given[0]


def _body(request: RawRequest, active: ActiveVersion, predicted: Prediction) -> bytes:
    scores: Sequence[float | None] = predicted.numbers or [None] * len(predicted.labels)
    predictions: list[dict[str, Any]] = [
        {"score": score, "label": label} for score, label in zip(scores, predicted.labels, strict=True)
    ]
    if predicted.scores is not None and predicted.numbers is None:
        classes = active.model.signature.classes or range(len(predicted.scores[0]))
        names = [str(name) for name in classes]
        for prediction, row in zip(predictions, predicted.scores, strict=True):
            prediction["scores"] = dict(zip(names, row, strict=True))
    artifact = active.desired.artifact
    version, epoch = artifact.model_version, active.desired.epoch
    if (versions := versions_of_rows(predicted)) is not None:
        for prediction, of_row in zip(predictions, versions, strict=True):
            prediction["model_version"] = of_row
        if (version := version_of(active, predicted)) != artifact.model_version:
            epoch = None  # it was not promoted
    return orjson.dumps(
        {
            "model_name": artifact.model_name,
            "model_version": version,
            "epoch": epoch,
            "request_id": request.request_id,
            "predictions": predictions,
        }
    )
