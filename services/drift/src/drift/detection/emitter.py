"""Emission of DriftDetected events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.telemetry import get_logger
from contracts import DriftDetected, DriftKind, DriftWindow, FeatureScore, Harm, HarmEstimate
from drift import metrics
from drift.database import estimates, store
from drift.database.records import identity
from drift.database.tables import WindowRow
from drift.detection import live_metrics
from drift.policies import DriftPolicies
from drift.policy.windows import EACH_WINDOW, Hold, Standing, Verdict, announcement, by_excess

DECIDING = (DriftKind.DATA, DriftKind.PERFORMANCE)
"""Kinds that share one cooldown."""
MOST_SCORES = 500
"""In one event, to stay below the message size that consumers accept; the window's page has all scores."""

log = get_logger(__name__)


class DriftEmitter:
    """Emits DriftDetected in the transaction that records the verdict, or records why not. The model is locked.

    The same transaction enqueues the job that writes the window's metrics to MLflow.
    """

    def __init__(self, jobs: Jobs, outbox: Outbox, policies: DriftPolicies, public_url: str) -> None:
        self._jobs = jobs
        self._outbox = outbox
        self._policies = policies
        self._public_url = public_url

    def data(self, session: Session, window: WindowRow, verdict: Verdict, scores: Sequence[FeatureScore]) -> None:
        rules = self._policies.drift(window.model_name)
        is_calibrated = rules.drift_share is None
        said = self._announce(
            session,
            window,
            verdict,
            window.data_event_id,
            drift_share=verdict.observed,
            scores=by_excess(scores)[:MOST_SCORES],
            budget=rules.budget.in_words if is_calibrated else None,
            assumption=(window.limits or {}).get("assumption") if is_calibrated else None,
            harm=None if window.harm is None else HarmEstimate.model_validate(window.harm),
        )
        window.data_event_id, window.data_held = said
        live_metrics.enqueue(self._jobs, session, window, "data")
        if verdict.observed is not None:
            share = verdict.observed
            metrics.once_committed(session, lambda: metrics.SHARE.labels(window.model_name).set(share))

    def performance(self, session: Session, window: WindowRow, verdict: Verdict, metric: str | None) -> None:
        said = self._announce(
            session,
            window,
            verdict,
            window.performance_event_id,
            metric=metric,
            observed=verdict.observed,
            bound=verdict.bound,
            low=verdict.low,
            high=verdict.high,
            budget=self._policies.drift(window.model_name).budget.in_words,
        )
        window.performance_event_id, window.performance_held = said
        live_metrics.enqueue(self._jobs, session, window, "performance")

    def signal(self, session: Session, window: WindowRow, verdict: Verdict, **evidence: Any) -> dict[str, Any]:
        """Announce a drift that decides nothing alone; return what became of it, to be recorded with the verdict.

        Its kind has a cooldown of its own: it must not delay a drift that decides.
        """
        version = store.version_of(session, window.model_name, window.model_version)
        cooldown, now = self._policies.drift(window.model_name).cooldown, datetime.now(UTC)
        last = estimates.last_announced(session, version, verdict.kind, cooldown, now)
        event_id, held = self._announce(session, window, verdict, None, last_of_kind=last, **evidence)
        return {"event_id": event_id, "held": held, "announced_at": now.isoformat() if event_id else None}

    def _announce(
        self,
        session: Session,
        window: WindowRow,
        verdict: Verdict,
        event_id: str | None,
        last_of_kind: datetime | None = None,
        **evidence: Any,
    ) -> tuple[str | None, str | None]:
        """Return the id of the event, and the reason why drift was not announced.

        `last_of_kind`: of a drift that decides nothing, when one of its kind was announced.
        """
        name, now = window.model_name, datetime.now(UTC)
        rules = self._policies.drift(name)
        after = rules.after if verdict.kind is DriftKind.DATA else EACH_WINDOW
        model = store.lock_model(session, name)
        version = store.version_of(session, name, window.model_version)
        standing = Standing(
            is_champion=model.champion_version == window.model_version,
            champion_version=model.champion_version,
            announced=event_id is not None,
            last_detected_at=version.last_detected_at if verdict.kind in DECIDING else last_of_kind,
            recent=store.newest_outcomes(session, window, after.windows),
        )
        answer = announcement(verdict, standing, rules.cooldown, now, after)
        metrics.once_committed(session, lambda: metrics.VERDICTS.labels(name, verdict.kind, verdict.outcome).inc())
        log.info("window judged", window=window.id, kind=verdict.kind, outcome=verdict.outcome, reason=verdict.reason)
        if answer is None:
            return event_id, None
        if isinstance(answer, Hold):
            metrics.once_committed(session, lambda: metrics.HELD.labels(name, verdict.kind).inc())
            return event_id, answer.reason
        if verdict.kind in DECIDING:
            version.last_detected_at = now
        event = DriftDetected(
            model_name=name,
            model_version=window.model_version,
            kind=verdict.kind,
            window=_told(window, verdict, now),
            report_uri=f"{self._public_url}/reports/{window.id}",
            reason=verdict.reason,
            **evidence,
        )
        emitted = self._outbox.emit(session, event, event_id=identity(f"{window.id}:{verdict.kind}"))
        metrics.once_committed(session, lambda: metrics.ANNOUNCED.labels(name, verdict.kind).inc())
        if verdict.kind is DriftKind.PERFORMANCE or (event.harm is not None and event.harm.harm is Harm.HARMFUL):
            metrics.once_committed(session, lambda: metrics.HARMFUL.labels(name).inc())
        return emitted.id, None


def _told(window: WindowRow, verdict: Verdict, now: datetime) -> DriftWindow:
    # More labels may have arrived while the performance was judged: state how many it is based on.
    return DriftWindow(
        id=window.id,
        rows=window.rows,
        start=window.start or now,
        end=window.end or now,
        labelled=verdict.n if verdict.kind is DriftKind.PERFORMANCE else window.labelled,
    )
