"""Our own protocol: `{"rows": [{…}]}` in, one prediction a row out, with the version and epoch that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from chassis.http import Problem
from serving.front import Front, invalid, refused
from serving.lean import JSON, Call, Reply
from serving.outcomes import Outcome
from serving.rows import Fault, RowsRefused, json_type, nearest, shown
from serving.slots import Answering

FIELDS = ("model", "rows")

BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "model": {"type": "string", "description": "May be left out when one model is served"},
                        "rows": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                    },
                }
            }
        },
    },
    "parameters": [
        {"name": "X-Request-ID", "in": "header", "schema": {"type": "string"}, "description": "Default: a new one"}
    ],
}

LARGE = 64 * 1024
"""Bodies above it are parsed in a thread: half a millisecond and more on the event loop would hold the others."""


class Predict:
    """Handles `/predict` and `/models/{model_name}/predict`."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def __call__(self, call: Call) -> Reply:
        front, in_path = self._front, call.path.get("model_name")
        if len(call.body) <= LARGE:
            answering, table = self._read(call.body, in_path)
            outcome = await front.ask(answering, table)
            body = _body(call, answering, outcome)
        else:
            answering, table = await front.desk.run(lambda: self._read(call.body, in_path))
            outcome = await front.ask(answering, table)
            body = await front.desk.run(lambda: _body(call, answering, outcome))
        front.done(call, answering, table, outcome)
        return Reply(body, [JSON])

    def _read(self, body: bytes, in_path: str | None) -> Any:
        fields = fields_of(body)
        answering = self._front.answering(_model_of(fields, in_path))
        try:
            return answering, answering.model.reader.read(fields["rows"], self._front.settings.max_rows)
        except RowsRefused as refusal:
            raise refused(answering, refusal) from None


def fields_of(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Problem(422, "invalid JSON", detail, position=error.pos, line=error.lineno, column=error.colno) from None
    if not isinstance(fields, dict):
        fault = Fault(None, None, shown(fields), json_type(fields), 'an object such as {"rows": [{…}]}')
        raise invalid(fault, f"the body is {fault.value}; expected {fault.expected}")
    for name in fields:
        if name not in FIELDS:
            fault = Fault(None, name[:80], shown(fields[name]), json_type(fields[name]), "one of: rows, model")
            raise invalid(fault, f"unknown field {shown(name)}; {nearest(name, FIELDS)}")
    if "rows" not in fields:
        fault = Fault(None, "rows", "missing", "missing", "an array of objects, one a row")
        raise invalid(fault, f"rows is missing; expected {fault.expected}")
    return fields


def _model_of(fields: dict[str, Any], in_path: str | None) -> str | None:
    named = fields.get("model")
    if named is None:
        return in_path
    if not isinstance(named, str):
        fault = Fault(None, "model", shown(named), json_type(named), "the name of a model, a string")
        raise invalid(fault, f"model is {fault.value}; expected {fault.expected}")
    if in_path is not None and named != in_path:
        fault = Fault(None, "model", shown(named), "string", f"{in_path!r}, as in the path, or nothing")
        raise invalid(fault, f"model is {fault.value}; expected {fault.expected}")
    return named


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
