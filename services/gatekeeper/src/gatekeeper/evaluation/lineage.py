"""What is known of a version: its event, completed from MLflow (version → run → lineage tag)."""

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
    """`event` holds all that is known; `version` is None when MLflow does not know it."""

    event: ModelRegistered
    version: RegisteredVersion | None
    run_found: bool = False
    training_digest: str | None = None


def trace(registry: Registry, event: ModelRegistered) -> Provenance:
    """Ask MLflow for what the event leaves out. Raises Transient when it cannot be asked.

    What the event says counts before what the run says; where the artifact lies is MLflow's to say.
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
    return Provenance(completed, version, run is not None, training)


def _run(registry: Registry, run_id: str | None) -> Run | None:
    if run_id is None:
        return None
    try:
        return registry.run(run_id)
    except NotFound:
        return None


def _logged(run: Run | None) -> dict[str, Any]:
    """What MLflow itself keeps of any run."""
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
    """The digest that `mlflow.log_input(…, context="training")` left, for models that were not trained by us."""
    for item in run.inputs.dataset_inputs if run and run.inputs else ():
        if any(tag.key == "mlflow.data.context" and tag.value == "training" for tag in item.tags):
            return f"mlflow:{item.dataset.digest}"
    return None
