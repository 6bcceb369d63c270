"""Measuring a candidate: artifact, golden rows, champion and candidate in the sandbox, and the facts for each gate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from chassis.errors import NotFound
from contracts import ModelRegistered
from contracts.policy import Minimum, ModelPolicy, Performance, Problem
from gatekeeper import golden, model_file
from gatekeeper.answers import aligned, as_answers
from gatekeeper.artifacts import ArtifactCache
from gatekeeper.golden import GoldenRows, Unusable
from gatekeeper.model_file import ModelFile
from gatekeeper.policy.statistics import Answers
from gatekeeper.predictions import PredictionCache
from gatekeeper.provenance import Provenance
from gatekeeper.sandbox.probe import Limits, Probe, Request, Sandbox

Say = Callable[[float, str], None]


@dataclass(frozen=True)
class Champion:
    """What a candidate is compared with."""

    model_version: int
    epoch: int
    artifact_uri: str
    artifact_digest: str


@dataclass
class Measured:
    """What was found out about one candidate. A field that is None could not be; its `*_problem` says why."""

    event: ModelRegistered
    problem: Problem
    artifact_digest: str | None = None
    artifact_problem: str | None = None
    description: ModelFile = field(default_factory=ModelFile)
    evaluation_digest: str | None = None
    evaluation_problem: str | None = None
    golden: GoldenRows | None = None
    golden_problem: str | None = None
    probe: Probe | None = None
    champion_answers: Answers | None = None
    champion_problem: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def challenger_answers(self) -> Answers | None:
        if self.probe is None or self.probe.golden is None or self.golden is None:
            return None
        return as_answers(self.probe.golden, self.problem, self.golden.classes)


class Measurer:
    """Gathers facts; decides nothing.

    Raises Transient when MLflow is away or the sandbox does not work, Cancelled when nobody waits any more.
    """

    def __init__(
        self, artifacts: ArtifactCache, predictions: PredictionCache, sandbox: Sandbox, timing_seconds: float
    ) -> None:
        self._artifacts = artifacts
        self._predictions = predictions
        self._sandbox = sandbox
        self._timing_seconds = timing_seconds

    def measure(
        self,
        found: Provenance,
        champion: Champion | None,
        policy: ModelPolicy,
        cancelled: threading.Event,
        say: Say,
    ) -> Measured:
        measured = Measured(found.event, policy.problem)
        if found.version is None:
            return measured
        say(0.1, "fetching the artifact")
        with _timed(measured, "fetch"):
            folder = self._fetch_artifact(measured)
            say(0.2, "fetching the golden rows")
            self._fetch_golden(measured, policy)
        if folder is None:
            return measured
        if champion is not None and _compares(policy) and measured.golden is not None:
            say(0.3, f"asking champion v{champion.model_version}")
            with _timed(measured, "champion"):
                self._ask_champion(measured, champion, policy, cancelled)
        if policy.gates.functional or policy.gates.performance or policy.gates.latency:
            say(0.6, "asking the candidate")
            with _timed(measured, "candidate"):
                self._ask_candidate(measured, folder, policy, cancelled)
        say(0.9, "deciding")
        self._artifacts.prune()
        return measured

    def _fetch_artifact(self, measured: Measured) -> Path | None:
        assert measured.event.artifact_uri is not None, "provenance sets it"
        try:
            folder, measured.artifact_digest = self._artifacts.model(measured.event.artifact_uri)
            measured.description = model_file.read(folder)
        except NotFound as error:
            measured.artifact_problem = f"the artifact {measured.event.artifact_uri} is not there: {error}"
        except ValueError as error:
            measured.artifact_problem = str(error)
        else:
            return folder
        return None

    def _fetch_golden(self, measured: Measured, policy: ModelPolicy) -> None:
        dataset = measured.event.evaluation
        if dataset is None:
            measured.golden_problem = "no evaluation dataset was registered with the version"
            return
        try:
            path, measured.evaluation_digest = self._artifacts.dataset(dataset.uri, dataset.digest)
        except (NotFound, ValueError) as error:
            measured.evaluation_problem = f"the evaluation dataset {dataset.uri} is not there: {error}"
            measured.golden_problem = measured.evaluation_problem
            return
        if measured.evaluation_digest != dataset.digest:
            measured.golden_problem = "the evaluation dataset is not the one that was registered (see lineage)"
            return
        try:
            measured.golden = golden.read(path, measured.description, policy)
        except Unusable as error:
            measured.golden_problem = str(error)

    def _ask_champion(
        self, measured: Measured, champion: Champion, policy: ModelPolicy, cancelled: threading.Event
    ) -> None:
        rows, digest = measured.golden, measured.evaluation_digest
        assert rows is not None and digest is not None, "asked for with golden rows only"
        values = self._predictions.get(champion.artifact_digest, digest, rows.classes, len(rows.truth))
        if values is None:
            try:
                values = self._champion_values(champion, rows, policy, cancelled)
            except (Unusable, NotFound, ValueError) as error:
                measured.champion_problem = f"champion v{champion.model_version} cannot be compared with: {error}"
                return
            self._predictions.put(champion.artifact_digest, digest, rows.classes, values)
        measured.champion_answers = as_answers(values, policy.problem, rows.classes)

    def _champion_values(
        self, champion: Champion, rows: GoldenRows, policy: ModelPolicy, cancelled: threading.Event
    ) -> NDArray[Any]:
        folder, found = self._artifacts.model(champion.artifact_uri, champion.artifact_digest)
        if found != champion.artifact_digest:
            raise Unusable("its artifact has changed since it was promoted")
        description = model_file.read(folder)
        classes = description.classes or rows.classes
        features = rows.features_for(description)
        request = Request(folder, policy.problem, classes, features, self._limits(policy), golden_only=True)
        probe = self._sandbox.probe(request, cancelled)
        if probe.golden is None:
            raise Unusable(f"on the golden rows it {probe.fault.what if probe.fault else 'gave no answers'}")
        return aligned(probe.golden, policy.problem, classes, rows.classes)

    def _ask_candidate(self, measured: Measured, folder: Path, policy: ModelPolicy, cancelled: threading.Event) -> None:
        rows = measured.golden
        classes = measured.description.classes or (rows.classes if rows else None)
        features = rows.features_for(measured.description) if rows else None
        request = Request(folder, policy.problem, classes, features, self._limits(policy))
        measured.probe = self._sandbox.probe(request, cancelled)
        if measured.probe.golden is not None and rows is not None:
            assert measured.artifact_digest is not None and measured.evaluation_digest is not None
            key = (measured.artifact_digest, measured.evaluation_digest, rows.classes)
            self._predictions.put(*key, measured.probe.golden)  # should it become champion, these are known

    def _limits(self, policy: ModelPolicy) -> Limits:
        return Limits(policy.sandbox.seconds, policy.sandbox.memory_mb, self._timing_seconds)


def _compares(policy: ModelPolicy) -> bool:
    settings = policy.gates.performance
    return isinstance(settings, Performance) and not isinstance(settings.rule, Minimum)


@contextmanager
def _timed(measured: Measured, step: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        measured.seconds[step] = round(time.monotonic() - began, 3)
