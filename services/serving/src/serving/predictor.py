"""From the bytes of a request to the bytes of its answer; runs in a thread, whole, on one version of one model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import Counter

from chassis.answers import Answers
from chassis.http import Problem
from serving.loader import Loader
from serving.models import ModelFailed
from serving.publisher import Answered
from serving.rows import Fault, RowsRefused, json_type, nearest, read_rows, shown
from serving.settings import Settings
from serving.slots import Answering

ROWS = Counter("gauntlet_serving_rows_total", "Rows answered", ["model_name", "model_version"])
MODEL_FAILED = Counter(
    "gauntlet_serving_model_failed_total", "Requests on which the model itself failed", ["model_name"]
)

FIELDS = ("model", "rows")


@dataclass(frozen=True, slots=True)
class Answer:
    body: bytes
    answered: Answered


class Predictor:
    """Everything wrong with a request is a Problem that names the field and the value."""

    def __init__(self, loader: Loader, settings: Settings) -> None:
        self._loader = loader
        self._settings = settings

    def answer(self, model_name: str | None, body: bytes, request_id: str) -> Answer:
        """`model_name` is None when the path does not say; then the body does, or there is only one."""
        fields = _fields(body)
        answering = self._answering(_model_of(fields, model_name))
        model, artifact = answering.model, answering.wanted.artifact
        try:
            table = read_rows(fields.get("rows"), model.signature, self._settings.max_rows)
            answers = model.predict(table)
        except RowsRefused as refusal:
            raise refused(artifact.model_name, artifact.model_version, refusal) from None
        except ModelFailed as failure:
            MODEL_FAILED.labels(artifact.model_name).inc()
            detail = f"{artifact.model_name!r} version {artifact.model_version} failed on valid rows: {failure}"
            raise Problem(503, "model-failed", detail, model_name=artifact.model_name) from failure
        ROWS.labels(artifact.model_name, artifact.model_version).inc(len(table.sent))
        scores = answers.scores.tolist() if answers.scores is not None and answers.scores.ndim == 1 else None
        answered = Answered(
            model_name=artifact.model_name,
            model_version=artifact.model_version,
            request_id=request_id,
            rows=table.sent,
            features=[column.name for column in model.signature.columns],
            entities=table.entities,
            event_times=table.event_times,
            labels=answers.labels.tolist(),
            scores=scores,
        )
        return Answer(_body(answering, answered, answers), answered)

    def _answering(self, model_name: str | None) -> Answering:
        served = [slot.model_name for slot in self._loader.slots()]
        if model_name is None:
            if len(served) > 1:
                expected = f"the name of one of the models served: {', '.join(served[:30])}"
                raise _invalid(
                    Fault(None, "model", "missing", "missing", expected), f"model is missing; expected {expected}"
                )
            if not served:
                raise Problem(503, "no model", f"no model {self._how()} yet", headers={"Retry-After": "5"})
            model_name = served[0]
        slot = self._loader.slot(model_name)
        if slot is None:
            hint = nearest(model_name, served) if served else "none is, yet"
            raise Problem(404, "no such model", f"model {shown(model_name)}: no version of it {self._how()}; {hint}")
        if slot.answering is None:
            version = slot.desired.artifact.model_version if slot.desired else "?"
            why = slot.failure.reason if slot.failure else "it is being loaded"
            detail = f"model {model_name!r} version {version} does not answer yet: {why}"
            raise Problem(503, "model not loaded", detail, headers={"Retry-After": "2"}, model_name=model_name)
        return slot.answering

    def _how(self) -> str:
        return "was promoted" if self._settings.role == "production" else "passed its gates"


def refused(model_name: str, model_version: int, refusal: RowsRefused) -> Problem:
    errors = [
        {"row": fault.row, "field": fault.field, "value": fault.value, "type": fault.type, "expected": fault.expected}
        for fault in refusal.faults
    ]
    return Problem(422, "invalid rows", str(refusal), errors=errors, model_name=model_name, model_version=model_version)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        detail = f"the body is not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise Problem(422, "invalid JSON", detail, position=error.pos, line=error.lineno, column=error.colno) from None
    if not isinstance(fields, dict):
        fault = Fault(None, None, shown(fields), json_type(fields), 'an object such as {"rows": [{…}]}')
        raise _invalid(fault, f"the body is {fault.value}; expected {fault.expected}")
    for name in fields:
        if name not in FIELDS:
            fault = Fault(None, name[:80], shown(fields[name]), json_type(fields[name]), "one of: rows, model")
            raise _invalid(fault, f"unknown field {shown(name)}; {nearest(name, FIELDS)}")
    if "rows" not in fields:
        fault = Fault(None, "rows", "missing", "missing", "an array of objects, one a row")
        raise _invalid(fault, f"rows is missing; expected {fault.expected}")
    return fields


def _model_of(fields: dict[str, Any], in_path: str | None) -> str | None:
    named = fields.get("model")
    if named is None:
        return in_path
    if not isinstance(named, str):
        fault = Fault(None, "model", shown(named), json_type(named), "the name of a model, a string")
        raise _invalid(fault, f"model is {fault.value}; expected {fault.expected}")
    if in_path is not None and named != in_path:
        fault = Fault(None, "model", shown(named), "string", f"{in_path!r}, as in the path, or nothing")
        raise _invalid(fault, f"model is {fault.value}; expected {fault.expected}")
    return named


def _invalid(fault: Fault, detail: str) -> Problem:
    error = {"field": fault.field, "value": fault.value, "type": fault.type, "expected": fault.expected}
    return Problem(422, "invalid request", detail, errors=[error])


def _body(answering: Answering, answered: Answered, answers: Answers) -> bytes:
    scores = answered.scores if answered.scores is not None else [None] * len(answered.labels)
    predictions = [{"score": score, "label": label} for score, label in zip(scores, answered.labels, strict=True)]
    if answers.scores is not None and answers.scores.ndim == 2:
        classes = answering.model.signature.classes or range(answers.scores.shape[1])
        names = [str(name) for name in classes]
        for prediction, row in zip(predictions, answers.scores.tolist(), strict=True):
            prediction["scores"] = dict(zip(names, row, strict=True))
    return orjson.dumps(
        {
            "model_name": answered.model_name,
            "model_version": answered.model_version,
            "epoch": answering.wanted.epoch,
            "request_id": answered.request_id,
            "predictions": predictions,
        }
    )
