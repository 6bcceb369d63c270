"""This service: a replica as a separate process, with a real broker and a real MLflow."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
from benchmarks.serving.protocols import Protocol
from benchmarks.serving.servers import Gone, Running
from benchmarks.serving.subjects import Subject

from embedded_kafka import EmbeddedKafka
from serving.settings import Settings
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.replica import Replica
from support.versions import Uploads
from support.waiting import eventually

MODEL = "bench"


@dataclass(frozen=True)
class Surroundings:
    """Dependencies of a replica; started once per run."""

    bootstrap_servers: str
    tracking_uri: str
    folder: Path


@contextmanager
def surroundings() -> Iterator[Surroundings]:
    """Start a broker, an MLflow and a temporary folder."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        mlflow = MlflowServer(folder / "mlflow")
        with EmbeddedKafka(folder / "kafka") as kafka:
            try:
                mlflow.start()
                yield Surroundings(kafka.bootstrap_servers, mlflow.uri, folder)
            finally:
                mlflow.stop()


@contextmanager
def replica_of(
    around: Surroundings, name: str, env: dict[str, str] | None = None
) -> Iterator[tuple[Replica, BusClient]]:
    """Start a replica that is ready, with topics of its own and a client for them."""
    prefix = f"{name}-{uuid4().hex[:8]}."
    replica = Replica(around.bootstrap_servers, prefix, around.tracking_uri, around.folder / prefix, env=env or {})
    bus = BusClient(around.bootstrap_servers, prefix)
    try:
        replica.start_ready()
        yield replica, bus
    finally:
        bus.close()
        replica.stop()


@dataclass(frozen=True)
class Gauntlet:
    key: str
    faces: Mapping[str, Protocol]
    publishing: bool
    around: Surroundings

    def takes(self, subject: Subject, workers: int) -> str | None:
        known = "workers" in Settings.model_fields
        return None if workers == 1 or known else "a replica has no SERVING_WORKERS yet"

    @contextmanager
    def running(self, subject: Subject, workers: int) -> Iterator[Running]:
        env = {"SERVING_PUBLISH_PREDICTIONS": str(self.publishing).lower(), "SERVING_WORKERS": str(workers)}
        with replica_of(self.around, "bench", env) as (replica, bus):

            def still_there() -> None:
                if replica.process is None or replica.process.poll() is not None:
                    raise Gone(f"the replica ended: {replica.log.read_text()[-3000:]}")

            version = Uploads(self.around.tracking_uri).folder(MODEL, 1, subject.folder, subject.digest)
            bus.publish(version.promoted(1))
            eventually(lambda: replica.answers_with(MODEL, 1, 1), timeout=120)
            print(f"  the replica answers by {replica.model(MODEL).get('form')}", file=sys.stderr, flush=True)
            yield Running(replica.port, still_there)


def answers(port: int, path: str) -> bool:
    """Return whether `path` exists on the server."""
    return httpx.post(f"http://127.0.0.1:{port}{path}", json={}).status_code not in (404, 405)
