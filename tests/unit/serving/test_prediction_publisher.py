"""What becomes of predictions when nobody takes them: counted, and never in the way."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from prometheus_client import REGISTRY

from chassis.model_signature import Column
from chassis.row_reader import InputBatch
from serving.inference.prediction import Prediction
from serving.policy.versions import Artifact
from serving.publishing.prediction_events import about, line
from serving.publishing.predictions import PredictionPublisher
from serving.publishing.worker_client import WorkerClient
from serving.settings import Settings
from support.in_process import NOBODY
from support.waiting import eventually

COLUMNS = (Column("distance", "double"),)
ARTIFACT = Artifact("flights", 7, "sha256:" + "0" * 64)


def table(rows: int, value: Any = 1.0) -> InputBatch:
    return InputBatch(COLUMNS, [(value,)] * rows, ())


def prediction(rows: int) -> Prediction:
    return Prediction(None, [0] * rows, [0.5] * rows)


def said(rows: int) -> bytes:
    return about("flights", 7, COLUMNS) + line("request", table(rows), prediction(rows), 1.0)


def dropped(reason: str) -> float:
    return REGISTRY.get_sample_value("gauntlet_serving_predictions_dropped_total", {"reason": reason}) or 0.0


def settings(tmp_path: Path, **changed: Any) -> Settings:
    given = {"kafka_bootstrap_servers": NOBODY, "data_dir": tmp_path, "flush_seconds": 0.1, **changed}
    return Settings(_env_file=None, **given)


@pytest.fixture
def process(tmp_path: Path) -> Iterator[WorkerClient]:
    process = WorkerClient(settings(tmp_path, prediction_buffer_rows=10))
    yield process
    process.kill()
    process.bury()


def test_a_model_is_sampled_as_its_policy_says_the_others_as_the_settings_do(tmp_path: Path) -> None:
    publisher = PredictionPublisher(settings(tmp_path), {"flights": 0.0})
    before = dropped("not sampled")
    for name in ("flights", "churn"):
        artifact = Artifact(name, 7, ARTIFACT.digest)
        publisher.offer(artifact, table(3), prediction(3), request_id="request", latency_ms=1.0)
    assert dropped("not sampled") == before + 3 and publisher._rows == 3


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if is_publishing(child)]


def is_publishing(child: psutil.Process) -> bool:
    try:
        return "serving.publishing.worker" in child.cmdline()
    except psutil.Error:  # it has just ended
        return False


def test_what_a_killed_process_had_not_read_is_counted(process: WorkerClient) -> None:
    [child] = children()
    child.suspend()
    process.send(said(3), 3)
    before = dropped("publisher ended")
    process.kill()
    assert process.bury() == -signal.SIGKILL
    assert dropped("publisher ended") == before + 3
    process.send(said(3), 3)  # to nobody: no exception


def test_what_kafkas_client_does_not_take_or_deliver_is_counted(process: WorkerClient) -> None:
    full, stopped, ended = dropped("buffer full"), dropped("stopped"), dropped("publisher ended")
    process.send(said(15), 15)
    eventually(lambda: process.waiting == 10)
    assert dropped("buffer full") == full + 5
    process.finish(0.0)
    assert process.bury() == 0
    assert (dropped("stopped"), dropped("publisher ended")) == (stopped + 10, ended)


def test_the_process_ends_with_its_input_and_not_by_a_signal_to_its_group(process: WorkerClient) -> None:
    process.send(said(5), 5)
    eventually(lambda: process.waiting == 5)
    [child] = children()
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGTERM)
    process.send(said(5), 5)
    eventually(lambda: process.waiting == 10)
    process.finish(0.0)
    assert process.bury() == 0


async def offering(publisher: PredictionPublisher, *rows: int) -> None:
    for count in rows:
        publisher.offer(ARTIFACT, table(count), prediction(count), request_id="request", latency_ms=1.0)


def test_a_process_that_reads_nothing_fills_the_buffer_and_holds_up_no_stop(tmp_path: Path) -> None:
    publisher = PredictionPublisher(settings(tmp_path, prediction_buffer_rows=100_000, prediction_rows_per_second=1e9))
    full, ended = dropped("buffer full"), dropped("publisher ended")

    async def live() -> None:
        await publisher.start()
        child = await asyncio.to_thread(lambda: eventually(children)[0])
        child.suspend()
        await offering(publisher, *[9_000] * 20)
        assert dropped("buffer full") == full + 9 * 9_000
        await publisher.stop()
        assert not child.is_running()

    asyncio.run(live())
    assert dropped("publisher ended") == ended + 11 * 9_000


def test_another_process_follows_one_that_was_killed(tmp_path: Path) -> None:
    publisher = PredictionPublisher(settings(tmp_path))
    stopped = dropped("stopped")

    async def live() -> None:
        await publisher.start()
        [first] = await asyncio.to_thread(lambda: eventually(children))
        first.kill()
        second = await asyncio.to_thread(lambda: eventually(lambda: [c for c in children() if c.pid != first.pid]))
        await offering(publisher, 5)
        await publisher.stop()
        assert not second[0].is_running()

    asyncio.run(live())
    assert dropped("stopped") == stopped + 5, "the second had them; no broker took them"


def test_a_value_that_json_cannot_say_is_counted_and_harms_no_answer(tmp_path: Path) -> None:
    publisher, before = PredictionPublisher(settings(tmp_path)), dropped("not JSON")
    publisher.offer(ARTIFACT, table(2, 10**30), prediction(2), request_id="request", latency_ms=1.0)
    assert dropped("not JSON") == before + 2


def test_nothing_is_started_where_nothing_is_published(tmp_path: Path) -> None:
    publisher = PredictionPublisher(settings(tmp_path, publish_predictions=False))

    async def live() -> None:
        await publisher.start()
        await offering(publisher, 5)
        assert not children()
        await publisher.stop()

    asyncio.run(live())
