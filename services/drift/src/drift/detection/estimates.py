"""What is estimated of a window without labels: its predictions' drift, its performance, and the harm of its drift."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from chassis.errors import NotFound, Permanent
from chassis.telemetry import get_logger
from contracts import Dataset, FeatureScore, HarmEstimate, Outcome, OutputFormat
from contracts.metrics import METRICS
from drift.database import estimates as earlier
from drift.database import window_rows
from drift.database.records import clean
from drift.database.tables import VersionRow, WindowRow
from drift.database.window_rows import PredictedColumns
from drift.detection.emitter import DriftEmitter
from drift.policies import DriftPolicies
from drift.policy import predictions, proxy
from drift.policy.harm import estimate_harm
from drift.policy.limits import splits_for
from drift.policy.predictions import Distribution, Floats, judge_prediction
from drift.policy.proxy import Proxy, judge_proxy
from drift.policy.windows import Verdict
from drift.scoring import estimators
from drift.scoring.estimators import Fitted
from drift.scoring.golden import Golden, distribution_of, read, what_of
from drift.scoring.references import References

AT_HAND = 8
"""Versions of which what was fitted is kept in memory."""

log = get_logger(__name__)


@dataclass(frozen=True)
class Inputs:
    """What the database has on a window, read before it is estimated."""

    rows: PredictedColumns
    distances: Sequence[float]
    first: Sequence[dict[str, Any]]
    errors: Sequence[float]
    metric: str | None
    output: OutputFormat | None


@dataclass(frozen=True)
class Estimates:
    """`prediction`, `proxy`: verdicts, which decide nothing alone, with what is recorded of them; `harm`: of a window
    that has drifted."""

    prediction: Verdict | None = None
    of_prediction: dict[str, Any] | None = None
    proxy: Verdict | None = None
    of_proxy: dict[str, Any] | None = None
    harm: HarmEstimate | None = None

    def record(self, session: Session, window: WindowRow, emitter: DriftEmitter) -> None:
        """Record them, and announce what has drifted. Call it before the drift of the data is announced."""
        window.harm = None if self.harm is None else self.harm.model_dump(mode="json")
        window.prediction, window.proxy = self.of_prediction, self.of_proxy
        if self.prediction is not None and self.of_prediction is not None:
            said = emitter.signal(session, window, self.prediction, **_scored(self.of_prediction))
            window.prediction = self.of_prediction | said
        if self.proxy is not None and self.of_proxy is not None:
            found = {name: self.of_proxy[name] for name in ("metric", "bound", "low", "high")}
            said = emitter.signal(session, window, self.proxy, observed=self.proxy.observed, proxy=True, **found)
            window.proxy = self.of_proxy | said


NOTHING_ESTIMATED = Estimates()


class Estimator:
    """Thread-safe. What is fitted on golden predictions is kept by their digest."""

    def __init__(self, references: References, policies: DriftPolicies) -> None:
        self._references = references
        self._policies = policies
        self._fitted: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        self._lock = threading.Lock()

    def inputs(self, session: Session, window: WindowRow, version: VersionRow) -> Inputs:
        promoted = OutputFormat.model_validate(version.output) if version.output else None
        metric = self._policies.metric(window.model_name, version.metric)
        return Inputs(
            rows=window_rows.predicted(session, window),
            distances=earlier.distances(session, window),
            first=[] if version.golden_predictions else earlier.first_predictions(session, window),
            errors=earlier.errors(session, window, metric) if metric else [],
            metric=metric,
            output=self._policies.output(window.model_name, promoted),
        )

    def estimate(
        self,
        inputs: Inputs,
        window: WindowRow,
        version: VersionRow,
        verdict: Verdict,
        scores: Sequence[FeatureScore],
        features: pd.DataFrame,
    ) -> Estimates:
        """Return the estimates of a window; of one that has drifted (`verdict`), its harm too.

        Raises Transient while MLflow is unavailable.
        """
        golden: Golden | None = None
        why = "the promotion names no golden predictions"
        if version.golden_predictions is not None:
            try:
                golden = self._golden(Dataset.model_validate(version.golden_predictions))
            except (NotFound, Permanent, ValueError) as error:
                why = clean(f"the golden predictions cannot be read: {error}")
                log.warning("golden predictions not read", window=window.id, error=str(error))
        moved, of_prediction = self._prediction(inputs, window, version, golden)
        fitted = self._fit(inputs, window, version, golden, why)
        found = fitted.estimate and fitted.estimate(inputs.rows, features)
        baseline = version.baseline.get(inputs.metric or "")
        judged, of_proxy = None, None
        if found is None:
            why = fitted.why or "the predictions of the window carry no scores or numbers"
        else:
            found = proxy.corrected(found, [*fitted.errors, *inputs.errors])
            judged, of_proxy = self._proxy(found, window, baseline)
        harm = None
        if verdict.outcome is Outcome.FAILED:
            drifted = list(dict.fromkeys(score.feature for score in scores if score.drifted))
            importance = version.importance or {}
            harm = estimate_harm(drifted, importance, found, baseline, moved, why)
        return Estimates(moved, of_prediction, judged, of_proxy, harm)

    def _prediction(
        self, inputs: Inputs, window: WindowRow, version: VersionRow, golden: Golden | None
    ) -> tuple[Verdict | None, dict[str, Any] | None]:
        current = distribution_of(inputs.rows, inputs.output)
        if current is None:
            return None, None
        if golden is not None:
            reference, against = distribution_of(golden.predicted, inputs.output), "those of the golden rows"
        else:
            reference, against = _together(inputs.first), "those of the version's first windows"
        found = None if reference is None else predictions.distance(reference, current)
        limit = None
        if reference is not None and found is not None:
            share = self._policies.drift(window.model_name).budget.share / 2  # the columns are tested beside it
            of, drawn = str(version.golden_predictions or (window.model_name, window.model_version)), splits_for(share)
            key = "splits", of, window.rows, current.method, drawn
            splits: Floats = self._kept(key, lambda: estimators.row_splits(reference, window.rows, drawn))
            limit = predictions.limit_of(splits, np.array(inputs.distances), share)
        what = what_of(inputs.rows, inputs.output)
        verdict = judge_prediction(window.rows, found, limit, what, against)
        return verdict, {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "what": what,
            "method": current.method,
            "distance": found,
            "limit": limit and limit.limit,
            "expected": limit and limit.expected,
            "assumption": limit and limit.assumption,
            "kept": current.kept(),
        }

    def _proxy(
        self, found: Proxy, window: WindowRow, baseline: float | None
    ) -> tuple[Verdict | None, dict[str, Any] | None]:
        recorded = asdict(found)
        if baseline is None:
            return None, recorded
        verdict = judge_proxy(window.rows, found, baseline, self._policies.drift(window.model_name).metric_drop)
        return verdict, recorded | {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "baseline": baseline,
            "bound": verdict.bound,
        }

    def _fit(self, inputs: Inputs, window: WindowRow, version: VersionRow, golden: Golden | None, why: str) -> Fitted:
        metric, output = inputs.metric, inputs.output
        if metric is None or metric not in METRICS:
            return Fitted(None, why="no metric is known: neither the promotion nor a policy names one")
        if golden is None:
            return Fitted(None, why=why)
        key = "fitted", str(version.golden_predictions), metric, str(output), window.rows
        found: Fitted = self._kept(key, lambda: estimators.fit(golden, metric, output, window.rows))
        return found

    def _golden(self, dataset: Dataset) -> Golden:
        found: Golden = self._kept(("golden", dataset.digest), lambda: read(self._references.frame(dataset)))
        return found

    def _kept(self, key: tuple[Any, ...], make: Any) -> Any:
        with self._lock:
            if key in self._fitted:
                self._fitted.move_to_end(key)
                return self._fitted[key]
        made = make()
        with self._lock:
            self._fitted[key] = made
            while len(self._fitted) > 3 * AT_HAND:
                self._fitted.popitem(last=False)
        return made


def _together(kept: Sequence[dict[str, Any]]) -> Distribution | None:
    """Return the distribution of several windows, from what was kept of each."""
    numbers = [value for each in kept for value in each.get("numbers", ())]
    if numbers:
        return Distribution(numbers=np.array(numbers, dtype=np.float64))
    classes: dict[str, float] = {}
    for each in kept:
        for name, count in each.get("classes", {}).items():
            classes[name] = classes.get(name, 0.0) + count
    return Distribution(classes=classes) if classes else None


def _scored(said: dict[str, Any]) -> dict[str, Any]:
    """Return what the event says of the predictions' distance."""
    if said["distance"] is None or said["limit"] is None:
        return {}
    score = FeatureScore(
        feature=said["what"],
        method=said["method"],
        score=said["distance"],
        limit=said["limit"],
        drifted=said["distance"] >= said["limit"],
        expected=said["expected"],
    )
    return {"scores": [score], "assumption": said["assumption"]}
