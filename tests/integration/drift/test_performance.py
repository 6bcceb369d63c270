"""The performance over a version's windows, in both databases: evidence adds up, and no window counts twice."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from chassis.job_worker import JobRun
from chassis.outbox import Outbox, OutboxRow
from chassis.registry import Registry
from contracts import DriftDetected, Envelope, GroundTruthReceived, PredictionMade
from contracts.policy import ModelPolicy
from drift.api.views import late_labels
from drift.database.tables import VersionRow, WindowRow
from drift.detection.emitter import DriftEmitter
from drift.detection.performance_job import PerformanceJob
from drift.handlers import PERFORMANCE
from drift.policies import DriftPolicies
from drift.reports.drawer import Drawer
from drift.reports.drawings import Drawings
from drift.scoring.references import References
from support.drift_bench import Bench
from support.drifting import MODEL, customers, predictions, truths

POLICY = {"problem": "binary", "metric": "accuracy", "drift": {"window": {"rows": 400}, "metric_drop": 0.05}}


class Judge:
    """A bench whose performance jobs run."""

    def __init__(self, url: str, folder: Path, **policy: object) -> None:
        policies = {MODEL: ModelPolicy(model=MODEL, **{**POLICY, **policy})}
        self.bench = Bench(url, policies)
        references = References(Registry("http://127.0.0.1:1"), folder)  # there are no golden predictions to fetch
        rules, settings = DriftPolicies(policies), self.bench.settings
        emitter = DriftEmitter(self.bench.queue, Outbox("drift"), rules, "http://drift")
        drawings = Drawings(self.bench.queue, rules, Drawer(settings, "", ""), settings.windows_kept)
        self.job = PerformanceJob(self.bench.database, references, rules, emitter, drawings)

    def window(self, seed: int, wrong: float, labelled: int = 400) -> list[Envelope[PredictionMade]]:
        """A window of rows, of which this share was predicted wrongly."""
        made = predictions(customers(400, seed), seed=seed)
        self.bench.predict(made)
        self.bench.tell(self.labels(made[:labelled], wrong, seed))
        return made

    @staticmethod
    def labels(made: list[Envelope[PredictionMade]], wrong: float, seed: int) -> list[Envelope[GroundTruthReceived]]:
        is_wrong = np.random.default_rng(seed).permutation(np.arange(len(made)) < wrong * len(made))
        return [truths([item], right=not bad)[0] for item, bad in zip(made, is_wrong, strict=True)]

    def run(self, *, twice: bool = False) -> None:
        jobs = self.bench.queue
        while (job := jobs.claim([PERFORMANCE])) is not None:
            records = [self.job.run(JobRun(jobs, job)) for _ in range(1 + twice)]
            with self.bench.database.transaction() as session:
                jobs.end(session, job)
                records[0](session)
            for record in records[1:]:
                with self.bench.database.transaction() as session:
                    record(session)

    def windows(self) -> list[WindowRow]:
        with self.bench.database.reading() as session:
            return list(session.scalars(select(WindowRow).where(WindowRow.state != "filling").order_by(WindowRow.key)))

    def tests(self) -> dict[str, dict]:
        with self.bench.database.reading() as session:
            return (session.get_one(VersionRow, (MODEL, 1)).performance or {}).get("tests", {})

    def events(self) -> list[DriftDetected]:
        with self.bench.database.reading() as session:
            query = select(OutboxRow).where(OutboxRow.topic == DriftDetected.topic).order_by(OutboxRow.id)
            return [DriftDetected.model_validate_json(row.value) for row in session.scalars(query)]


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registry sets it for MLflow; other tests in this process have their own."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")


@pytest.fixture
def judge(database_url: str, tmp_path: Path):
    judge = Judge(database_url, tmp_path)
    judge.bench.promote(metric="accuracy", baseline={"accuracy": 0.9})
    yield judge
    judge.bench.database.close()


def test_evidence_of_windows_adds_up_until_it_suffices_and_begins_again(judge):
    for seed in range(1, 20):
        judge.window(seed, 0.175)  # the bound is 0.15
        judge.run(twice=True)
        if judge.events():
            break
        assert judge.tests()["metric_drop"]["windows"] == seed, "a job that runs twice counts its window once"
    assert 2 <= seed <= 12
    *before, last = judge.windows()
    assert {window.performance_outcome for window in before} == {"Passed"}
    assert (last.performance_outcome, last.metric, last.observed) == ("Failed", "accuracy", 0.825)
    [event] = judge.events()
    assert (event.kind, event.low, event.high) == ("performance", last.low, last.high)
    assert last.low < 0.825 < last.high
    assert f"from {seed} windows" in event.reason
    assert judge.tests() == {}
    judge.window(50, 0.1)
    judge.run()
    assert judge.tests()["metric_drop"]["windows"] == 1
    assert len(judge.events()) == 1


def test_an_alarm_that_is_held_back_keeps_its_evidence(judge):
    """In the cooldown of another one nobody hears of it: with the next window it is announced."""
    judge.window(1, 0.3)
    judge.run()
    judge.window(2, 0.3)
    judge.run()
    assert [window.performance_held is None for window in judge.windows()] == [True, False]
    assert judge.tests()["metric_drop"]["windows"] == 1
    with judge.bench.database.transaction() as session:
        version = session.get_one(VersionRow, (MODEL, 1))
        version.last_detected_at = datetime.now(UTC) - timedelta(hours=2)
    judge.window(3, 0.15)
    judge.run()
    assert [event.window.id for event in judge.events()] == ["shop-v1-w1", "shop-v1-w3"]
    assert judge.tests() == {}


def test_labels_that_come_after_the_verdict_are_counted(judge):
    made = judge.window(1, 0.1, labelled=390)
    judge.bench.predict(predictions(customers(10, 2)))
    with judge.bench.database.transaction() as session:
        window = session.scalars(select(WindowRow).where(WindowRow.number == 1)).one()
        window.closed_at = datetime.now(UTC) - timedelta(days=8)
    judge.bench.keeper.sweep()
    judge.run()
    [window] = judge.windows()
    assert (window.performance_outcome, window.performance["labelled"], late_labels(window)) == ("Passed", 390, 0)
    judge.bench.tell(judge.labels(made[390:], 0.0, 1))
    judge.run()
    [window] = judge.windows()
    assert (window.labelled, late_labels(window)) == (400, 10)
    assert judge.tests()["metric_drop"]["windows"] == 1


def test_an_alert_is_announced_with_its_metric(database_url, tmp_path):
    judge = Judge(database_url, tmp_path, drift={"window": {"rows": 400}, "alerts": {"f1": 0.9, "brier": 0.5}})
    judge.bench.promote(metric="accuracy", baseline={"accuracy": 0.75})
    judge.window(1, 0.25)
    judge.run()
    [event] = judge.events()
    assert (event.metric, event.bound) == ("f1", 0.9)
    assert event.reason.startswith("f1 0.7") and "its bound 0.9000 (worst acceptable value): worse" in event.reason
    [window] = judge.windows()
    assert [test["metric"] for test in window.performance["tests"]] == ["accuracy", "brier", "f1"]
    assert {test["needed"] for test in window.performance["tests"]} == {60.0}, "three tests share the budget"
    assert judge.tests().keys() == {"metric_drop", "alert brier"}
    judge.bench.database.close()
