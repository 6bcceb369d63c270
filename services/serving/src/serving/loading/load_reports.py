"""What a replica says of its loads: log lines, metrics, ModelLoaded and ModelLoadFailed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from chassis import tracing
from chassis.telemetry import get_logger
from contracts import Envelope, Event, ModelLoaded, ModelLoadFailed
from serving.loading.model_state import ModelState
from serving.policy.trials import DesiredTrial
from serving.policy.versions import Attempt, DesiredVersion
from serving.settings import Settings

SWAPS = Counter("gauntlet_serving_swaps_total", "Versions swapped in", ["model_name"])
FAILURES = Counter("gauntlet_serving_load_failures_total", "Fetches, loads and warm-ups that failed", ["model_name"])
SECONDS = Histogram("gauntlet_serving_load_seconds", "From the event's arrival to the swap")
VERSION = Gauge("gauntlet_serving_model_version", "The version that answers", ["model_name"])
EPOCH = Gauge("gauntlet_serving_model_epoch", "The epoch that answers; production only", ["model_name"])

Report = Callable[[Event, Envelope[Any] | None], None]

log = get_logger(__name__)


class LoadReports:
    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._report = report

    def swapped(self, state: ModelState, desired: DesiredVersion) -> None:
        artifact, seconds = desired.artifact, time.monotonic() - state.desired_at
        SWAPS.labels(artifact.model_name).inc()
        SECONDS.observe(seconds)
        VERSION.labels(artifact.model_name).set(artifact.model_version)
        EPOCH.labels(artifact.model_name).set(desired.epoch or 0)
        log.info(
            "swapped in",
            model_name=artifact.model_name,
            model_version=artifact.model_version,
            epoch=desired.epoch,
            seconds=round(seconds, 4),
        )
        self._loaded(
            ModelLoaded(**self._about(desired, state.desired_at), artifact_digest=artifact.digest), state.cause
        )

    def failed(self, state: ModelState, attempt: Attempt, reason: str) -> None:
        self._log_failure(attempt, reason, epoch=attempt.desired.epoch)
        if _is_said(attempt):
            about = self._about(attempt.desired, state.desired_at)
            self._loaded(ModelLoadFailed(**about, reason=reason, permanent=attempt.permanent), state.cause)

    def trial_begun(self, state: ModelState, trial: DesiredTrial, *, is_first: bool) -> None:
        """`is_first`: of the rollout with this version; a further step loads nothing."""
        artifact = trial.tried.artifact
        log.info(
            "trial",
            model_name=artifact.model_name,
            model_version=artifact.model_version,
            rollout_id=trial.rollout_id,
            step=trial.step,
            mode=trial.mode,
            share=trial.share,
        )
        if is_first:
            about = self._about(trial.tried, state.trying.wanted_at, trial.rollout_id)
            self._loaded(ModelLoaded(**about, artifact_digest=artifact.digest), state.trying.cause)

    def trial_failed(self, state: ModelState, trial: DesiredTrial, attempt: Attempt, reason: str) -> None:
        self._log_failure(attempt, reason, rollout_id=trial.rollout_id)
        if _is_said(attempt):
            about = self._about(trial.tried, state.trying.wanted_at, trial.rollout_id)
            self._loaded(ModelLoadFailed(**about, reason=reason, permanent=attempt.permanent), state.trying.cause)

    def _loaded(self, report: ModelLoaded | ModelLoadFailed, cause: Envelope[Any] | None) -> None:
        about = {name: getattr(report, name) for name in ("model_name", "model_version", "epoch", "replica", "role")}
        error = report.reason if isinstance(report, ModelLoadFailed) else ""
        with tracing.loaded(cause, report.seconds, about, error=error):
            self._report(report, cause)

    def _log_failure(self, attempt: Attempt, reason: str, **more: Any) -> None:
        artifact = attempt.desired.artifact
        FAILURES.labels(artifact.model_name).inc()
        log.error(
            "cannot load" if attempt.permanent else "cannot load now, will try again",
            model_name=artifact.model_name,
            model_version=artifact.model_version,
            attempt=attempt.failures,
            reason=reason,
            **more,
        )

    def _about(self, desired: DesiredVersion, since: float, rollout_id: str | None = None) -> dict[str, Any]:
        return {
            "model_name": desired.artifact.model_name,
            "model_version": desired.artifact.model_version,
            "epoch": desired.epoch,
            "replica": self._settings.replica,
            "role": self._settings.role,
            "seconds": max(0.0, time.monotonic() - since),
            "rollout_id": rollout_id,
        }


def _is_said(attempt: Attempt) -> bool:
    return attempt.failures == 1 or attempt.permanent  # not one event per retry
