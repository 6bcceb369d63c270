"""Customers of a made-up shop for the tests of drift: events of them, a reference in MLflow, and the service itself."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from chassis.digests import digest_file
from chassis.processes.launcher import Process
from contracts import (
    Cause,
    Dataset,
    DriftDetected,
    Envelope,
    Event,
    GroundTruthReceived,
    Output,
    OutputFormat,
    PredictionMade,
    Promoted,
    new_envelope,
)
from contracts.cloudevents import encode
from serving.publishing.worker import partition_of
from support.bus_client import BusClient
from support.processes import end, free_port, kill, spawn
from support.waiting import eventually

MODEL = "shop"
WINDOW = 400
POLICY = f"{{window: {{rows: {WINDOW}}}, drift_share: 0.5, after: 1 of 1, cooldown: 1h}}"
EVIDENTLY = "Drift is detected for"
"""In its report."""
START = datetime(2026, 3, 1, tzinfo=UTC)


def customers(count: int, seed: int, *, shift: float = 0.0) -> pd.DataFrame:
    """Three features; `shift` moves all of them."""
    rng = np.random.default_rng(seed)
    plans = ["enterprise"] if shift else ["basic", "plus", "pro"]
    return pd.DataFrame(
        {
            "age": rng.normal(40 + 10 * shift, 10, count),
            "spend": rng.gamma(2.0 + shift, 10.0, count),
            "plan": rng.choice(np.array(plans, dtype=object), count),
        }
    )


def predictions(
    frame: pd.DataFrame,
    *,
    model: str = MODEL,
    version: int = 1,
    request: str | None = None,
    entity: bool = False,
    seed: int = 7,
) -> list[Envelope[PredictionMade]]:
    """One event a row: requests of 100 rows, one minute apart in event time. Scores rise with `truth_of` below."""
    name = request or uuid4().hex[:8]
    scores = np.random.default_rng(seed).random(len(frame))
    return [
        new_envelope(
            PredictionMade(
                model_name=model,
                request_id=f"{name}-{number // 100}",
                row=number % 100,
                entity_id=f"{name}-customer-{number}" if entity else None,
                event_time=START + timedelta(minutes=number // 100),
                features=row,
                champion=Output(model_version=version, score=float(scores[number]), label=int(scores[number] > 0.5)),
                latency_ms=1.0,
            ),
            source="serving",
        )
        for number, row in enumerate(frame.to_dict("records") or [{}] * len(frame))  # pandas has none without columns
    ]


def truths(
    made: Iterable[Envelope[PredictionMade]],
    *,
    right: bool = True,
    by_entity: bool = False,
    names: tuple[Any, Any] = (0, 1),
) -> list[Envelope[GroundTruthReceived]]:
    """What really happened: as the model said, or the opposite. `names`: how the two classes are written."""
    return [
        new_envelope(
            GroundTruthReceived(
                model_name=item.data.model_name,
                request_id=None if by_entity else item.data.request_id,
                row=0 if by_entity else item.data.row,
                entity_id=item.data.entity_id if by_entity else None,
                label=names[((item.data.champion.score or 0) > 0.5) == right],
                event_time=item.data.event_time if by_entity else None,
            ),
            source="test",
        )
        for item in made
    ]


def promotion(
    *,
    model: str = MODEL,
    version: int = 1,
    epoch: int = 1,
    reference: Dataset | None = None,
    auc: float = 0.9,
    output: OutputFormat | None = None,
    metric: str = "roc_auc",
    baseline: dict[str, float] | None = None,
) -> Envelope[Promoted]:
    return new_envelope(
        Promoted(
            model_name=model,
            model_version=version,
            epoch=epoch,
            artifact_uri=f"models:/{model}/{version}",
            artifact_digest="sha256:" + "0" * 64,
            cause=Cause.GATE,
            actor="gatekeeper",
            metric=metric,
            baseline=baseline or {"roc_auc": auc},
            reference=reference,
            output=output,
        ),
        source="gatekeeper",
    )


def log_reference(tracking_uri: str, frame: pd.DataFrame, folder: Path) -> Dataset:
    """Put the rows into MLflow as the trainer does."""
    from mlflow import MlflowClient

    path = folder / "reference.parquet"
    frame.to_parquet(path)
    client = MlflowClient(tracking_uri)
    run = client.create_run(experiment_id="0")
    client.log_artifact(run.info.run_id, str(path), "datasets")
    uri = f"runs:/{run.info.run_id}/datasets/reference.parquet"
    return Dataset(uri=uri, digest=digest_file(path), rows=len(frame))


@dataclass
class DriftService:
    """A real drift process, and a client of its topics and its API."""

    bootstrap_servers: str
    prefix: str
    database_url: str
    mlflow_uri: str
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    port: int = field(default_factory=free_port)
    process: Process | None = None

    def policy(self, text: str, model: str = MODEL) -> None:
        folder = self.folder / "policies"
        folder.mkdir(exist_ok=True)
        (folder / f"{model}.yaml").write_text(f"model: {model}\ndrift: {text}\n")

    def start(self, *, dying_at: str | None = None) -> None:
        (self.folder / "policies").mkdir(exist_ok=True)
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "MLFLOW_TRACKING_URI": self.mlflow_uri,
            "POLICIES_DIR": str(self.folder / "policies"),
            "DATA_DIR": str(self.folder / "data"),
            "DRIFT_PORT": str(self.port),
            "DRIFT_SWEEP_SECONDS": "1",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **self.settings,
        }
        module = ["support.crash", dying_at, str(self.folder / "died"), "drift.app"] if dying_at else ["drift"]
        self.process = spawn([sys.executable, "-m", *module], env, self.folder / "drift.log")

    def start_ready(self) -> None:
        self.start()
        eventually(self.ready, timeout=90)

    def stop(self) -> None:
        if self.process is not None:
            end(self.process)

    def kill(self) -> None:
        assert self.process is not None
        kill(self.process)

    def died(self) -> bool:
        assert self.process is not None
        return self.process.poll() is not None

    def ready(self) -> bool:
        return self.ask("/ready")[0] == 200

    def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, Any]:
        """Status and body; status 0 when nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method, data=body)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _parsed(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _parsed(error.read())
        except OSError:
            return 0, None

    def windows(self, model: str = MODEL) -> list[dict[str, Any]]:
        """Oldest first; none while the model is unknown."""
        status, found = self.ask(f"/models/{model}/windows?limit=1000")
        return list(reversed(found)) if status == 200 else []

    def window_that(self, holds: Callable[[dict[str, Any]], Any], model: str = MODEL) -> dict[str, Any]:
        """The oldest window of which it is true, once there is one."""
        return eventually(lambda: next((window for window in self.windows(model) if holds(window)), None), timeout=60)

    def page(self, window_id: str) -> str:
        status, page = self.ask(f"/reports/{window_id}")
        assert status == 200, page
        return str(page)

    def drawn(self, window_id: str) -> str:
        """The page of a window, once Evidently's report is on it."""
        return eventually(lambda: EVIDENTLY in (page := self.page(window_id)) and page, timeout=90)

    def idle(self, model: str = MODEL) -> bool:
        """Everything read, every closed window judged."""
        return not any(self.behind(event) for event in (Promoted, PredictionMade, GroundTruthReceived)) and all(
            window["data"]["outcome"] for window in self.windows(model) if window["state"] != "filling"
        )

    def publish(self, events: Sequence[Envelope[Any]], spread: int = 1) -> None:
        """`spread`: over how many partitions, by entity, as serving does for a hot model."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap_servers, acks="all", linger_ms=5)
        try:
            sent = []
            for envelope in events:
                key, value, headers = encode(envelope)
                topic = self.prefix + envelope.data.topic
                place = (
                    {}
                    if spread == 1
                    else {
                        "partition": partition_of(
                            key, envelope.data.entity_id, spread, len(producer.partitions_for(topic))
                        )
                    }
                )
                sent.append(producer.send(topic, key=key, value=value, headers=headers, **place))
            for future in sent:
                future.get(30)
        finally:
            producer.close()

    def behind(self, event: type[Event]) -> int:
        """How many records of the event's topic its group has not committed."""
        consumer, partitions = self._group(event)
        try:
            ends = consumer.end_offsets(partitions)
            return sum(ends[item] - (consumer.committed(item) or 0) for item in partitions)
        finally:
            consumer.close()

    def rewind(self, *events: type[Event]) -> None:
        """Let the (stopped) service read the topics from offset zero again."""
        for event in events:
            consumer, partitions = self._group(event)
            try:
                consumer.assign(partitions)
                for partition in partitions:
                    consumer.seek(partition, 0)
                    consumer.position(partition)
                from kafka.structs import OffsetAndMetadata

                consumer.commit({partition: OffsetAndMetadata(0, "", -1) for partition in partitions})
            finally:
                consumer.close()

    def _group(self, event: type[Event]) -> tuple[Any, list[TopicPartition]]:
        topic = self.prefix + event.topic
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap_servers,
            group_id=f"{self.prefix}drift.{event.topic}",
            enable_auto_commit=False,
        )
        return consumer, [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]


def detected(bus: BusClient, model: str = MODEL) -> list[DriftDetected]:
    return [item.data for item in bus.events(DriftDetected.topic) if item.model_name == model]


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
