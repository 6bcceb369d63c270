"""What a version is judged with: its artifact and golden rows, fetched and read; a failure is a measurement, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from chassis import mlmodel
from chassis.errors import NotFound, Permanent
from contracts import Dataset, ModelRegistered
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.golden_roles import GoldenSource, Unusable
from gatekeeper.evaluation.lineage import Provenance
from gatekeeper.evaluation.measurements import Champion, Measurements

REGISTERED = GoldenSource("the evaluation dataset that was registered with the version")


@dataclass(frozen=True)
class EvaluationTask:
    """A candidate, what it is compared with, and on what: `golden` None is what was registered with the version.

    `golden_source` is that of `golden`.
    """

    found: Provenance
    policy: ModelPolicy
    champion: Champion | None = None
    champion_event: ModelRegistered | None = None
    golden: Dataset | None = None
    golden_source: GoldenSource | None = None
    k: int = 1
    problem_because: str | None = None
    """How the problem was found that the policy as written does not state."""


def fetch_artifact(artifacts: Artifacts, measurements: Measurements) -> Path | None:
    assert measurements.event.artifact_uri is not None, "provenance sets it"
    try:
        folder, measurements.artifact_digest = artifacts.model(measurements.event.artifact_uri)
        measurements.description = mlmodel.read(folder)
    except Permanent as error:
        measurements.artifact_problem = _why(f"the artifact {measurements.event.artifact_uri}", error)
    except ValueError as error:
        measurements.artifact_problem = str(error)
    else:
        return folder
    return None


def fetch_golden(artifacts: Artifacts, measurements: Measurements, task: EvaluationTask) -> None:
    registered = measurements.event.evaluation
    if registered is None and task.golden is None:
        looked = "; ".join(("the version registered none", *task.found.golden_tried))
        name = measurements.event.model_name
        measurements.golden_problem = (
            f"there are no golden rows: {looked}; and none were created:"
            f" gauntlet golden create {name} FILE --label COLUMN"
        )
        return
    path: Path | None = None
    if registered is not None:
        try:
            path, measurements.evaluation_digest = artifacts.dataset(registered.uri, registered.digest)
        except (Permanent, ValueError) as error:
            measurements.evaluation_problem = _why(f"the evaluation dataset {registered.uri}", error)
            measurements.golden_problem = measurements.evaluation_problem
        else:
            if measurements.evaluation_digest != registered.digest:
                measurements.golden_problem = "the evaluation dataset is not the one that was registered (see lineage)"
    measurements.golden_source = task.found.golden_source or REGISTERED
    if task.golden is not None:
        measurements.golden_problem = None
        measurements.golden_source = task.golden_source or GoldenSource(f"golden dataset {task.golden.digest}")
        path = _fetch_created(artifacts, measurements, task.golden)
    elif path is not None and registered is not None:
        measurements.golden_digest, measurements.golden_uri = measurements.evaluation_digest, registered.uri
    if path is None or measurements.golden_problem is not None:
        return
    try:
        measurements.golden = golden_rows.read(path, measurements.description, task.policy, measurements.golden_source)
        measurements.golden.features_for(measurements.description)
        measurements.golden_until = measurements.golden.until
    except Unusable as error:
        measurements.golden, measurements.golden_problem = None, str(error)


def _fetch_created(artifacts: Artifacts, measurements: Measurements, dataset: Dataset) -> Path | None:
    try:
        measurements.golden_uri = dataset.uri
        path, measurements.golden_digest = artifacts.dataset(dataset.uri, dataset.digest)
    except (Permanent, ValueError) as error:
        measurements.golden_problem = _why(f"the golden dataset {dataset.digest}", error)
        return None
    if measurements.golden_digest != dataset.digest:
        measurements.golden_problem = f"the golden dataset {dataset.digest} now has digest {measurements.golden_digest}"
    return path


def _why(what: str, error: Exception) -> str:
    """Say that it is not there, or that it is but cannot or must not be read."""
    return f"{what} {'is not there' if isinstance(error, NotFound | ValueError) else 'is not read'}: {error}"
