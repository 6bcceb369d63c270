"""Windows as steps of the version's run: a real MLflow server, read with plain MLflow."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from sqlalchemy import update

from chassis.errors import Transient
from chassis.job_worker import JobRun
from chassis.registry import Registry, logged_metrics
from contracts import Dataset
from drift.database.tables import WindowRow
from drift.detection import live_metrics
from drift.detection.live_metrics import LIVE_METRICS, LiveMetrics
from support.drift_bench import Bench
from support.drifting import START, WINDOW, DriftService, customers, predictions, promotion, truths
from support.mlflow_server import MlflowServer
from support.waiting import eventually


def version_of(client: MlflowClient, model: str) -> str:
    """Register version 1 of the model, from a run with a metric of its training. Returns the run."""
    run = client.create_run(experiment_id="0").info.run_id
    client.log_metric(run, "roc_auc", 0.9)
    client.create_registered_model(model)
    client.create_model_version(model, source=f"runs:/{run}/model", run_id=run)
    return run


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_server: MlflowServer):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server.uri)
    bench = Bench(f"sqlite:///{tmp_path / 'test.db'}")
    yield bench
    bench.database.close()


def a_judged_window(bench: Bench, model: str, of: tuple[live_metrics.Of, ...] = ("data", "performance")) -> None:
    bench.promote(model=model)
    bench.predict(predictions(customers(2000, 1), model=model))
    tests = [{"metric": "roc_auc", "observed": 0.8125}, {"metric": "f1", "observed": None}]
    with bench.database.transaction() as session:
        scores = [{"feature": "age", "drifted": True}, {"feature": "age", "drifted": True}]
        session.execute(
            update(WindowRow)
            .where(WindowRow.model_name == model)
            .values(
                drift_share=0.25,
                scores=[*scores, {"feature": "plan", "drifted": False}],
                proxy={"metric": "roc_auc", "estimated": 0.875},
                performance={"labelled": 1900, "tests": tests},
            )
        )
    with bench.database.transaction() as session:
        from drift.database.store import newest_windows

        [window] = newest_windows(session, model, None, 1)
        for each in of:
            live_metrics.enqueue(bench.queue, session, window, each)


def test_a_verdict_is_a_step_of_the_versions_run_and_writing_it_again_adds_no_point(
    bench: Bench, mlflow_server: MlflowServer
) -> None:
    client, model = MlflowClient(mlflow_server.uri), f"shop-{uuid4().hex[:8]}"
    run = version_of(client, model)
    writer = LiveMetrics(bench.database, Registry(mlflow_server.uri))
    a_judged_window(bench, model)
    mlflow_server.stop()
    jobs = [bench.queue.claim([LIVE_METRICS])]
    with pytest.raises(Transient):
        writer.run(JobRun(bench.queue, jobs[0]))
    mlflow_server.start()
    for job in jobs * 2:
        writer.run(JobRun(bench.queue, job))
    with bench.database.transaction() as session:
        bench.queue.end(session, jobs[0])
    second = bench.queue.claim([LIVE_METRICS])
    for _ in range(2):
        writer.run(JobRun(bench.queue, second))
    found = {
        name.removeprefix("gauntlet.window."): client.get_metric_history(run, name)
        for name in client.get_run(run).data.metrics
        if name.startswith("gauntlet.window.")
    }
    assert {name: [point.value for point in points] for name, points in found.items()} == {
        "rows": [2000],
        "drift_share": [0.25],
        "drifted_columns": [1],
        "estimated.roc_auc": [0.875],
        "labelled": [1900],
        "roc_auc": [0.8125],
    }
    end = datetime(2026, 3, 1, 0, 19, tzinfo=UTC)
    assert end > START
    assert {(point.step, point.timestamp) for points in found.values() for point in points} == {
        (1, int(end.timestamp() * 1000))
    }
    assert logged_metrics(client.get_run(run)) == {"roc_auc": 0.9}, "what its training logged stays what it was"


def test_a_version_without_a_run_has_one_of_its_own_and_one_that_is_gone_has_none(
    bench: Bench, mlflow_server: MlflowServer
) -> None:
    client, model = MlflowClient(mlflow_server.uri), f"shop-{uuid4().hex[:8]}"
    client.create_registered_model(model)
    client.create_model_version(model, source="s3://nowhere/model")
    writer = LiveMetrics(bench.database, Registry(mlflow_server.uri))
    for name in (model, "unknown"):
        a_judged_window(bench, name, of=("data",))
        job = bench.queue.claim([LIVE_METRICS])
        assert job is not None
        writer.run(JobRun(bench.queue, job))
        with bench.database.transaction() as session:
            bench.queue.end(session, job)
    experiment = client.get_experiment_by_name("gauntlet-windows")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], f"tags.`gauntlet.keeps` = '{model} version 1'")
    assert [run.data.metrics["gauntlet.window.rows"] for run in runs] == [2000]


def test_the_service_writes_both_verdicts_of_a_window(
    drift: DriftService, shop: str, reference: Dataset, mlflow_server: MlflowServer
) -> None:
    client = MlflowClient(mlflow_server.uri)
    run = version_of(client, shop)
    made = predictions(customers(WINDOW, 2), model=shop)
    drift.publish([promotion(model=shop, reference=reference), *truths(made), *made])

    def logged() -> dict[str, float]:
        return {name: value for name, value in client.get_run(run).data.metrics.items() if "window" in name}

    found = eventually(lambda: {"gauntlet.window.rows", "gauntlet.window.labelled"} <= (now := logged()).keys() and now)
    assert found["gauntlet.window.roc_auc"] == 1.0
    assert found["gauntlet.window.rows"] == found["gauntlet.window.labelled"] == WINDOW
    assert found["gauntlet.window.drift_share"] < 0.5
