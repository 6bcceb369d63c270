"""Drift's real handlers on a real database, without the bus around them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update

from chassis.database import Database
from chassis.jobs import JobRow, Jobs
from contracts import Dataset, Envelope, GroundTruthReceived, PredictionMade
from drift.handlers import Handlers
from drift.housekeeping import Housekeeper
from drift.policies import DriftPolicies
from drift.settings import Settings
from drift.tables import WindowRow
from support.drifting import promotion

REFERENCE = Dataset(uri="runs:/x/datasets/reference.parquet", digest="sha256:" + "1" * 64)


class Bench:
    def __init__(self, url: str, **settings: Any) -> None:
        self.database = Database(url)
        self.database.migrate("drift")
        self.settings = Settings(_env_file=None, **settings)
        self.handlers = Handlers(Jobs(self.database, owner="test"), DriftPolicies({}), self.settings)
        self.keeper = Housekeeper(self.database, self.handlers, self.settings)

    def predict(self, made: list[Envelope[PredictionMade]]) -> None:
        with self.database.transaction() as session:
            self.handlers.on_predictions(session, made)

    def tell(self, labels: list[Envelope[GroundTruthReceived]]) -> None:
        with self.database.transaction() as session:
            self.handlers.on_ground_truth(session, labels)

    def promote(self, **event: Any) -> None:
        with self.database.transaction() as session:
            self.handlers.on_promoted(session, promotion(reference=REFERENCE, **event))

    def windows(self) -> list[tuple[str, str, int, int]]:
        with self.database.reading() as session:
            query = select(WindowRow.id, WindowRow.state, WindowRow.rows, WindowRow.labelled).order_by(WindowRow.key)
            return [tuple(row) for row in session.execute(query)]

    def jobs(self) -> list[tuple[str, str]]:
        with self.database.reading() as session:
            found = session.scalars(select(JobRow).order_by(JobRow.sequence))
            return [(row.kind, row.payload["window"]) for row in found]

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
