"""The requests, each as data: to which service, with what, and how the response is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from contracts import MODEL_NAME_PATTERN
from gauntlet_client.errors import ClientError
from gauntlet_client.results import (
    Candidate,
    Feedback,
    Fleet,
    Freeze,
    Model,
    Predictions,
    Promotion,
    Rollout,
    Verdict,
)
from gauntlet_client.rows import plain, rows_of
from gauntlet_client.steps import Call

MLFLOW = "/api/2.0/mlflow"


def models() -> Call[list[Model]]:
    return Call("gatekeeper", "GET", "/models", lambda body: [Model.model_validate(each) for each in body], safe=True)


def model(name: str) -> Call[Model]:
    return Call("gatekeeper", "GET", _of(name), Model.model_validate, safe=True)


def candidates(name: str, limit: int) -> Call[list[Candidate]]:
    def read(body: Any) -> list[Candidate]:
        return [Candidate.model_validate(each) for each in body]

    return Call("gatekeeper", "GET", f"{_of(name)}/candidates", read, {"limit": limit}, safe=True)


def verdict(name: str, version: int) -> Call[Verdict]:
    return Call("gatekeeper", "GET", f"{_of(name)}/candidates/{number(version)}", Verdict.model_validate, safe=True)


def promotions(name: str, limit: int) -> Call[list[Promotion]]:
    def read(body: Any) -> list[Promotion]:
        return [Promotion.model_validate(each) for each in body]

    return Call("gatekeeper", "GET", f"{_of(name)}/promotions", read, {"limit": limit}, safe=True)


def rollouts(name: str | None, active: bool | None, limit: int) -> Call[list[Rollout]]:
    def read(body: Any) -> list[Rollout]:
        return [Rollout.model_validate(each) for each in body["rollouts"]]

    given = {"model_name": checked(name) if name is not None else None, "limit": limit}
    params = {**given, "active": None if active is None else str(active).lower()}
    return Call("gatekeeper", "GET", "/rollouts", read, {k: v for k, v in params.items() if v is not None}, safe=True)


def fleet(name: str) -> Call[Fleet]:
    return Call("gatekeeper", "GET", f"{_of(name)}/fleet", Fleet.model_validate, safe=True)


def promotion(name: str, decision: str, body: Mapping[str, Any]) -> Call[Promotion]:
    """`decision`: promote or rollback."""
    return Call("gatekeeper", "POST", f"{_of(name)}/{decision}", Promotion.model_validate, body=body)


def freezing(name: str, decision: str, body: Mapping[str, Any]) -> Call[Freeze]:
    """`decision`: freeze or unfreeze."""
    return Call("gatekeeper", "POST", f"{_of(name)}/{decision}", Freeze.model_validate, body=body)


def deciding(name: str, decision: str, body: Mapping[str, Any]) -> Call[Rollout]:
    """`decision`: approve, refuse or abort."""
    return Call("gatekeeper", "POST", f"{_of(name)}/rollout/{decision}", Rollout.model_validate, body=body)


def whoami() -> Call[dict[str, Any]]:
    return Call("gatekeeper", "GET", "/whoami", dict, safe=True)


def mlflow_version(name: str, version: int) -> Call[dict[str, Any]]:
    params = {"name": checked(name), "version": str(number(version))}
    path = f"{MLFLOW}/model-versions/get"
    return Call("mlflow", "GET", path, lambda body: dict(body["model_version"]), params, safe=True)


def predict(name: str, data: Any, staging: bool, seconds: float | None) -> Call[Predictions]:
    """Never repeated once it may have arrived: each row counts as a prediction of production."""
    part = "staging" if staging else "serving"
    path, body = f"{_of(name)}/predict", {"rows": rows_of(data)}
    return Call(part, "POST", path, Predictions.model_validate, body=body, busy=True, seconds=seconds)


def feedback(name: str, items: Sequence[Mapping[str, Any]]) -> Call[Feedback]:
    """Safe to repeat: an item that arrived before counts once."""
    sent = [
        {key: plain(value, f"item {place}, {key}") for key, value in item.items()} for place, item in enumerate(items)
    ]
    return Call("serving", "POST", f"{_of(name)}/feedback", Feedback.model_validate, body={"items": sent}, safe=True)


def checked(name: str) -> str:
    """Return `name`. Raises ClientError for one that no model can have."""
    if not re.fullmatch(MODEL_NAME_PATTERN, name):
        raise ClientError(
            f"{name!r} cannot be a model's name",
            "Names begin with a letter or digit and go on with letters, digits, dots, underscores and hyphens.",
        )
    return name


def number(version: int) -> int:
    """Return `version`. Raises ClientError for one that no version can have."""
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise ClientError(f"{version!r} is no version", "It is the number in MLflow: an integer from 1 up.")
    return version


def _of(name: str) -> str:
    return f"/models/{checked(name)}"
