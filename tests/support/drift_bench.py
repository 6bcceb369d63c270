"""Drift's real handlers on a real database, without the bus around them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from chassis.database import Database
from chassis.jobs import JobRow, Jobs
from chassis.outbox import Outbox, OutboxRow
from contracts import (
    Dataset,
    Envelope,
    GroundTruthReceived,
    PredictionMade,
    RolloutChanged,
    RolloutMeasured,
    new_envelope,
)
from contracts.policy import ModelPolicy
from drift.database import chunks, places
from drift.database.columns import scalars
from drift.database.records import loads
from drift.database.tables import WindowRow
from drift.handlers import Handlers
from drift.housekeeping import Housekeeper
from drift.ingestion import labels, predictions
from drift.policies import DriftPolicies
from drift.rollouts.measurer import Measurer
from drift.rollouts.measures import Measures, measured
from drift.rollouts.rollouts import Rollouts
from drift.rollouts.tables import StepRow
from drift.settings import Settings
from support.drifting import promotion

REFERENCE = Dataset(uri="runs:/x/datasets/reference.parquet", digest="sha256:" + "1" * 64)


class Bench:
    def __init__(self, url: str, policies: Mapping[str, ModelPolicy] | None = None, **settings: Any) -> None:
        self.database = Database(url)
        self.database.migrate("drift")
        self.settings = Settings(_env_file=None, **settings)
        self.now: datetime | None = None
        """The time by which labels mature; None: as it is."""
        jobs, rules = Jobs(self.database, owner="test"), DriftPolicies(policies or {})
        self.queue = jobs
        self.rollouts = Rollouts(jobs, rules, Measures(Outbox("drift")), self.clock)
        self.measurer = Measurer(self.database, self.rollouts, self.clock)
        self.handlers = Handlers(jobs, rules, self.settings, self.rollouts)
        self.keeper = Housekeeper(self.database, self.handlers, self.settings)

    def predict(self, made: list[Envelope[PredictionMade]]) -> None:
        with self.database.transaction() as session:
            self.handlers.on_predictions(session, predictions.gather(map(predictions.of_event, made)))

    def tell(self, told: list[Envelope[GroundTruthReceived]]) -> None:
        with self.database.transaction() as session:
            self.handlers.on_ground_truth(session, labels.gather(map(labels.of_event, told)))

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """The rows of each window as they are read from its chunks, with their labels, in order of arrival."""
        found: dict[str, list[dict[str, Any]]] = {}
        with self.database.reading() as session:
            for window in session.scalars(select(WindowRow).order_by(WindowRow.key)).all():
                rows = []
                for part in chunks.chunks_of(session, window.key):
                    names = ("request", "row", "entity", "event_time", "made_at", "score")
                    columns = {name: part.values(name) for name in names}
                    columns |= {name: scalars(part, name) for name in part.kinds}
                    rows += [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
                given = {seat: loads(label) for seat, label, _ in places.given_of(session, window.key)}
                found[window.id] = [{**row, "label": given.get(seat)} for seat, row in enumerate(rows)]
        return found

    def promote(self, **event: Any) -> None:
        with self.database.transaction() as session:
            self.handlers.on_promoted(session, promotion(reference=REFERENCE, **event))

    def clock(self) -> datetime:
        return self.now or datetime.now(UTC)

    def roll_out(self, changed: RolloutChanged) -> None:
        with self.database.transaction() as session:
            self.rollouts.on_changed(session, new_envelope(changed, source="gatekeeper"))

    def measured(self) -> list[RolloutMeasured]:
        """What was emitted, oldest first."""
        with self.database.reading() as session:
            query = select(OutboxRow).where(OutboxRow.topic == RolloutMeasured.topic).order_by(OutboxRow.id)
            return [RolloutMeasured.model_validate_json(row.value) for row in session.scalars(query)]

    def sums(self, **step: Any) -> RolloutMeasured:
        """The sums of the newest step, or of `step`, emitted or not."""
        with self.database.reading() as session:
            row = session.scalars(select(StepRow).filter_by(**step).order_by(StepRow.key.desc())).first()
            assert row is not None
            return measured(self.rollouts.open_step(session, row), self.clock())

    def windows(self) -> list[tuple[str, str, int, int]]:
        with self.database.reading() as session:
            query = select(WindowRow.id, WindowRow.state, WindowRow.rows, WindowRow.labelled).order_by(WindowRow.key)
            return [tuple(row) for row in session.execute(query)]

    def jobs(self) -> list[tuple[str, str]]:
        with self.database.reading() as session:
            found = session.scalars(select(JobRow).order_by(JobRow.sequence))
            return [(row.kind, row.payload["window"]) for row in found]

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        with self.database.reading() as session:
            query = select(JobRow).where(JobRow.kind == kind).order_by(JobRow.sequence)
            return [row.payload for row in session.scalars(query)]

    def count(self, table: Any, *where: Any) -> int:
        with self.database.reading() as session:
            return session.scalar(select(func.count()).select_from(table).where(*where)) or 0

    def judged(self) -> None:
        """As if the jobs had run long ago."""
        with self.database.transaction() as session:
            session.execute(
                update(WindowRow)
                .where(WindowRow.state == "complete")
                .values(
                    state="scored",
                    data_outcome="Passed",
                    performance_outcome="Passed",
                    closed_at=datetime.now(UTC) - timedelta(hours=1),
                )
            )
