"""From an event on Kafka to the message at its receiver: `python -m benchmarks.notification_latency`.

A running gatekeeper, a webhook on this machine, one event at a time. Goal: half of the messages within 2 s. The time
includes Kafka, the log of events, the plan and the signed POST.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import yaml

from contracts import TrainingFailed
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.gatekeepers import Gatekeepers
from support.mlflow_server import MlflowServer
from support.notifying import SECRET, receiving
from support.waiting import eventually

EVENTS = 50
GOAL_SECONDS = 2.0


def main() -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiver = stack.enter_context(receiving())
        kafka = stack.enter_context(EmbeddedKafka(folder / "kafka"))
        mlflow = MlflowServer(folder / "mlflow")
        mlflow.start()
        stack.callback(mlflow.stop)
        (folder / "secret").write_text(SECRET)
        target = {"webhook": receiver.url("/hook"), "secret": {"file": "secret"}}
        content = {"targets": {"hook": target}, "subscriptions": [{"name": "all", "target": "hook"}]}
        (folder / "notifications.yaml").write_text(yaml.safe_dump(content))
        bus = BusClient(kafka.bootstrap_servers, f"n{uuid4().hex[:8]}.")
        bus.ensure_topics()
        stack.callback(bus.close)
        url = f"sqlite:///{folder / 'gatekeeper.db'}"
        service = Gatekeepers(kafka.bootstrap_servers, bus.prefix, url, mlflow.uri, folder)
        stack.callback(service.stop)
        service.start_ready()
        eventually(lambda: _told(bus, receiver.received), timeout=60)
        took = sorted(_seconds(bus, receiver.received) for _ in range(EVENTS))
    half, most = statistics.median(took), took[int(len(took) * 0.95)]
    print(f"{EVENTS} events, one at a time: p50 {half:.2f} s, p95 {most:.2f} s (goal: p50 ≤ {GOAL_SECONDS:g} s)")
    return 0 if half <= GOAL_SECONDS else 1


def _told(bus: BusClient, received: list[object]) -> bool:
    bus.publish(TrainingFailed(model_name="warm", job_id=uuid4().hex, reason="first"))
    return bool(received)


def _seconds(bus: BusClient, received: list[object]) -> float:
    job = uuid4().hex
    began = time.perf_counter()
    bus.publish(TrainingFailed(model_name="measured", job_id=job, reason="no rows"))
    eventually(lambda: any(job.encode() in each.body for each in list(received)[-5:]), timeout=30, interval=0.01)  # type: ignore[attr-defined]
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
