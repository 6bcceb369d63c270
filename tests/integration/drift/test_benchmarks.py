"""Benchmarks of drift's side: due once a period, with the newest labelled rows in MLflow, whatever dies."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
from mlflow import MlflowClient
from sqlalchemy import select

from chassis.digests import digest_file
from chassis.jobs import JobRow, Jobs
from contracts import BenchmarkDue, Envelope, Promoted
from contracts.policy import ModelPolicy
from drift.benchmarks.clock import BenchmarkClock
from drift.benchmarks.scheduler import BENCHMARK, Scheduler
from drift.database.tables import BenchmarkRow
from drift.policies import DriftPolicies
from support.bus_client import BusClient
from support.cli import gauntlet, ok
from support.databases import taking_turns
from support.drift_bench import Bench
from support.drifting import MODEL, POLICY, DriftService, customers, predictions, promotion, truths
from support.waiting import eventually


def promoted(ago: timedelta, **changes: Any) -> Envelope[Promoted]:
    return promotion(**changes).model_copy(update={"time": datetime.now(UTC) - ago})


def announced(bus: BusClient, model: str = MODEL) -> list[BenchmarkDue]:
    found = [event.data for event in bus.events(BenchmarkDue.topic) if event.model_name == model]
    return [event for event in found if isinstance(event, BenchmarkDue)]


class Clocks:
    """Two replicas' clocks on one database."""

    def __init__(self, bench: Bench, every: str) -> None:
        self.bench, self.now = bench, datetime.now(UTC)
        policy = ModelPolicy.model_validate({"model": MODEL, "benchmark": {"every": every}})
        policies = DriftPolicies({MODEL: policy})
        scheduler = Scheduler(Jobs(bench.database, owner="test"), policies)
        self.clocks = [BenchmarkClock(bench.database, scheduler, policies, lambda: self.now) for _ in range(2)]

    def tick(self, after: timedelta = timedelta(0)) -> list[str]:
        """The benchmarks that were begun so far, after all clocks have looked."""
        self.now += after
        for clock in self.clocks:
            clock.once()
        with self.bench.database.reading() as session:
            query = select(JobRow).where(JobRow.kind == BENCHMARK).order_by(JobRow.sequence)
            return [row.payload["benchmark_id"] for row in session.scalars(query)]

    def row(self) -> BenchmarkRow:
        with self.bench.database.reading() as session:
            return session.get_one(BenchmarkRow, MODEL)

    def end(self) -> None:
        with self.bench.database.transaction() as session:
            session.get_one(BenchmarkRow, MODEL).running = None


def test_a_period_has_one_benchmark_and_waits_for_enough_labels(bench: Bench) -> None:
    clocks, day = Clocks(bench, "1d"), timedelta(days=1)
    assert clocks.tick(day) == [], "there is no such model yet"
    bench.promote()
    assert clocks.tick() == [], "a day has passed, but not since the promotion"
    made = predictions(customers(700, 1))
    bench.predict(made)
    bench.tell(truths(made[:199]))
    assert clocks.tick(day) == []
    assert "at least 200 are needed" in (clocks.row().waits or "")
    bench.tell(truths(made[199:]))
    begun = clocks.tick()
    assert len(begun) == 1 and begun[0].startswith("shop-2") and clocks.row().waits is None
    assert clocks.tick(day) == begun, "it runs: the next one is not begun"
    clocks.end()
    assert len(clocks.tick()) == 2 and len(clocks.tick()) == 2
    clocks.end()
    assert len(clocks.tick(0.9 * day)) == 3
    clocks.end()
    assert len(clocks.tick(0.05 * day)) == 3
    assert len(clocks.tick(5 * day)) == 4, "of five periods in which nothing ran, one"


