"""The HTTP side: which paths there are, and which models answer them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp

from serving.http import feedback, mlflow_scoring, open_inference
from serving.http.asgi import Lean, Room, Shortcut, add_lean_route
from serving.http.feedback import Feedback
from serving.http.mlflow_scoring import MLFLOW_VERSION, Invocations
from serving.http.open_inference import Infer
from serving.http.openapi import parameters
from serving.http.predict import BODY, Predict
from serving.http.predict_by_id import Features
from serving.http.prediction_service import Front
from serving.loading.model_state import Slot
from serving.publishing.feedback import Deliveries
from serving.settings import Settings

ALIASES = {"production": "champion", "staging": "challenger"}


@dataclass(frozen=True)
class Endpoint:
    path: str
    lean: Lean
    text: str
    tag: str
    openapi: dict[str, Any]
    status: int = 200


def endpoints(front: Front, deliveries: Deliveries, features: Features) -> list[Endpoint]:
    """What is asked thousands of times a second."""
    settings, room = front.settings, Room(front.settings.max_held_bytes)
    predict = Lean(Predict(front, features), settings, room)
    scoring = Lean(Invocations(front), settings, room, mlflow_scoring.shape)
    infer = Lean(Infer(front), settings, room, open_inference.shape)
    truth = Lean(Feedback(front, deliveries), settings, room)
    as_mlflow = "MLflow's scoring protocol, as `mlflow models serve` has it."
    as_triton = "Open Inference Protocol: inference on tensors, as KServe, Triton and MLServer have it."
    of_a_version = "/v2/models/{model_name}/versions/{version}/infer"
    return [
        Endpoint("/predict", predict, "Predict rows with the champion.", "predict", BODY),
        Endpoint("/models/{model_name}/predict", predict, "The same, for the named model.", "predict", BODY),
        Endpoint(
            "/feedback", truth, "Ground truth for predictions, by request or entity.", "feedback", feedback.BODY, 202
        ),
        Endpoint(
            "/models/{model_name}/feedback", truth, "The same, for the named model.", "feedback", feedback.BODY, 202
        ),
        Endpoint("/invocations", scoring, as_mlflow, "mlflow", mlflow_scoring.BODY),
        Endpoint("/models/{model_name}/invocations", scoring, as_mlflow, "mlflow", mlflow_scoring.BODY),
        Endpoint("/v2/models/{model_name}/infer", infer, as_triton, "inference", open_inference.BODY),
        Endpoint(of_a_version, infer, as_triton, "inference", open_inference.BODY),
    ]


def build_router(found: Sequence[Endpoint]) -> APIRouter:
    router = APIRouter()
    for each in found:
        extra = each.openapi | {"parameters": parameters(each.path)}
        options = {"tags": [each.tag], "status_code": each.status, "openapi_extra": extra}
        add_lean_route(router, each.path, each.lean, each.text, **options)
    return router


def shortcut(found: Sequence[Endpoint], app: ASGIApp) -> ASGIApp:
    return Shortcut(app, {each.path: each.lean for each in found})


def build_models_router(front: Front) -> APIRouter:
    router, settings = APIRouter(), front.settings

    @router.get("/models", tags=["models"])
    async def models() -> dict[str, Any]:
        """The loaded versions, since when, and what could not be loaded."""
        return {
            "role": settings.role,
            "replica": settings.replica,
            "models": [_about(slot, settings) for slot in front.loader.slots()],
        }

    @router.get("/ping", tags=["mlflow"], responses={404: {"description": "No model is loaded"}})
    def ping() -> Response:
        """200 when a model is loaded."""
        answers = any(slot.answering is not None for slot in front.loader.slots())
        return Response("\n", 200 if answers else 404, media_type="application/json")

    @router.get("/version", tags=["mlflow"])
    def version() -> Response:
        """The version of MLflow."""
        return Response(MLFLOW_VERSION, media_type="application/json")

    return router


def _about(slot: Slot, settings: Settings) -> dict[str, Any]:
    desired, answering, failure = slot.desired, slot.answering, slot.failure
    return {
        "model_name": slot.model_name,
        "model_version": answering.wanted.artifact.model_version if answering else None,
        "alias": ALIASES[settings.role],
        "epoch": answering.wanted.epoch if answering else None,
        "artifact_digest": answering.wanted.artifact.digest if answering else None,
        "since": answering.since.isoformat() if answering else None,
        "role": settings.role,
        "form": answering.kept.served.about() if answering else None,
        "desired_version": desired.artifact.model_version if desired else None,
        "desired_epoch": desired.epoch if desired else None,
        "evicted": slot.is_evicted,
        "resident_versions": [artifact.model_version for artifact in slot.resident],
        "last_failure": {
            "model_version": failure.wanted.artifact.model_version,
            "epoch": failure.wanted.epoch,
            "reason": failure.reason,
            "attempts": failure.attempts,
            "will_retry": not failure.permanent,
            "time": failure.time.isoformat(),
        }
        if failure
        else None,
    }
