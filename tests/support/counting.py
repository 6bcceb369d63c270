"""The smallest real service: counts effects, and passes each event on. `python -m support.counting`.

ModelRegistered: one row and one GatePassed. GroundTruthReceived (a batch): one row a label. A model called `moody`
fails while the file MOOD exists; `stubborn` fails for ever; `slow` takes two seconds, and tells the log when it begins.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic_settings import SettingsConfigDict
from sqlalchemy import Integer, String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, Session, mapped_column

from chassis.bus import Bus
from chassis.database import Base, Database
from chassis.errors import Permanent
from chassis.job_worker import JobRun, JobWorker, Record
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.service import Schema, Topics, build_app, run_service
from chassis.settings import ServiceSettings
from chassis.telemetry import get_logger
from contracts import Envelope, GatePassed, GroundTruthReceived, ModelRegistered, Outcome

log = get_logger(__name__)


class Effect(Base):
    """Deliberately without a unique key: a handler that runs twice leaves two rows."""

    __tablename__ = "effects"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[str] = mapped_column(String(50))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int] = mapped_column(Integer)


class Label(Base):
    __tablename__ = "labels"

    request_id: Mapped[str] = mapped_column(String(200), primary_key=True)


class Tables:
    name = "tables"

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self) -> None:
        Base.metadata.create_all(self._database.engine, tables=[Effect.__table__, Label.__table__])

    async def stop(self) -> None:
        return None


def build(settings: ServiceSettings) -> FastAPI:
    database = Database(settings.database("counting"))
    outbox = Outbox("counting")
    jobs = Jobs(database, owner=f"counting-{os.getpid()}")

    def on_model_registered(session: Session, envelope: Envelope[ModelRegistered]) -> None:
        event = envelope.data
        if event.model_name == "stubborn" or (event.model_name == "moody" and Path(os.environ["MOOD"]).exists()):
            raise Permanent(f"{event.model_name} is in no mood for version {event.model_version}")
        if event.model_name == "slow":
            log.info("slow begins", version=event.model_version)
            time.sleep(2)
        session.add(Effect(kind="handled", model_name=event.model_name, model_version=event.model_version))
        jobs.enqueue(session, kind="work", key=event.model_name, payload={"v": event.model_version}, cause=envelope)

    def on_ground_truth(session: Session, envelopes: Sequence[Envelope[GroundTruthReceived]]) -> None:
        insert: Any = sqlite.insert if database.is_sqlite else postgresql.insert
        rows = [{"request_id": envelope.data.request_id} for envelope in envelopes]
        if any(row["request_id"] == "stubborn" for row in rows):
            raise Permanent("a stubborn label")
        session.execute(insert(Label).values(rows).on_conflict_do_nothing())

    def work(run: JobRun) -> Record:
        version = run.job.payload["v"]

        def record(session: Session) -> None:
            session.add(Effect(kind="worked", model_name=run.job.key, model_version=version))
            passed = GatePassed(
                model_name=run.job.key,
                model_version=version,
                candidate_id=f"{run.job.key}-{version}",
                outcome=Outcome.PASSED,
                reason="counted",
                artifact_uri="none:",
                policy_digest="none",
            )
            outbox.emit(session, passed, cause=run.job.cause)

        return record

    bus = Bus(settings, service="counting", database=database, emits=[GatePassed])
    bus.on(ModelRegistered, on_model_registered)
    bus.on_batch(GroundTruthReceived, on_ground_truth)
    parts = [
        Schema(database, "chassis"),
        Tables(database),
        Topics(settings),
        bus,
        Relay(settings, database),
        JobWorker(jobs, {"work": work}),
    ]
    return build_app("counting", settings, parts=parts, checks={"broker": bus.check, "database": database.check})


class CountingSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="COUNTING_", extra="ignore", populate_by_name=True)


def main() -> int:
    return run_service("counting", CountingSettings(), build)


if __name__ == "__main__":
    sys.exit(main())