def test_a_requested_one_has_the_newest_labelled_rows_as_they_were_predicted(
    drift: DriftService, bus: BusClient, shop: str, tmp_path: Path
) -> None:
    path = f"/models/{shop}/benchmark"
    assert drift.ask(path)[0] == 404
    drift.publish([promotion(model=shop)])
    frame = customers(500, 3)
    frame["member"], frame["visits"], frame["note"] = frame["age"] > 40, range(500), [1, "a"] * 250
    made = predictions(frame, model=shop, entity=True)
    drift.publish(made)
    drift.publish(truths(made[:150]))
    eventually(lambda: drift.ask(path)[1].get("labelled") == 150 if drift.ask(path)[0] == 200 else None, timeout=60)
    ask = partial(httpx.post, f"http://127.0.0.1:{drift.port}{path}", json={"actor": "ada", "reason": "to see it"})
    refused = ask(timeout=30)
    at = ("--drift", f"http://127.0.0.1:{drift.port}")
    assert "there are 150" in gauntlet("benchmark", shop, "--now", "--actor", "ada", *at).err
    assert refused.status_code == 409 and "at least 200 are needed, there are 150" in refused.json()["detail"]
    drift.publish(truths(made[150:400]))
    eventually(lambda: drift.ask(path)[1]["labelled"] == 400, timeout=60)
    accepted = ask(timeout=30)
    assert accepted.status_code == 202
    [due] = eventually(lambda: announced(bus, shop), timeout=60)
    assert (due.benchmark_id, due.model_version, due.requested_by) == (accepted.json()["benchmark_id"], 1, "ada")
    assert (due.label, due.entity, due.event_time, due.rows.rows) == ("label", "entity", "event_time", 400)
    assert (due.start, due.end) == (made[0].data.event_time, made[399].data.event_time)

    run, _, stored = due.rows.uri.removeprefix("runs:/").partition("/")
    file = Path(MlflowClient(drift.mlflow_uri).download_artifacts(run, stored, str(tmp_path)))
    assert digest_file(file) == due.rows.digest
    table = pq.read_table(file)
    assert json.loads(table.schema.metadata[b"gauntlet"])["label"] == "label"
    read = table.to_pandas()
    assert read["plan"].tolist() == frame["plan"][:400].tolist() and read["age"].tolist() == frame["age"][:400].tolist()
    assert read["member"].dtype == bool and read["visits"].tolist() == list(range(400))
    assert read["note"].tolist() == ["1", "a"] * 200, "a column of mixed values is text"
    assert read["entity"].tolist() == [item.data.entity_id for item in made[:400]]
    assert read["label"].tolist() == [item.data.label for item in truths(made[:400])]
    shown = drift.ask(path)[1]
    assert (shown["newest"], shown["running"], shown["every_seconds"]) == (due.benchmark_id, None, None)
    assert "has no schedule" in shown["reason"]
    said = ok("benchmark", shop, *at).out
    assert "has no schedule" in said and due.benchmark_id in said


@taking_turns("point", "before_result", "before_mark", "before_transaction")
def test_a_service_killed_in_the_middle_announces_the_period_once(
    own_drift: DriftService, own_bus: BusClient, point: str
) -> None:
    """Of an hour, promoted an hour and a half ago: one period has ended."""
    drift = own_drift
    drift.policy(f"{POLICY}\nbenchmark: {{every: 1h}}")
    drift.settings["DRIFT_LABEL_MATURITY"] = "0.001s"
    drift.start(dying_at=point)
    made = predictions(customers(300, 2))
    drift.publish([promoted(timedelta(hours=1.5)), *made])
    drift.publish(truths(made))
    eventually(drift.died, timeout=90)
    drift.start_ready()
    eventually(lambda: announced(own_bus), timeout=90)
    eventually(drift.idle, timeout=60)
    found = list(own_bus.events(BenchmarkDue.topic))
    assert len({event.id for event in found}) == 1, "one event, however often it is published"
    status, shown = drift.ask(f"/models/{MODEL}/benchmark")
    assert status == 200 and shown["newest"] == found[0].data.benchmark_id and shown["running"] is None
    assert shown["reason"] == "the period has not ended"
