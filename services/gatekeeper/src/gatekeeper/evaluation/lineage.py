"""Provenance of a version: its event, completed from MLflow (version → run → lineage tag)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from chassis.errors import NotFound
from chassis.registry import RegisteredVersion, Registry, logged_metrics
from contracts import ModelRegistered, Trigger
from gatekeeper.evaluation import golden_sources
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.evaluation.run_inputs import CONTEXT_TAG, TRAINING_CONTEXTS, tags_of
from gatekeeper.policy.gates.lineage import Origin

if TYPE_CHECKING:
    from mlflow.entities import Run

LINEAGE_TAG = "gauntlet.lineage"
"""On a run: ModelRegistered as JSON."""
COMMIT_TAG = "mlflow.source.git.commit"
SOURCE_TAG = "mlflow.source.name"
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?(-dirty)?$")
TRAINED = ("drift", "request", "re-registration")
"""Kinds of triggers of versions that the trainer logs and registers."""


@dataclass(frozen=True)
class Provenance:
    """`event` holds all known fields; `version` is None if MLflow has no such version."""

    event: ModelRegistered
    version: RegisteredVersion | None
    run_found: bool = False
    run_status: str | None = None
    """As in MLflow: RUNNING, FINISHED, …; None without a run."""
    training_digest: str | None = None
    origin: Origin | None = None
    golden_source: GoldenSource | None = None
    """Where the evaluation dataset is from, where the version registered none and its run has one."""
    golden_tried: tuple[str, ...] = ()
    """Where golden rows were looked for, and why there are none."""
    registered_by: tuple[str, ...] = ()
    """The people who are known to have registered or logged it."""


def trace(registry: Registry, event: ModelRegistered) -> Provenance:
    """Complete the event from MLflow. Raises Transient if MLflow is unavailable.

    Fields of the event take precedence over those of the run; the artifact's location is always MLflow's.
    """
    try:
        version = registry.version(event.model_name, event.model_version)
    except NotFound:
        return Provenance(event, None)
    run = _run(registry, version.run_id or event.run_id)
    deleted = run is not None and run.info.lifecycle_stage == "deleted"
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
    source, tried = None, ()
    if completed.evaluation is None:
        found = golden_sources.of_run(registry, run)
        completed = completed.model_copy(update={"evaluation": found.dataset})
        source, tried = found.source, found.tried
    origin = Origin(deleted, _is_claimed(completed.code_version, run, tag), _source(run))
    status = run.info.status if run else None
    by = _people(completed.trigger, version, run)
    return Provenance(completed, version, run is not None and not deleted, status, training, origin, source, tried, by)


def _people(trigger: Trigger | None, version: RegisteredVersion, run: Run | None) -> tuple[str, ...]:
    """Return who is named by the event, and by MLflow; of a version that the trainer made, not the trainer's user."""
    found = [trigger.by if trigger is not None else None]
    if trigger is None or trigger.kind not in TRAINED:
        found += [version.user, run.data.tags.get("mlflow.user") if run is not None else None]
    return tuple(dict.fromkeys(each for each in found if each))


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
    return {"code_version": _recorded(run), "metrics": logged_metrics(run)}


def _recorded(run: Run) -> str | None:
    """Return the version of the code as MLflow has it: a commit, or the revision of a Databricks notebook."""
    tags = run.data.tags
    if commit := tags.get(COMMIT_TAG) or tags.get("mlflow.databricks.gitRepoCommit"):
        return f"{commit}-dirty" if tags.get("mlflow.source.git.dirty", "").lower() == "true" else str(commit)
    notebook, revision = (tags.get(f"mlflow.databricks.notebook{name}") for name in ("ID", "RevisionID"))
    return f"notebook {notebook}, revision {revision}" if notebook and revision else None


def _is_claimed(code_version: str | None, run: Run | None, tag: Mapping[str, Any]) -> bool:
    """Whether nothing but a person's word says that this is the version of the code.

    MLflow records a commit when a run starts, with the name of the script; the trainer writes its lineage tag itself.
    """
    if code_version is None:
        return False
    if run is None:
        return True
    if code_version == tag.get("code_version"):
        return False
    by_mlflow = code_version == _recorded(run) and SOURCE_TAG in run.data.tags
    return not (by_mlflow and (COMMIT.match(code_version) or code_version.startswith("notebook ")))


def _source(run: Run | None) -> str | None:
    """Return the script or notebook that the run names."""
    if run is None:
        return None
    tags = run.data.tags
    return tags.get("mlflow.databricks.notebookPath") or tags.get(SOURCE_TAG) or None


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
    """Return the digests that `mlflow.log_input(…, context="training")` or autologging has recorded."""
    found = [
        item.dataset.digest
        for item in (run.inputs.dataset_inputs if run and run.inputs else ())
        if tags_of(item).get(CONTEXT_TAG) in TRAINING_CONTEXTS
    ]
    return f"mlflow:{'+'.join(dict.fromkeys(found))}" if found else None
