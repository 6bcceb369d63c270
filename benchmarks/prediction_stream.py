"""PredictionMade events per second into drift's database: real broker, real handler, windows filled, jobs enqueued.

`python -m benchmarks.prediction_stream` prints a Markdown table. The events are on the topic before the clock starts:
it measures how fast a service that fell behind catches up. `replayed` reads the same events a second time.
CPU is of this process, consumer and decoding included: it depends less than the rate on other load of the machine.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from kafka import KafkaProducer
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chassis.bus import Bus
from chassis.cloudevents import encode
from chassis.database import Database
from chassis.jobs import Jobs
from chassis.outbox import Outbox
from chassis.topics import ensure_topics
from contracts import Cause, Envelope, Output, PredictionMade, Promoted, new_envelope
from drift.database.tables import PredictionRow
from drift.handlers import Handlers
from drift.policies import DriftPolicies
from drift.rollouts.measures import Measures
from drift.rollouts.rollouts import Rollouts
from drift.settings import Settings
from embedded_kafka import EmbeddedKafka

EVENTS, ROUNDS = 60_000, 3
CARRIERS, ORIGINS = ("UA", "DL", "AA", "B6", "EV"), ("EWR", "JFK", "LGA")


def prediction(number: int, model: str, rng: np.random.Generator) -> PredictionMade:
    """Make a row like those of flights: ten features, 700 bytes of JSON."""
    return PredictionMade(
        model_name=model,
        request_id=f"request-{number // 100:08d}",
        row=number % 100,
        entity_id=f"N{number % 4000:05d}",
        features={
            **{name: float(rng.integers(0, 60)) for name in ("hour", "minute", "weekday", "month")},
            **{name: float(rng.normal()) for name in ("distance", "temperature", "wind", "visibility")},
            "carrier": CARRIERS[number % 5],
            "origin": ORIGINS[number % 3],
        },
        champion=Output(model_version=1, score=float(rng.random()), label=1),
        latency_ms=2.5,
    )


def fill_topic(settings: Settings, models: Sequence[str]) -> None:
    rng = np.random.default_rng(0)
    producer = KafkaProducer(bootstrap_servers=settings.kafka_bootstrap_servers, linger_ms=20, batch_size=262_144)
    for number in range(EVENTS):
        event = prediction(number, models[number % len(models)], rng)
        key, value, headers = encode(new_envelope(event, source="serving"))
        producer.send(settings.topic_prefix + event.topic, key=key, value=value, headers=headers)
    producer.flush(60)
    producer.close()


class Taker:
    """The service's handler, with counts of commits and the size of each batch."""

    def __init__(self, database: Database, settings: Settings, models: Sequence[str]) -> None:
        self.batches: list[int] = []
        jobs, policies = Jobs(database, owner="benchmark"), DriftPolicies({})
        rollouts = Rollouts(jobs, policies, Measures(Outbox("drift")))
        self._handlers = Handlers(jobs, policies, settings, rollouts)
        with database.transaction() as session:
            for model in models:
                self._handlers.on_promoted(session, new_envelope(promoted(model), source="gatekeeper"))

    def take(self, session: Session, envelopes: Sequence[Envelope[Any]]) -> None:
        self._handlers.on_predictions(session, envelopes)
        self.batches.append(len(envelopes))


def promoted(model: str) -> Promoted:
    return Promoted(
        model_name=model,
        model_version=1,
        epoch=1,
        artifact_uri=f"models:/{model}/1",
        artifact_digest="sha256:" + "0" * 64,
        cause=Cause.GATE,
        actor="benchmark",
    )


async def catch_up(settings: Settings, database: Database, taker: Taker, group: str) -> tuple[float, float]:
    """Return events per second from the first batch to the last, and microseconds of CPU per event."""
    taker.batches.clear()
    bus = Bus(settings, service=group, database=database)
    bus.on_batch(PredictionMade, taker.take)
    await bus.start()
    try:
        while not taker.batches:  # filled from another thread
            await asyncio.sleep(0.001)
        first, started, cpu = taker.batches[0], time.perf_counter(), time.process_time()
        while sum(taker.batches) < EVENTS:
            await asyncio.sleep(0.005)
        if sum(taker.batches) != EVENTS:
            raise SystemExit(f"{sum(taker.batches)} events handled of {EVENTS}: some came twice, the rate is wrong")
        rest = EVENTS - first
        return rest / (time.perf_counter() - started), (time.process_time() - cpu) / rest * 1e6
    finally:
        await bus.stop()


@contextmanager
def database_of(kind: str, folder: Path) -> Iterator[Database]:
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        if kind == "SQLite":
            url = f"sqlite:///{folder / 'drift.db'}"
        else:
            from support.postgres import Postgres

            server = Postgres(folder / "postgres")
            stack.callback(server.stop)
            url = server.new_database()
        database = Database(url)
        stack.callback(database.close)
        database.migrate("drift")
        yield database


Rates = list[tuple[float, float]]


def measure(kafka: EmbeddedKafka, kind: str, models: Sequence[str], folder: Path) -> tuple[Rates, Rates]:
    """Measure new events and events already stored, each round on an empty database."""
    settings = Settings(
        _env_file=None,
        kafka_bootstrap_servers=kafka.bootstrap_servers,
        topic_prefix=f"{kind}{len(models)}.",
    )
    ensure_topics(settings)
    fill_topic(settings, models)
    new: Rates = []
    again: Rates = []
    for number in range(ROUNDS):
        with database_of(kind, folder / f"{kind}{len(models)}-{number}") as database:
            taker = Taker(database, settings, models)
            new.append(asyncio.run(catch_up(settings, database, taker, f"new{number}")))
            again.append(asyncio.run(catch_up(settings, database, taker, f"again{number}")))
            with database.reading() as session:
                stored = session.scalar(select(func.count()).select_from(PredictionRow))
            if stored != EVENTS:
                raise SystemExit(f"{stored} rows stored of {EVENTS} events: the figures above mean nothing")
    return new, again


def main() -> None:
    print(f"{EVENTS:,} events, median (slowest, fastest) of {ROUNDS} rounds\n")
    print("| database | models | new, events/s | CPU, µs | replayed, events/s | CPU, µs |")
    print("|---|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as kafka:
        for kind in ("SQLite", "PostgreSQL"):
            for models in (["flights"], [f"model-{number}" for number in range(6)]):
                cells = [cell for rates in measure(kafka, kind, models, Path(name)) for cell in in_words(rates)]
                print(f"| {kind} | {len(models)} | {' | '.join(cells)} |", flush=True)


def in_words(rates: Rates) -> tuple[str, str]:
    wall, cpu = zip(*rates, strict=True)
    return f"{statistics.median(wall):,.0f} ({min(wall):,.0f}, {max(wall):,.0f})", f"{statistics.median(cpu):.0f}"


if __name__ == "__main__":
    main()
