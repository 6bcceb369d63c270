"""Provenance of a version: its event, completed from MLflow (version → run → lineage tag)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chassis.errors import NotFound
from chassis.registry import RegisteredVersion, Registry
from contracts import ModelRegistered

if TYPE_CHECKING:
    from mlflow.entities import Run

LINEAGE_TAG = "gauntlet.lineage"
"""On a run: ModelRegistered as JSON."""
COMMIT_TAG = "mlflow.source.git.commit"


@dataclass(frozen=True)
class Provenance:
    """`event` holds all known fields; `version` is None if MLflow has no such version."""

    event: ModelRegistered
    version: RegisteredVersion | None
    run_found: bool = False
    run_status: str | None = None
    """As in MLflow: RUNNING, FINISHED, …; None without a run."""
    training_digest: str | None = None


def trace(registry: Registry, event: ModelRegistered) -> Provenance:
    """Complete the event from MLflow. Raises Transient if MLflow is unavailable.

    Fields of the event take precedence over those of the run; the artifact's location is always MLflow's.
    """
    try:
        version = registry.version(event.model_name, event.model_version)
    except NotFound:
        return Provenance(event, None)
    run = _run(registry, version.run_id or event.run_id)
    tag = _lineage_tag(run)
    said = event.model_dump(mode="json", exclude_defaults=True)
    fixed = {
        "model_name": event.model_name,
        "model_version": event.model_version,
        "run_id": version.run_id or event.run_id,
        "artifact_uri": version.source,
    }
    completed = _validated({**_logged(run), **tag, **said, **fixed}) or _validated({**said, **fixed}) or event
    training = completed.training.digest if completed.training else _mlflow_training_digest(run)
    return Provenance(completed, version, run is not None, run.info.status if run else None, training)


def _run(registry: Registry, run_id: str | None) -> Run | None:
    if run_id is None:
        return None
    try:
        return registry.run(run_id)
    except NotFound:
        return None


def _logged(run: Run | None) -> dict[str, Any]:
    """Return the fields that MLflow itself stores for any run."""
    if run is None:
        return {}
    metrics = {name: value for name, value in run.data.metrics.items() if math.isfinite(value)}
    return {"code_version": run.data.tags.get(COMMIT_TAG), "metrics": metrics}


def _lineage_tag(run: Run | None) -> dict[str, Any]:
    try:
        content = json.loads(run.data.tags[LINEAGE_TAG]) if run else {}
    except (KeyError, ValueError):
        return {}
    return {name: value for name, value in content.items() if value} if isinstance(content, dict) else {}


def _validated(content: dict[str, Any]) -> ModelRegistered | None:
    try:
        return ModelRegistered.model_validate(content)
    except ValidationError:
        return None


def _mlflow_training_digest(run: Run | None) -> str | None:
    """Return the digest from `mlflow.log_input(…, context="training")`, for models not trained by the trainer."""
    for item in run.inputs.dataset_inputs if run and run.inputs else ():
        if any(tag.key == "mlflow.data.context" and tag.value == "training" for tag in item.tags):
            return f"mlflow:{item.dataset.digest}"
    return None
