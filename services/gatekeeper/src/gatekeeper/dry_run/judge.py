"""A verdict on one version, with every gate of a policy, that nobody else sees."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chassis.errors import Permanent
from chassis.registry import Registry
from contracts import Dataset, GateVerdict, ModelRegistered, Outcome, overall
from contracts.policy import ModelPolicy
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.dry_run.shortfalls import shortfalls
from gatekeeper.evaluation.evaluator import Evaluator, Say
from gatekeeper.evaluation.fetching import EvaluationTask
from gatekeeper.evaluation.gate_runner import run_gates, summary
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.evaluation.lineage import trace
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.policy.remedies import Remedy, remedies
from gatekeeper.sandbox.sandbox import Sandbox
from gatekeeper.settings import Settings

CHAMPION = "champion"
"""The alias in MLflow that the gatekeeper keeps."""


@dataclass(frozen=True)
class DryRun:
    """What the gates would say. `policy` is completed with the problem and metric that were found."""

    policy: ModelPolicy
    verdicts: tuple[GateVerdict, ...]
    missing: tuple[Remedy, ...]
    champion_version: int | None
    problem_because: str | None
    seconds: dict[str, float]

    @property
    def outcome(self) -> Outcome:
        return overall(self.verdicts)

    @property
    def reason(self) -> str:
        return summary(self.outcome, self.verdicts)


@dataclass(frozen=True)
class Rows:
    """Golden rows for the version. `only_without_own`: if the version brings some itself, these are not for it."""

    dataset: Dataset
    source: GoldenSource
    only_without_own: bool = False


class Judge:
    """Measures in a sandbox below `folder`, as the gatekeeper does, with the settings of its environment."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._registry = Registry(settings.mlflow_tracking_uri, allowed_uris=settings.allowed_uri_prefixes)
        self._artifacts = Artifacts(folder / "artifacts", self._registry, settings.cache_mb)
        self._sandbox = Sandbox(folder / "sandbox")
        self._evaluator = Evaluator(
            self._artifacts,
            PredictionCache(folder / "predictions"),
            self._sandbox,
            settings.timing_seconds,
            Advisories(settings.advisories_folder, expected=settings.advisories_dir is not None),
            proves_form=settings.proves_form,
        )

    def close(self) -> None:
        self._sandbox.close()

    def taken(self, file: Path) -> Dataset:
        """Take in a Parquet file of golden rows. Raises OSError, and ValueError for what is no plain file."""
        return self._artifacts.add_dataset(partial(_copied, file), file.as_uri())

    def judge(self, event: ModelRegistered, policy: ModelPolicy, golden: Rows | None, say: Say) -> DryRun:
        """Raises Transient when MLflow is unavailable or the sandbox does not work."""
        found = trace(self._registry, event)
        if golden is not None and golden.only_without_own and found.event.evaluation is not None:
            golden = None
        champion = self._champion(event)
        champion_event = None
        if champion is not None:
            bare = ModelRegistered(model_name=event.model_name, model_version=champion.model_version)
            champion_event = trace(self._registry, bare).event
        dataset, source = (golden.dataset, golden.source) if golden else (None, None)
        task = EvaluationTask(found, policy, champion, champion_event, dataset, source)
        task = self._evaluator.completed(task)
        measurements: Measurements = self._evaluator.measure(task, threading.Event(), say)
        verdicts = run_gates(measurements, task.policy)
        return DryRun(
            policy=task.policy,
            verdicts=verdicts,
            missing=remedies(shortfalls(measurements, task.policy, verdicts)),
            champion_version=champion.model_version if champion else None,
            problem_because=task.problem_because,
            seconds=measurements.seconds,
        )

    def _champion(self, event: ModelRegistered) -> Champion | None:
        """The version that MLflow names champion; None if that is the version itself, or there is none."""
        try:
            number = self._registry.aliases(event.model_name).get(CHAMPION)
            if number is None or number == event.model_version:
                return None
            version = self._registry.version(event.model_name, number)
            _, digest = self._artifacts.model(version.source)
        except (Permanent, ValueError):
            return None
        return Champion(number, 0, version.source, digest)


def _copied(file: Path, folder: Path) -> Path:
    return Path(shutil.copy(file, folder / file.name))
