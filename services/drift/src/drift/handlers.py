"""Event handlers. Each runs in one transaction and is idempotent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from chassis.jobs import Jobs
from chassis.telemetry import get_logger
from contracts import Envelope, GroundTruthReceived, PredictionMade, Promoted
from drift import metrics
from drift.database import delays, store
from drift.database.tables import COMPLETE, FILLING, ModelRow, WindowRow
from drift.ingestion import labels, predictions
from drift.ingestion import rows as ingestion
from drift.ingestion.labels import LabelRead
from drift.ingestion.predictions import Predictions
from drift.policies import DriftPolicies
from drift.policy.maturity import Maturity, is_due
from drift.rollouts.rollouts import Rollouts
from drift.settings import Settings

SKIPPED = "skipped"
SCORE, PERFORMANCE = "score", "performance"

log = get_logger(__name__)


class Handlers:
    """on_promoted, on_predictions, on_ground_truth, and the jobs they enqueue."""

    def __init__(self, jobs: Jobs, policies: DriftPolicies, settings: Settings, rollouts: Rollouts) -> None:
        self._jobs = jobs
        self._rollouts = rollouts
        self._policies = policies
        self._settings = settings

    def on_promoted(self, session: Session, envelope: Envelope[Promoted]) -> None:
        """Store the version's reference and baseline; the version with the highest epoch is the champion.

        Of two promotions with one epoch the later wins, as in every reader: it is the one that compaction keeps.
        """
        event = envelope.data
        if "\\u0000" in event.model_dump_json():
            raise ValueError("a Promoted with a NUL character in a text")
        model = store.lock_model(session, event.model_name)
        version = store.version_of(session, event.model_name, event.model_version)
        if version.epoch is not None and (event.epoch, envelope.time) == (version.epoch, version.promoted_at):
            return  # the same promotion again, after its inbox mark was pruned
        if version.epoch is not None and event.epoch < version.epoch:
            return
        is_newest = model.epoch is None or event.epoch >= model.epoch
        if is_newest and model.champion_version not in (None, event.model_version):
            self._supersede(session, event, model.champion_version)
        if version.epoch is not None and model.champion_version != event.model_version:
            # It was champion before: replayed predictions of that time must not fill current windows.
            version.known_until = max(version.known_until or envelope.time, envelope.time)
        version.epoch, version.promoted_at = event.epoch, envelope.time
        version.metric, version.baseline = event.metric, dict(event.baseline)
        version.reference = event.reference.model_dump(mode="json") if event.reference else None
        version.output = event.output.model_dump(mode="json") if event.output else None
        golden = event.golden_predictions
        version.golden_predictions = golden.model_dump(mode="json") if golden else None
        version.importance = event.importance
        if not is_newest:
            store.supersede(store.undecided(session, version), _superseded_by(model.champion_version), _now())
            return
        model.champion_version, model.epoch = event.model_version, event.epoch
        version.last_detected_at = None
        for window in store.in_state(session, version, COMPLETE):
            self.enqueue_score(session, window)
            self.enqueue_due_performance(session, [window])
        log.info("champion known", model=event.model_name, version=event.model_version, epoch=event.epoch)

    def on_predictions(self, session: Session, batch: Sequence[Predictions]) -> None:
        now = _now()
        for of_model in batch:
            name = of_model.model_name
            if of_model.skipped:
                metrics.count_statuses(session, metrics.PREDICTIONS, name, {SKIPPED: of_model.skipped})
            if of_model.is_empty:
                continue
            model = store.lock_model(session, name)
            self._count_in_rollouts(session, of_model, now)
            size = self._policies.drift(name).window.rows
            taken = ingestion.take_predictions(session, model, of_model.made, size, now)
            taken.statuses[ingestion.DUPLICATE] += of_model.doubled
            ingestion.take_failures(session, model, of_model.failed, now, taken)
            delays.record(model, taken.delays, now)
            self._rollouts.add_history(session, name, taken)
            for window in taken.windows.values():
                if window.state == COMPLETE:
                    self._on_complete(session, window)
            metrics.count_statuses(session, metrics.PREDICTIONS, name, taken.statuses)

    def on_earlier_predictions(self, session: Session, envelopes: Sequence[Envelope[PredictionMade]]) -> None:
        """Count in rollouts only: an earlier database had them, and their windows were judged in it."""
        now = _now()
        for of_model in predictions.gather(map(predictions.of_event, envelopes)):
            store.lock_model(session, of_model.model_name)
            self._count_in_rollouts(session, of_model, now)

    def on_ground_truth(self, session: Session, batch: Sequence[tuple[str, list[LabelRead]]]) -> None:
        now = _now()
        for model_name, of_model in batch:
            model = store.lock_model(session, model_name)
            taken = ingestion.take_labels(session, of_model, now)
            delays.record(model, taken.delays, now)
            self._rollouts.take_labels(session, model_name, taken.labels)
            self.enqueue_due_performance(session, taken.windows.values())
            metrics.count_statuses(session, metrics.LABELS, model_name, taken.statuses)

    def on_earlier_ground_truth(self, session: Session, envelopes: Sequence[Envelope[GroundTruthReceived]]) -> None:
        self.on_ground_truth(session, labels.gather(map(labels.of_event, envelopes)))

    def close_now(self, session: Session, window: WindowRow) -> str:
        """Close a window that is still filling and enqueue its scoring. Returns the id of the job."""
        window.state, window.closed_at = COMPLETE, _now()
        self.enqueue_due_performance(session, [window])
        return self.enqueue_score(session, window)

    def enqueue_score(self, session: Session, window: WindowRow) -> str:
        return self._enqueue(session, SCORE, window)

    def maturity(self, session: Session, model: ModelRow) -> Maturity:
        """Return the age from which on the labels of the model's predictions are expected to be there."""
        of_policy = self._policies.label_maturity(model.model_name)
        return delays.maturity_of(session, model, of_policy, self._settings.label_maturity, _now())

    def enqueue_due_performance(
        self, session: Session, windows: Iterable[WindowRow], mature: Maturity | None = None
    ) -> None:
        """Enqueue performance jobs for closed windows of which every row has its label, or is `mature`.

        Housekeeping passes the maturity, once for many windows.
        """
        for window in windows:
            if window.state == FILLING or window.performance_outcome is not None or not _is_promoted(session, window):
                continue
            waited = _now() - window.closed_at if window.closed_at else timedelta(0)
            if is_due(window.rows, window.labelled, waited, mature.after if mature else timedelta.max):
                after = mature.after.total_seconds() if mature and window.labelled < window.rows else None
                self._enqueue(session, PERFORMANCE, window, maturity_seconds=after)

    def give_up_performance(self, session: Session, windows: Iterable[WindowRow], mature: Maturity) -> None:
        """Enqueue performance jobs for closed windows whose rows must be deleted, mature or not."""
        for window in windows:
            self.enqueue_due_performance(session, [window], mature)
            if window.performance_outcome is None:
                self._enqueue(session, PERFORMANCE, window, immature=mature.reason)

    def _enqueue(self, session: Session, kind: str, window: WindowRow, **why: Any) -> str:
        job_id = f"{kind}:{window.key}"
        # Check before inserting: an insert waits for a worker that is ending this job, which waits for us (a deadlock).
        if self._jobs.get(session, job_id) is None:
            payload = {"window": window.id, **why}
            self._jobs.enqueue(session, kind=kind, key=window.model_name, payload=payload, job_id=job_id)
        return job_id

    def _count_in_rollouts(self, session: Session, batch: Predictions, now: datetime) -> None:
        if batch.trials:
            self._rollouts.take_predictions(session, batch.model_name, batch.trials, now)

    def _on_complete(self, session: Session, window: WindowRow) -> None:
        if _is_promoted(session, window):
            self.enqueue_score(session, window)
            self.enqueue_due_performance(session, [window])

    def _supersede(self, session: Session, event: Promoted, former: int | None) -> None:
        if former is not None:
            windows = store.undecided(session, store.version_of(session, event.model_name, former))
            store.supersede(windows, _superseded_by(event.model_version), _now())


def _is_promoted(session: Session, window: WindowRow) -> bool:
    """Return False until the promotion event, which carries reference and baseline, has arrived."""
    return store.version_of(session, window.model_name, window.model_version).epoch is not None


def _superseded_by(champion: int | None) -> str:
    return f"not judged: version {champion} became the champion"


def _now() -> datetime:
    return datetime.now(UTC)
