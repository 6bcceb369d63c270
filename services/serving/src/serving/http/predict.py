"""Our own protocol: `{"rows": [{…}]}` in, one prediction a row out, with the version and epoch that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from serving.http.asgi import JSON, Call, Reply
from serving.http.json_bodies import LARGE, model_of, object_of, unknown, wrong
from serving.http.openapi import MODEL_NAME, PROBLEM, refusals, success
from serving.http.predict_by_id import Features
from serving.http.prediction_service import Front, refused
from serving.inference.prediction import Outcome
from serving.inference.validation import MISSING, RowsRefused
from serving.loading.model_state import Answering

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
                        "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
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
                "model_version": {"type": "integer"},
                "epoch": {"type": ["integer", "null"]},
                "request_id": {"type": "string"},
                "predictions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["score", "label"],
                        "properties": {"score": {"type": ["number", "null"]}, "scores": {"type": "object"}},
                    },
                },
            },
        }
    )
    | refusals(PROBLEM),
}


class Predict:
    """Handles `/predict` and `/models/{model_name}/predict`."""

    def __init__(self, front: Front, features: Features) -> None:
        self._front = front
        self._features = features

    async def __call__(self, call: Call) -> Reply:
        front, in_path = self._front, call.path.get("model_name")
        if len(call.body) <= LARGE:
            answering, table = self._read(call.body, in_path)
        else:
            answering, table = await front.desk.run(lambda: self._read(call.body, in_path))
        if isinstance(table, list):
            table = await self._features.table(answering.model, table)
        outcome = await front.ask(answering, table)
        if len(call.body) <= LARGE and len(table) <= LARGE_ROWS:
            body = _body(call, answering, outcome)
        else:
            body = await front.desk.run(lambda: _body(call, answering, outcome))
        front.done(call, answering, table, outcome)
        return Reply(body, [JSON])

    def _read(self, body: bytes, in_path: str | None) -> tuple[Answering, Any]:
        """Which version answers; and the rows as a Table, or a list of ids. Raises Problem."""
        fields = object_of(body, EXAMPLE)
        for name in fields:
            if name not in FIELDS and name not in self._features.fields:
                raise unknown(name, fields[name], (*FIELDS, *self._features.fields))
        answering = self._front.answering(model_of(fields, in_path))
        given = one_of(fields)
        if given != "rows":
            return answering, self._features.ids(answering.wanted.artifact.model_name, given, fields[given])
        try:
            return answering, answering.model.reader.read(fields["rows"], self._front.settings.max_rows)
        except RowsRefused as refusal:
            raise refused(answering, refusal) from None


def one_of(fields: dict[str, Any]) -> str:
    """The one field besides `model`. Raises Problem 422 when there is none, or more than one."""
    given = [name for name in fields if name != "model"]
    if not given:
        raise wrong("rows", MISSING, "an array of objects, one a row")
    if len(given) > 1:
        raise wrong(given[1], fields[given[1]], f"{given[0]} or {given[1]}, not both")
    return given[0]


def _body(call: Call, answering: Answering, outcome: Outcome) -> bytes:
    scores: Sequence[float | None] = outcome.numbers or [None] * len(outcome.labels)
    predictions: list[dict[str, Any]] = [
        {"score": score, "label": label} for score, label in zip(scores, outcome.labels, strict=True)
    ]
    if outcome.scores is not None and outcome.numbers is None:
        classes = answering.model.signature.classes or range(len(outcome.scores[0]))
        names = [str(name) for name in classes]
        for prediction, row in zip(predictions, outcome.scores, strict=True):
            prediction["scores"] = dict(zip(names, row, strict=True))
    artifact = answering.wanted.artifact
    return orjson.dumps(
        {
            "model_name": artifact.model_name,
            "model_version": artifact.model_version,
            "epoch": answering.wanted.epoch,
            "request_id": call.request_id,
            "predictions": predictions,
        }
    )
