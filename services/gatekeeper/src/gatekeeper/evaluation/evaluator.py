"""Measuring a candidate: artifact, golden rows, champion and candidate in the sandbox, and the facts for each gate."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from chassis import mlmodel
from chassis.errors import Permanent
from contracts import ModelRegistered
from contracts.gate_settings import Latency, Minimum, Performance
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from gatekeeper.artifacts import scan
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.evaluation import compilation, gate_runner, importance, perturbations, retiming, training_overlap
from gatekeeper.evaluation.fetching import EvaluationTask, fetch_artifact, fetch_golden
from gatekeeper.evaluation.gate_runner import ended_by
from gatekeeper.evaluation.golden_rows import GoldenRows, Unusable, chosen_rows
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.evaluation.prediction_cache import PredictionCache
from gatekeeper.policy.gates import latency
from gatekeeper.policy.needs import Need
from gatekeeper.policy.predictions import aligned, as_answers
from gatekeeper.sandbox import compiled_form
from gatekeeper.sandbox.probe import Limits, Request
from gatekeeper.sandbox.protocol import MOST_ALONE
from gatekeeper.sandbox.sandbox import Sandbox

Say = Callable[[float, str], None]


class Evaluator:
    """Gathers facts; decides nothing.

    Raises Transient when MLflow is away or the sandbox does not work, Cancelled when nobody waits any more.
    """

    def __init__(
        self,
        artifacts: Artifacts,
        predictions: PredictionCache,
        sandbox: Sandbox,
        timing_seconds: float,
        advisories: Advisories | None = None,
        *,
        proves_form: bool = True,
    ) -> None:
        self._artifacts = artifacts
        self._predictions = predictions
        self._sandbox = sandbox
        self._timing_seconds = timing_seconds
        self._advisories = advisories
        self._proves_form = proves_form

    def completed(self, task: EvaluationTask) -> EvaluationTask:
        """With the problem and metric of this version, where the policy leaves them out and they can be found.

        Without golden rows they cannot, and nothing can be compared either.
        """
        if task.policy.states_problem or task.found.version is None:
            return task
        looked = Measurements(task.found.event, task.policy.problem)
        if fetch_artifact(self._artifacts, looked) is not None:
            fetch_golden(self._artifacts, looked, task)
        if looked.golden is None or looked.golden.problem is None:
            return task
        policy = task.policy.completed(looked.golden.problem)
        return replace(task, policy=policy, problem_because=looked.golden.because)

    def measure(self, task: EvaluationTask, cancelled: threading.Event, say: Say) -> Measurements:
        """All that the gates of the policy need."""
        found, champion, policy = task.found, task.champion, task.policy
        measurements = Measurements(
            found.event,
            policy.problem,
            problem_because=task.problem_because,
            version_found=found.version is not None,
            run_found=found.run_found,
            training_digest=found.training_digest,
            origin=found.origin,
            champion=champion,
            k=task.k,
        )
        if measurements.version_found:
            self._gather(measurements, task, cancelled, say)
            if measurements.stopped is not None:
                measurements.serving_form = compiled_form.unknown(measurements.stopped)
            self._artifacts.prune()
        say(0.9, "deciding")
        return measurements

    def _gather(self, measurements: Measurements, task: EvaluationTask, cancelled: threading.Event, say: Say) -> None:
        """In the order of the gates, so that with `fail_fast` nothing is measured for those after one that failed."""
        champion, policy, needs = task.champion, task.policy, gate_runner.needs(task.policy)
        say(0.1, "fetching the artifact")
        with measurements.timed("fetch"):
            folder = fetch_artifact(self._artifacts, measurements)
            say(0.2, "fetching the golden rows")
            fetch_golden(self._artifacts, measurements, task)
        if folder is None:
            return
        if policy.gates.integrity is not False:
            say(0.25, "reading the files of the model")
            with measurements.timed("integrity"):
                declared, found_digest = measurements.event.artifact_digest, measurements.artifact_digest
                settings, known = policy.gates.integrity, self._advisories
                measurements.integrity = scan.inspect(folder, declared, found_digest, settings, known)
        if _ended(measurements, policy):
            return
        if Need.CANDIDATE in needs:
            say(0.3, "asking the candidate")
            with measurements.timed("candidate"):
                self._ask_candidate(measurements, folder, policy, cancelled)
            if _ended(measurements, policy, Need.CANDIDATE):
                return
        if champion is not None and measurements.golden is not None and _compares(policy, needs):
            say(0.6, f"asking champion v{champion.model_version}")
            with measurements.timed("champion"):
                self._ask_champion(measurements, champion, policy, cancelled)
        if Need.CANDIDATE in needs:
            self._time_again(measurements, folder, policy, cancelled)
        if Need.TRAINING_KEYS in needs and measurements.golden is not None:
            say(0.8, "looking for golden rows that were trained on")
            with measurements.timed("overlap"):
                self._find_overlap(measurements, measurements.golden, task)
        if self._proves_form and Need.CANDIDATE in needs:
            say(0.85, "proving the form that it would be served in")
            with measurements.timed("form"):
                limits, tolerance = self._limits(policy), policy.serving.parity_tolerance
                proven = compilation.prove(self._sandbox, measurements, folder, limits, tolerance, cancelled)
                measurements.serving_form, measurements.form = proven

    def explain(self, measurements: Measurements, policy: ModelPolicy, cancelled: threading.Event, say: Say) -> None:
        """Of a version that passed, which columns its predictions depend on."""
        say(0.93, "permuting columns of the golden rows")
        if measurements.event.artifact_uri is not None:
            with measurements.timed("importance"):
                folder, _ = self._artifacts.model(measurements.event.artifact_uri, measurements.artifact_digest)
                found = importance.measure(self._sandbox, measurements, folder, policy, self._limits(policy), cancelled)
                measurements.importance = found

    def champion(self, task: EvaluationTask, cancelled: threading.Event) -> Measurements:
        """The champion alone on the golden rows of the task, in the candidate's place."""
        champion = task.champion
        assert champion is not None and task.found.event.model_version == champion.model_version, "it was traced"
        event = task.found.event.model_copy(update={"artifact_uri": champion.artifact_uri})  # what answers now
        measurements = Measurements(
            event, task.policy.problem, problem_because=task.problem_because, champion=champion, k=task.k
        )
        if fetch_artifact(self._artifacts, measurements) is not None:
            fetch_golden(self._artifacts, measurements, task)
        return (
            measurements
            if measurements.golden is None
            else self.predict(measurements, champion, event, task.policy, cancelled)
        )

    def predict(
        self,
        measurements: Measurements,
        version: Champion,
        event: ModelRegistered,
        policy: ModelPolicy,
        cancelled: threading.Event,
    ) -> Measurements:
        """Another version on the golden rows of `measurements`, in the champion's place."""
        rows = measurements.golden
        assert rows is not None, "asked for with golden rows only"
        nothing = {"champion_description": None, "champion_probe": None, "champion_overlap": None}
        nothing |= {"champion_answers": None, "champion_problem": None}
        other = replace(measurements, champion=version, **nothing)
        untimed = policy.model_copy(update={"gates": policy.gates.model_copy(update={"latency": False})})
        self._ask_champion(other, version, untimed, cancelled)
        if Need.TRAINING_KEYS in gate_runner.needs(policy) and other.champion_answers is not None:
            description = other.champion_description or measurements.description
            other.champion_overlap = training_overlap.find(event, description, rows, self._artifacts.dataset)
        return other

    def _find_overlap(self, measurements: Measurements, rows: GoldenRows, task: EvaluationTask) -> None:
        fetch = self._artifacts.dataset
        measurements.overlap = training_overlap.find(measurements.event, measurements.description, rows, fetch)
        if task.champion_event is not None:
            description = measurements.champion_description or measurements.description
            measurements.champion_overlap = training_overlap.find(task.champion_event, description, rows, fetch)

    def _ask_champion(
        self, measurements: Measurements, champion: Champion, policy: ModelPolicy, cancelled: threading.Event
    ) -> None:
        rows, digest = measurements.golden, measurements.golden_digest
        assert rows is not None and digest is not None, "asked for with golden rows only"
        values = self._predictions.get(champion.artifact_digest, digest, rows.classes, len(rows.truth))
        limits = policy.gates.latency
        timed = limits is not False and limits.times_champion is not None
        try:
            folder, found = self._artifacts.model(champion.artifact_uri, champion.artifact_digest)
            if found != champion.artifact_digest:
                raise Unusable("its artifact has changed since it was promoted")
            measurements.champion_description = mlmodel.read(folder)
            if values is None or timed:
                values = self._champion_values(measurements, folder, policy, timed, cancelled)
                self._predictions.put(champion.artifact_digest, digest, rows.classes, values)
        except (Permanent, ValueError) as error:
            measurements.champion_problem = f"champion v{champion.model_version} cannot be compared with: {error}"
            return
        measurements.champion_answers = as_answers(values, policy.problem, rows.classes)

    def _champion_values(
        self, measurements: Measurements, folder: Path, policy: ModelPolicy, timed: bool, cancelled: threading.Event
    ) -> NDArray[Any]:
        rows, description = measurements.golden, measurements.champion_description
        assert rows is not None and description is not None, "read before"
        request = Request(
            folder,
            policy.problem,
            description.classes,
            rows.features_for(description),
            self._limits(policy),
            golden_classes=rows.classes,
            golden_only=True,
            timed=timed,
            batch_rows=_batch_rows(policy),
        )
        measurements.champion_probe = probe = self._sandbox.probe(request, cancelled)
        if probe.golden is None:
            raise Unusable(f"on the golden rows it {probe.fault.what if probe.fault else 'gave no answers'}")
        own = description.classes or probe.classes or rows.classes
        return aligned(probe.golden, policy.problem, own, rows.classes)

    def _ask_candidate(
        self, measurements: Measurements, folder: Path, policy: ModelPolicy, cancelled: threading.Event
    ) -> None:
        rows = measurements.golden
        features = rows.features_for(measurements.description) if rows else None
        dirty = perturbations.dirty_rows(measurements, features, policy) if features is not None else {}
        limits, batch = self._limits(policy), _batch_rows(policy)
        request = Request(
            folder,
            policy.problem,
            measurements.description.classes,
            features,
            limits,
            golden_classes=rows.classes if rows else None,
            metrics=[name for name in policy.metrics if METRICS[name].of_scores],
            batch_rows=batch,
            dirty=dirty,
            alone=chosen_rows(len(features), MOST_ALONE).tolist() if features is not None else (),
        )
        measurements.probe = self._sandbox.probe(request, cancelled)
        measurements.adopt_classes()
        rows = measurements.golden
        if measurements.probe.golden is not None and rows is not None:
            assert measurements.artifact_digest is not None and measurements.golden_digest is not None
            key = (measurements.artifact_digest, measurements.golden_digest, rows.classes)
            self._predictions.put(*key, measurements.probe.golden)  # should it become champion, these are known

    def _time_again(
        self, measurements: Measurements, folder: Path, policy: ModelPolicy, cancelled: threading.Event
    ) -> None:
        settings = policy.gates.latency
        if settings is False or not latency.is_too_noisy(latency.facts(measurements, policy), settings):
            return
        with measurements.timed("timing_again"):
            champion, probe, version = None, measurements.champion_probe, measurements.champion
            if version is not None and probe is not None and probe.noise is not None:
                champion, _ = self._artifacts.model(version.artifact_uri, version.artifact_digest)
            limits = self._limits(policy)
            retiming.until_quiet(self._sandbox, measurements, folder, champion, policy, limits, cancelled)

    def _limits(self, policy: ModelPolicy) -> Limits:
        limits = policy.sandbox
        return Limits(limits.seconds, limits.memory_mb, self._timing_seconds, limits.processes, limits.disk_mb)


def _batch_rows(policy: ModelPolicy) -> int:
    return (policy.gates.latency or Latency()).batch_rows


def _ended(measurements: Measurements, policy: ModelPolicy, *known: Need) -> bool:
    """Has a gate failed already, of a policy that says `fail_fast`?"""
    failed = ended_by(measurements, policy, frozenset(known))
    if failed is not None:
        measurements.stopped = f"not measured: the gate {failed.gate} failed, and the policy of then says fail_fast"
    return failed is not None


def _compares(policy: ModelPolicy, needs: frozenset[Need]) -> bool:
    """Not for a fixed minimum alone, which looks at no champion."""
    settings = policy.gates.performance
    minimum = isinstance(settings, Performance) and isinstance(settings.rule, Minimum)
    own = {gate.name for gate in gate_runner.asked_for(policy) if Need.CHAMPION in gate.needs}
    return Need.CHAMPION in needs and not (minimum and own == {"performance"})
