"""An event becomes a job: one, however often it comes; or none, where there is nothing to train."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from chassis.database import Database
from chassis.jobs import Job, Jobs
from contracts import DriftDetected, DriftKind, DriftWindow, Envelope, TrainingRequested, new_envelope
from contracts.policy import ModelPolicy
from trainer.handlers import Handlers
from trainer.spec import TrainingTask

POLICIES = {
    "tiny": ModelPolicy(model="tiny", recipe="support.tiny_recipe:recipe"),
    "served-only": ModelPolicy(model="served-only"),
}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'trainer.db'}")
    database.migrate("trainer")
    yield database
    database.close()


class Desk:
    """The handlers, and the jobs that they leave."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.jobs = Jobs(database, owner="test")
        self.handlers = Handlers(self.jobs, POLICIES)

    def give(self, envelope: Envelope[Any]) -> None:
        handle = {
            TrainingRequested: self.handlers.on_training_requested,
            DriftDetected: self.handlers.on_drift_detected,
        }[type(envelope.data)]
        with self.database.transaction() as session:
            handle(session, envelope)

    def found(self) -> list[Job]:
        with self.database.reading() as session:
            return self.jobs.newest(session)


@pytest.fixture
def desk(database: Database) -> Desk:
    return Desk(database)


def drift(model: str, kind: DriftKind = DriftKind.DATA) -> Envelope[DriftDetected]:
    moment = datetime(2024, 1, 3, 12, tzinfo=UTC)
    window = DriftWindow(id="w", rows=2000, start=moment, end=moment)
    event = DriftDetected(model_name=model, model_version=1, kind=kind, window=window, reason="it moved")
    return new_envelope(event, source="drift")


def test_a_request_becomes_a_job_that_knows_its_cause(desk: Desk) -> None:
    asked = new_envelope(TrainingRequested(model_name="tiny", window="w1..w2", reason="a look"), source="cli")
    desk.give(asked)
    (job,) = desk.found()
    task = TrainingTask.model_validate(job.payload)
    assert (job.key, job.kind, task.window) == ("tiny", "train", "w1..w2")
    assert (task.trigger.kind, task.trigger.event_id, task.trigger.reason) == ("request", asked.id, "a look")
    assert job.cause is not None
    assert job.cause.correlation_id == asked.correlation_id


def test_the_same_event_is_one_job_and_the_same_id_from_another_source_a_second(desk: Desk) -> None:
    event = TrainingRequested(model_name="tiny")
    for source in ("cli", "cli", "somebody else"):
        desk.give(new_envelope(event, source=source, event_id="it's ../odd"))
    assert len(desk.found()) == 2
    assert all(job.id.replace("-", "").isalnum() for job in desk.found()), "ids name folders and stand in queries"


def test_a_drift_is_trained_for_with_the_time_at_which_it_was_seen(desk: Desk) -> None:
    desk.give(drift("tiny"))
    (job,) = desk.found()
    task = TrainingTask.model_validate(job.payload)
    assert task.drifted_at == datetime(2024, 1, 3, 12, tzinfo=UTC)
    assert (task.trigger.kind, task.trigger.reason) == ("drift", "it moved")


@pytest.mark.parametrize("model", ["served-only", "unheard-of"])
def test_a_drift_of_a_model_without_a_recipe_trains_nothing(desk: Desk, model: str) -> None:
    desk.give(drift(model))
    assert desk.found() == []


def test_an_estimate_without_labels_trains_nothing_and_is_counted(desk: Desk) -> None:
    before = REGISTRY.get_sample_value("trainer_drifts_ignored_total", {"model": "tiny"}) or 0.0
    desk.give(drift("tiny", DriftKind.PROXY))
    assert desk.found() == []
    assert REGISTRY.get_sample_value("trainer_drifts_ignored_total", {"model": "tiny"}) == before + 1


def test_a_request_for_an_unknown_model_is_a_job_that_will_say_so(desk: Desk) -> None:
    desk.give(new_envelope(TrainingRequested(model_name="unheard-of"), source="cli"))
    assert [job.key for job in desk.found()] == ["unheard-of"]
