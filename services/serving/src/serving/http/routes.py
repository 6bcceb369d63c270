"""The HTTP routes, and the handlers behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Response
from starlette.types import ASGIApp

from chassis.auth.access import Access
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from contracts import Mode
from serving.http import feedback, mlflow_scoring, open_inference
from serving.http.access import GuardedEndpoint
from serving.http.asgi import AsgiEndpoint, BodyBudget, FastPathRouter, add_asgi_route
from serving.http.feedback import Feedback
from serving.http.mlflow_scoring import MLFLOW_VERSION, Invocations
from serving.http.open_inference import Infer
from serving.http.openapi import parameters
from serving.http.predict import BODY, Predict
from serving.http.predict_by_id import Features
from serving.http.prediction_service import PredictionService
from serving.loading.model_state import ModelState
from serving.publishing.feedback import FeedbackPublisher
from serving.settings import Settings

ALIASES = {"production": "champion", "staging": "challenger"}


@dataclass(frozen=True)
class Endpoint:
    path: str
    asgi_endpoint: AsgiEndpoint
    text: str
    tag: str
    openapi: dict[str, Any]
    status: int = 200

    @property
    def declared(self) -> dict[str, Any]:
        """What it does, as `chassis.auth.routes` declares it; without a model in the path, the handler finds it."""
        action = Action.FEEDBACK if self.tag == "feedback" else Action.PREDICT
        return allowed(action, Scope.MODEL if "{model_name}" in self.path else Scope.EACH)


def endpoints(
    service: PredictionService, feedback_publisher: FeedbackPublisher, features: Features, access: Access
) -> list[Endpoint]:
    """What is asked thousands of times a second."""
    settings, budget = service.settings, BodyBudget(service.settings.max_held_bytes)
    of_predictions = partial(GuardedEndpoint, access, Action.PREDICT) if access.on else AsgiEndpoint
    of_feedback = partial(GuardedEndpoint, access, Action.FEEDBACK) if access.on else AsgiEndpoint
    predict = of_predictions(Predict(service, features), settings, budget)
    scoring = of_predictions(Invocations(service), settings, budget, mlflow_scoring.shape)
    infer = of_predictions(Infer(service), settings, budget, open_inference.shape)
    truth = of_feedback(Feedback(service, feedback_publisher), settings, budget)
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
    router = guarded_router()
    for each in found:
        extra = each.openapi | {"parameters": parameters(each.path)} | each.declared
        options = {"tags": [each.tag], "status_code": each.status, "openapi_extra": extra}
        add_asgi_route(router, each.path, each.asgi_endpoint, each.text, **options)
    return router


def fast_path(found: Sequence[Endpoint], app: ASGIApp) -> ASGIApp:
    return FastPathRouter(app, {each.path: each.asgi_endpoint for each in found})


def build_models_router(
    service: PredictionService, about_decisions: Callable[[str], dict[str, Any]] | None = None
) -> APIRouter:
    """`about_decisions`: with trusted keys, what is shown of a model's decisions that were not believed."""
    router, settings = guarded_router(), service.settings

    def about(state: ModelState) -> dict[str, Any]:
        return _about(state, settings) | (about_decisions(state.model_name) if about_decisions else {})

    @router.get("/models", tags=["models"], openapi_extra=allowed(Action.READ, Scope.EACH))
    async def models(caller: CallerOf) -> dict[str, Any]:
        """The loaded versions, since when, and what could not be loaded."""
        return {
            "role": settings.role,
            "replica": settings.replica,
            "models": [about(state) for state in service.reconciler.states() if caller.sees(state.model_name)],
        }

    @router.get(
        "/ping",
        tags=["mlflow"],
        responses={404: {"description": "No model is loaded"}},
        openapi_extra=allowed(Action.OPEN),
    )
    def ping() -> Response:
        """200 when a model is loaded."""
        answers = any(state.active is not None for state in service.reconciler.states())
        return Response("\n", 200 if answers else 404, media_type="application/json")

    @router.get("/version", tags=["mlflow"], openapi_extra=allowed(Action.OPEN))
    def version() -> Response:
        """The version of MLflow."""
        return Response(MLFLOW_VERSION, media_type="application/json")

    return router


def _about(state: ModelState, settings: Settings) -> dict[str, Any]:
    desired, active, failure = state.desired, state.active, state.failure
    return {
        "model_name": state.model_name,
        "model_version": active.desired.artifact.model_version if active else None,
        "alias": ALIASES[settings.role],
        "epoch": active.desired.epoch if active else None,
        "artifact_digest": active.desired.artifact.digest if active else None,
        "since": active.since.isoformat() if active else None,
        "role": settings.role,
        "form": active.loaded.served.about() if active else None,
        "isolated": active.loaded.host is not None if active else None,
        "desired_version": desired.artifact.model_version if desired else None,
        "desired_epoch": desired.epoch if desired else None,
        "evicted": state.is_evicted,
        "resident_versions": [artifact.model_version for artifact in state.resident],
        "last_failure": failure.about() if failure else None,
        "rollout": _about_rollout(state),
    }


def rollouts(states: Iterable[ModelState]) -> dict[str, Any]:
    """Return what is tried, by model name."""
    return {state.model_name: about for state in states if (about := _about_rollout(state)) is not None}


def _about_rollout(state: ModelState) -> dict[str, Any] | None:
    """Return what is tried, or is to be; None outside of rollouts. `since` is null until it is loaded."""
    wanted, running, failure = state.trying.wanted, state.trial, state.trying.failure
    if wanted is None or wanted.mode is Mode.OFF:
        return None
    shown = running.desired if running else wanted
    return {
        "rollout_id": shown.rollout_id,
        "model_version": shown.tried.artifact.model_version,
        "artifact_digest": shown.tried.artifact.digest,
        "step": shown.step,
        "mode": shown.mode,
        "share": shown.share,
        "champion_epoch": shown.champion_epoch,
        "since": running.version.since.isoformat() if running else None,
        "form": running.version.loaded.served.about() if running else None,
        "isolated": running.version.loaded.host is not None if running else None,
        "process_ended": running.version.loaded.ends if running else None,
        "last_failure": failure.about() if failure else None,
    }
