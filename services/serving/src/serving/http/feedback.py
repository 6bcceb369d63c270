"""Ground truth by HTTP: `{"items": [{"request_id": …, "row": 0, "label": 1}]}`, or one item by itself.

202 means that the broker has all items. After any other response, the client sends all of them again: an item that
arrived before is the same event, and counts once.
"""

from __future__ import annotations

from typing import Any

import orjson

from chassis.http import Problem
from chassis.row_validation import Fault
from contracts import GroundTruthReceived
from contracts.cloudevents import Encoded
from serving.http.asgi import JSON, RawRequest, RawResponse
from serving.http.json_bodies import model_of, object_of, unknown, wrong
from serving.http.openapi import MODEL_NAME, PROBLEM, refusals, success
from serving.http.prediction_service import PredictionService, about
from serving.publishing.feedback import FeedbackPublisher
from serving.publishing.ground_truth import FIELDS, LONGEST, GroundTruthRejected, encoded, read_items

LARGE = 8 * 1024
"""Bytes of a body that is read in a thread: an item costs more than a row."""

RETRY_AFTER = "2"
EXAMPLE = '{"items": [{"request_id": "…", "row": 0, "label": 1}]}'

_ITEM = {
    "type": "object",
    "additionalProperties": False,
    "required": ["label"],
    "description": "Of one row of a request, by `request_id` and `row`; or of an entity, by `entity_id`",
    "properties": {
        "request_id": {"type": "string", "minLength": 1, "maxLength": LONGEST},
        "row": {"type": "integer", "minimum": 0, "default": 0},
        "entity_id": {"type": ["string", "integer"]},
        "label": {"type": ["boolean", "number", "string"]},
        "event_time": {
            "type": "string",
            "format": "date-time",
            "description": "When what the label describes happened",
        },
    },
}
_MANY = {
    "type": "object",
    "additionalProperties": False,
    "required": ["items"],
    "properties": {"model": MODEL_NAME, "items": {"type": "array", "minItems": 1, "items": _ITEM}},
}
_ONE: dict[str, Any] = _ITEM | {"properties": {"model": MODEL_NAME, **_ITEM["properties"]}}  # type: ignore[dict-item]

BODY = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": [_MANY, _ONE]}}}},
    "responses": success(
        {
            "type": "object",
            "required": ["model_name", "request_id", "accepted"],
            "properties": {
                "model_name": {"type": "string"},
                "request_id": {"type": "string"},
                "accepted": {"type": "integer"},
            },
        },
        202,
        "Kafka has acknowledged all items",
    )
    | refusals(PROBLEM),
}


class Feedback:
    """Handles `/feedback` and `/models/{model_name}/feedback`."""

    def __init__(self, service: PredictionService, feedback_publisher: FeedbackPublisher) -> None:
        self._service = service
        self._feedback_publisher = feedback_publisher

    async def __call__(self, request: RawRequest) -> RawResponse:
        if len(request.body) <= LARGE:
            model_name, events = self._read(request)
        else:
            model_name, events = await self._service.batcher.run(lambda: self._read(request))
        tally = await self._feedback_publisher.deliver(GroundTruthReceived.topic, events)
        accepted, sent = tally.acknowledged, len(events)
        if accepted < sent:
            detail = (
                f"Kafka acknowledged {accepted:,} of {sent:,} items "
                f"within {self._service.settings.feedback_seconds:g} s "
                f"(SERVING_FEEDBACK_SECONDS): {tally.reason}. Send all of them again: none will count twice"
            )
            again = {"Retry-After": RETRY_AFTER}
            raise Problem(503, "not accepted", detail, headers=again, model_name=model_name, accepted=accepted)
        body = {"model_name": model_name, "request_id": request.request_id, "accepted": accepted}
        return RawResponse(orjson.dumps(body), [JSON], 202)

    def _read(self, request: RawRequest) -> tuple[str, list[Encoded]]:
        fields = object_of(request.body, EXAMPLE)
        items, alone = items_of(fields, self._service.settings.feedback_max_items)
        model_name = self._service.state(model_of(fields, request.path.get("model_name")), request.caller).model_name
        try:
            return model_name, [encoded(event) for event in read_items(model_name, items)]
        except GroundTruthRejected as refusal:
            raise _refused(refusal, alone) from None


def items_of(fields: dict[str, Any], most: int) -> tuple[list[Any], bool]:
    """Return the items, and whether the body is a single one. Raises Problem 422."""
    known = ("items", "model", *FIELDS)
    for name in fields:
        if name not in known:
            raise unknown(name, fields[name], known)
    if "items" not in fields:
        return [{name: value for name, value in fields.items() if name != "model"}], True
    for name in fields:
        if name in FIELDS:
            raise wrong(name, fields[name], "its place in items, or no items")
    items = fields["items"]
    if not isinstance(items, list) or not items:
        raise wrong("items", items, "an array of objects, at least one")
    if len(items) > most:
        raise wrong("items", items, f"at most {most:,} items a request (SERVING_FEEDBACK_MAX_ITEMS)")
    return items, False


def _refused(refusal: GroundTruthRejected, alone: bool) -> Problem:
    errors = []
    for fault in refusal.faults:
        error = about(fault)
        number = error.pop("row")
        errors.append(error if alone else {"item": number, **error})
    more = f" (and {refusal.count - 1:,} more)" if refusal.count > 1 else ""
    return Problem(422, "invalid feedback", f"{_said(refusal.faults[0], alone)}{more}", errors=errors)


def _said(fault: Fault, alone: bool) -> str:
    place = fault.field or "the item" if alone else f"items[{fault.row}]" + (f".{fault.field}" if fault.field else "")
    return f"{place} is {fault.value}; expected {fault.expected}"
