"""What events do to rollouts: RolloutChanged opens and ends steps, rows and labels are counted in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.columns import microseconds
from chassis.jobs import Jobs
from chassis.telemetry import get_logger
from contracts import Envelope, Mode, OutputFormat, PredictionMade, RolloutChanged, Stage
from contracts.losses import LossKind
from drift import metrics
from drift.database import store as versions
from drift.database.chunks import predicted_since
from drift.database.columns import Made
from drift.database.records import as_utc, clean, hash_of, label_key
from drift.database.tables import BirthRow, VersionRow
from drift.ingestion.labels import LabelRead
from drift.ingestion.matching import EntityLabel, label_for
from drift.ingestion.rows import Taken, labels_of, place_of
from drift.policies import DriftPolicies
from drift.rollouts import store
from drift.rollouts.measures import Measures
from drift.rollouts.open_step import OpenStep, empty
from drift.rollouts.rows import TrialRow, row_of
from drift.rollouts.store import WAITING
from drift.rollouts.tables import ENDED, OPEN, UNANNOUNCED, StepRow

COUNTED, DUPLICATE, EARLY, LATE, OTHER = "counted", "duplicate", "before its step", "after its step", "other version"

RECOUNT = "recount"

log = get_logger(__name__)


class Rollouts:
    """Every method runs in a transaction that has locked the model."""

    def __init__(
        self,
        jobs: Jobs,
        policies: DriftPolicies,
        measures: Measures,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._jobs = jobs
        self._policies = policies
        self._measures = measures
        self._clock = clock

    def on_changed(self, session: Session, envelope: Envelope[RolloutChanged]) -> None:
        """Open the step that is in force from now on, and end the others. Lower revisions change nothing.

        Raises ValueError for an event that cannot be carried out.
        """
        event = envelope.data
        if "\\u0000" in event.model_dump_json():
            raise ValueError("a RolloutChanged with a NUL character in a text")
        if event.loss is not None and event.loss.kind is LossKind.PINBALL and event.loss.quantile is None:
            raise ValueError("a RolloutChanged with the loss pinball, and without its quantile")
        versions.lock_model(session, event.model_name)
        if event.revision <= store.newest_revision(session, event.model_name):
            return
        row = store.step_of(session, event.model_name, event.rollout_id, event.step)
        for other in store.live_steps(session, event.model_name):
            if other.state == OPEN and (other is not row or event.stage is Stage.ENDED):
                self._end(session, other)
        row = row or store.new_step(session, event.model_name, event.rollout_id, event.step, self._clock())
        before, row.state = row.state, ENDED if event.stage is Stage.ENDED else OPEN
        row.revision, row.changed = event.revision, event.model_dump(mode="json")
        row.ended_at = self._clock() if row.state == ENDED else None
        if row.state == OPEN:
            if before == UNANNOUNCED:
                self._begin(session, row, event)
            self._announced(session, row)
        log.info(
            "rollout changed",
            model=event.model_name,
            rollout=event.rollout_id,
            stage=event.stage,
            step=event.step,
            revision=event.revision,
        )

    def take_predictions(
        self, session: Session, model_name: str, made: Sequence[tuple[Made, PredictionMade]], now: datetime
    ) -> None:
        """Count new rows of rollouts; rows of a step that is not announced yet wait for it."""
        by_step: dict[tuple[str, int], list[tuple[TrialRow, Made]]] = {}
        for each, event in made:
            if event.rollout_id is not None and event.step is not None:
                by_step.setdefault((clean(event.rollout_id), event.step), []).append((row_of(event, each), each))
        statuses: Counter[str] = Counter()
        for (rollout_id, number), of_step in by_step.items():
            row = store.step_of(session, model_name, rollout_id, number)
            row = row or store.new_step(session, model_name, rollout_id, number, now)
            if row.state == ENDED:
                statuses[LATE] += len(of_step)
                continue
            new = store.unseen(session, row.key, (trial for trial, _ in of_step))
            statuses[DUPLICATE] += len(of_step) - len(new)
            self._add_labels(session, row, new, of_step)
            if row.state == UNANNOUNCED:
                store.save_waiting(session, row.key, [(trial, None) for trial in new])
                statuses[EARLY] += len(new)
                continue
            step = self.open_step(session, row)
            others = step.count(new)
            statuses += Counter({OTHER: others, COUNTED: len(new) - others})
            self.settle(session, step)
        metrics.count_statuses(session, metrics.ROLLOUT_ROWS, model_name, statuses)

    def take_labels(self, session: Session, model_name: str, labels: Sequence[LabelRead]) -> None:
        """Assign new labels to the rows that wait for them."""
        live = [row for row in store.live_steps(session, model_name) if row.changed is None or row.changed.get("loss")]
        if not live or not labels:
            return
        by_key = {
            hash_of(label_key(label.request_id, label.row)): label.label
            for label in labels
            if label.request_id is not None
        }
        by_unit: dict[int, list[EntityLabel[str]]] = {}
        for label in labels:
            if label.entity_id is not None:
                of_entity = EntityLabel(label.label, label.event_time, label.sent_at)
                by_unit.setdefault(hash_of(label.entity_id), []).append(of_entity)
        for row in live:
            given = {
                found.key: by_key[found.key] for found in store.unlabelled(session, row.key, WAITING.c.key, by_key)
            }
            for found in store.unlabelled(session, row.key, WAITING.c.unit, by_unit):
                if (text := label_for(found.event_time, found.made_at, by_unit[found.unit])) is not None:
                    given.setdefault(found.key, text)
            store.write_labels(session, row.key, given)
            if given and row.state == OPEN:
                self.settle(session, self.open_step(session, row))

    def add_history(self, session: Session, model_name: str, taken: Taken) -> None:
        """Add what the champion predicted before its step began, and arrived after the step was announced."""
        if not taken.kept and not taken.failed:
            return
        for row in store.live_steps(session, model_name):
            if row.changed is None:
                continue
            changed = RolloutChanged.model_validate(row.changed)
            began_at = microseconds(changed.began_at)
            rows, failed = (
                sum(made_at < began_at for made_at in of_version.get(changed.champion_version, ()))
                for of_version in (taken.kept, taken.failed)
            )
            if rows or failed:
                row.history, row.history_errors = row.history + rows + failed, row.history_errors + failed
                row.unsent = row.unsent or row.measured_at is not None

    def open_step(self, session: Session, row: StepRow) -> OpenStep:
        """Return an announced step; it may be used without the lock as long as nothing is added to it."""
        changed = RolloutChanged.model_validate(row.changed)
        champion = session.get(VersionRow, (row.model_name, changed.champion_version))
        promoted = OutputFormat.model_validate(champion.output) if champion and champion.output else None
        return OpenStep(
            session,
            row,
            self._policies.output(row.model_name, promoted),
            self._policies.output(row.model_name, changed.tried.output),
            readable=champion is not None and champion.epoch is not None,
        )

    def settle(self, session: Session, step: OpenStep, *, last: bool = False) -> None:
        """Count the labels that are mature, save the sums, and emit them if that is due."""
        now = self._clock()
        step.settle(now)
        step.save()
        self._measures.emit(session, step, now, last=last)

    def recounted(self, session: Session, step_key: int, counted_from: datetime) -> None:
        """The earlier predictions of the step were read again.

        `counted_from`: later than its begin when some of them are gone.
        """
        row = session.get(StepRow, step_key)
        if row is not None and row.recounting:
            row.recounting = False
            row.counted_from = counted_from
            if row.state == OPEN:
                self.settle(session, self.open_step(session, row))

    def _begin(self, session: Session, row: StepRow, event: RolloutChanged) -> None:
        began_at = as_utc(event.began_at) or self._clock()
        champion = versions.version_of(session, event.model_name, event.champion_version)
        since = predicted_since(session, event.model_name, event.champion_version, began_at)
        row.history = max(0, champion.predicted - since) + champion.failed
        row.history_errors = champion.failed
        row.counted_from = began_at
        row.sums = empty(event).model_dump(mode="json")
        born_at = session.scalar(select(BirthRow.born_at))
        if born_at is not None and began_at < born_at and event.mode is not Mode.OFF:
            row.recounting = True
            self._jobs.enqueue(
                session, kind=RECOUNT, key=event.model_name, payload={"step": row.key}, job_id=f"{RECOUNT}:{row.key}"
            )

    def _announced(self, session: Session, row: StepRow) -> None:
        step = self.open_step(session, row)
        while early := store.unannounced(session, row.key):
            step.count(early)
        self.settle(session, step)

    def _end(self, session: Session, row: StepRow) -> None:
        self.settle(session, self.open_step(session, row), last=True)
        row.state, row.ended_at = ENDED, self._clock()

    def _add_labels(
        self, session: Session, row: StepRow, new: Iterable[TrialRow], of_step: Iterable[tuple[TrialRow, Made]]
    ) -> None:
        """Assign labels that arrived before their prediction."""
        if row.changed is not None and not row.changed.get("loss"):
            return
        made = {trial.key: place_of(row) for trial, row in reversed(list(of_step))}
        rows = list(new)
        for trial, label in zip(rows, labels_of(session, [made[each.key] for each in rows]), strict=True):
            trial.label = None if label is None else label.label
