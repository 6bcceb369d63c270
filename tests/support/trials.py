"""Rollouts as a replica carries them out, and versions that misbehave in one."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, Schema

from chassis.digests import digest_tree
from contracts import Arm, PredictionMade, RolloutChanged
from serving.policy.routing import arm
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import FEATURES, LATE, pipeline
from support.waiting import eventually

SALT = "salt"
"""Of `Version.rollout`."""
ENTITIES = [f"N{number}" for number in range(24)]
ROWS: list[dict[str, Any]] = [
    {"distance": 500.0 + 70 * number, "carrier": ["UA", "AA", "DL"][number % 3], "tailnum": entity}
    for number, entity in enumerate(ENTITIES)
]
"""One a version's answer to which differs from its answers to all others."""
WAYS = ("raises", "hangs", "sleeps", "NaN", "too few rows", "another shape", "a text", "exits", "leaks")


def begin(replica: Replica, bus: BusClient, event: RolloutChanged) -> None:
    """Publish a step of a rollout, and wait until the replica carries it out, or has ended it."""
    bus.publish(event)

    def is_followed() -> bool:
        rollout = replica.model(event.model_name).get("rollout")
        if event.result is not None:
            return rollout is None
        return rollout is not None and rollout["step"] == event.step and rollout["since"] is not None

    eventually(is_followed, timeout=60)


def is_tried(entity: str, share: float) -> bool:
    return arm(entity, SALT, share) is Arm.CHALLENGER


def made(bus: BusClient, model_name: str, count: int) -> list[PredictionMade]:
    """Return the events of a model, by request and row, once there are `count`."""

    def enough() -> list[PredictionMade] | None:
        found = [item.data for item in bus.events("predictions") if item.model_name == model_name]
        return found if len(found) >= count else None

    return sorted(eventually(enough), key=lambda event: (event.request_id, event.row))


def reversed_pipeline() -> Any:
    """A version that says the opposite of `pipeline`."""
    return pipeline().fit(FEATURES, [1 - late for late in LATE])


def scores(estimator: Any, rows: list[dict[str, Any]]) -> list[float]:
    frame = pd.DataFrame(rows)[["distance", "carrier"]]
    return [float(score) for score in estimator.predict_proba(frame)[:, 1]]


def misbehaving(folder: Path, way: str, seconds: float = 0.0) -> str:
    """Save a model that is good on its example, and misbehaves on distances above 1,000; returns the digest."""

    class Misbehaving(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # local, so that it travels with the model
        kept: list[Any] = []  # noqa: RUF012

        def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
            import time

            good = np.full(len(model_input), 0.25)
            if (model_input["distance"] <= 1000).all():
                return good
            if way == "raises":
                raise KeyError("no such carrier")
            if way in ("hangs", "sleeps"):
                time.sleep(600 if way == "hangs" else seconds)
            if way == "exits":
                raise SystemExit("the model ends")
            if way == "leaks":
                self.kept.append(np.ones(2**17))
            return {
                "NaN": good * np.nan,
                "too few rows": good[1:],
                "another shape": np.ones((len(good), 3)),
                "a text": np.full(len(good), "late"),
            }.get(way, good)

    columns = [ColSpec(DataType.double, "distance"), ColSpec(DataType.string, "carrier")]
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            folder,
            python_model=Misbehaving(),
            signature=ModelSignature(inputs=Schema(columns), outputs=Schema([ColSpec(DataType.double)])),
            input_example=FEATURES.head(1),
            pip_requirements=["mlflow"],
            metadata={"gauntlet": {"problem": "binary", "classes": [0, 1], "entity": "tailnum"}},
        )
    return digest_tree(folder)
