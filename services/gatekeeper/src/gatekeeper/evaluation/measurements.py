"""Measurements of one candidate: the input of its gates, and of the evidence stored for re-evaluation."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chassis.mlmodel import MLmodel
from contracts import ModelRegistered, OutputFormat
from contracts.metrics import Problem
from gatekeeper.evaluation.golden_roles import ROLES
from gatekeeper.evaluation.golden_rows import GoldenRows, GoldenSource, Unusable
from gatekeeper.policy.gates import integrity, lineage
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.importance import Importance
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.predictions import as_answers
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics.estimates import Predictions, Series
from gatekeeper.policy.unseen_categories import CategoryTrial
from gatekeeper.sandbox.compiled_form import CompilationReport
from gatekeeper.sandbox.probe import Probe


@dataclass(frozen=True)
class Champion:
    """The version that a candidate is compared with."""

    model_version: int
    epoch: int
    artifact_uri: str
    artifact_digest: str


@dataclass(eq=False)
class Measurements:
    """A field that is None could not be measured; its `*_problem` gives the reason."""

    event: ModelRegistered
    problem: Problem
    problem_because: str | None = None
    """How the problem was found that the policy as written does not state; None if it does."""
    version_found: bool = False
    run_found: bool = False
    training_digest: str | None = None
    origin: lineage.Origin | None = None
    champion: Champion | None = None
    k: int = 1
    """The candidate is the k-th challenger on its golden dataset."""
    artifact_digest: str | None = None
    artifact_problem: str | None = None
    integrity: integrity.Facts | None = None
    description: MLmodel = field(default_factory=MLmodel)
    champion_description: MLmodel | None = None
    evaluation_digest: str | None = None
    """Digest of the dataset that was registered with the version."""
    evaluation_problem: str | None = None
    golden_digest: str | None = None
    """Digest of the dataset that it is judged on."""
    golden_uri: str | None = None
    golden_until: str | None = None
    """Event time of the newest golden row, ISO 8601 in UTC; None if rows have no time."""
    golden_source: GoldenSource | None = None
    """None in evidence before format 3."""
    golden: GoldenRows | None = None
    golden_problem: str | None = None
    overlap: Overlap | None = None
    champion_overlap: Overlap | None = None
    probe: Probe | None = None
    dirty_rows: NDArray[np.int64] | None = None
    """Positions of the golden rows that have dirty versions."""
    category_trials: tuple[CategoryTrial, ...] = ()
    """Columns of the dirty rows with unseen categories, next to known ones and missing."""
    champion_probe: Probe | None = None
    champion_answers: Predictions | None = None
    champion_problem: str | None = None
    stopped: str | None = None
    """Why measuring stopped early (`fail_fast`)."""
    serving_form: CompilationReport | None = None
    """For users: no gate reads it."""
    form: bytes | None = None
    """The compiled model as a candidate's process wrote it: for serving; no evidence, and never opened here."""
    importance: Importance | None = None
    """Of its columns, for people and for drift: no gate reads it. None for a version that did not pass, and in evidence
    before format 4."""
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[step] = round(time.monotonic() - began, 3)

    @property
    def classes(self) -> tuple[Any, ...] | None:
        """Return the classes of the candidate in the order of its scores: its own, else those of the golden rows."""
        return self.description.classes or (self.golden.classes if self.golden else None)

    def adopt_classes(self) -> None:
        """Take the classes that the estimator names in its process, where the model's metadata names none.

        Golden rows whose labels are none of them, or whose words nothing puts in an order, cannot be used.
        """
        if self.problem == "regression" or self.description.classes is not None or self.probe is None:
            return
        own, rows = self.probe.classes, self.golden
        try:
            if own is not None:
                self.description = replace(self.description, classes=own)
                self.golden = rows and rows.named_by(own, self.problem)
            elif rows is not None and self.problem == "binary" and self._has_scores:
                rows.are_ordered()
        except Unusable as error:
            self.golden, self.golden_problem = None, str(error)

    @property
    def _has_scores(self) -> bool:
        return self.probe is not None and self.probe.golden is not None and self.probe.golden.dtype.kind != "U"

    @property
    def output(self) -> OutputFormat | None:
        """Return how the gates read the candidate's predictions, as serving and drift do; None without a model."""
        if self.artifact_digest is None or self.artifact_problem is not None:
            return None
        classes = () if self.problem == "regression" else self.classes or ()
        roles = {name: getattr(self.golden, name) for name in ROLES} if self.golden else self.description.roles
        return OutputFormat(
            problem=self.problem,
            classes=tuple(name if isinstance(name, str | int | float) else str(name) for name in classes),
            **{name: str(roles[name]) for name in ROLES if roles.get(name)},
        )

    @property
    def challenger_answers(self) -> Predictions | None:
        if self.probe is None or self.probe.golden is None or self.golden is None:
            return None
        return self.answers(self.probe.golden)

    def compared(self, rows: NDArray[np.bool_]) -> dict[str, Any]:
        """Return labels and both models' predictions on some golden rows, keyed by field names of the gates' facts."""
        challenger, champion = self.challenger_answers, self.champion_answers
        return {
            "truth": self.golden.truth[rows] if self.golden else None,
            "challenger": challenger.only(rows) if challenger else None,
            "champion": champion.only(rows) if champion else None,
            "champion_version": self.champion.model_version if self.champion else None,
        }

    @property
    def clusters(self) -> NDArray[np.int64] | None:
        """Return (n,) entity numbers, shared by golden rows of one entity; None without an entity column."""
        return None if self.golden is None else self.golden.entities

    def series(self, rows: NDArray[Any]) -> Series | None:
        """Return the order of some golden rows (positions, or a mask); None if they have no event time."""
        found = None if self.golden is None else self.golden.series
        return None if found is None else found.only(rows)

    def answers(self, values: NDArray[Any]) -> Predictions:
        """Convert raw predictions on golden rows to the golden rows' classes."""
        return as_answers(values, self.problem, self.golden.classes if self.golden else None)

    def measurement_error(self, *stages: Stage) -> MeasurementError | None:
        """Return the error that prevented these stages of the probe, and its source."""
        if self.probe is None:
            return MeasurementError(
                ErrorSource.EARLIER, self.stopped or "not measured: there is no usable artifact (see lineage)"
            )
        fault = self.probe.fault
        if fault is None or fault.stage.order > max(stage.order for stage in stages):
            return None
        if fault.stage is Stage.STARTING:
            return MeasurementError(ErrorSource.GATEKEEPER, f"the sandbox itself failed: it {fault.what}")
        if fault.stage not in stages:
            return MeasurementError(
                ErrorSource.EARLIER, f"not measured: the model {fault.what} while {fault.stage.value}"
            )
        return MeasurementError(ErrorSource.CANDIDATE, f"the model {fault.what} while {fault.stage.value}")

    def comparison_error(self) -> MeasurementError | None:
        """Return the error that prevents comparing champion and challenger on golden rows."""
        if found := self.measurement_error(Stage.GOLDEN):
            return found
        if self.golden_problem is not None:
            return MeasurementError(ErrorSource.DATA, self.golden_problem)
        if self.stopped is not None:
            return MeasurementError(ErrorSource.EARLIER, self.stopped)
        if self.champion_problem is not None:
            return MeasurementError(ErrorSource.CHAMPION, self.champion_problem)
        return None

    def other_error(self) -> MeasurementError | None:
        """Return the same error, for a gate that does not blame the candidate for it."""
        found = self.comparison_error()
        if found is None or found.blame is not ErrorSource.CANDIDATE:
            return found
        return MeasurementError(ErrorSource.EARLIER, f"not measured: {found.what} (see performance)")
