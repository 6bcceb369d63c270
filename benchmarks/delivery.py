"""Outbox and inbox: time from commit to the next service's handler, and events per second.

`python -m benchmarks.delivery` prints a Markdown table. One process, a real broker, SQLite and PostgreSQL.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from chassis.bus import Bus
from chassis.database import Database
from chassis.outbox import Outbox
from chassis.relay import Relay
from chassis.settings import ServiceSettings
from chassis.topics import ensure_topics
from contracts import Envelope, ModelRegistered
from embedded_kafka import EmbeddedKafka

PACED, PACE_SECONDS = 300, 0.05
MANY, MODELS = 5_000, 50


class Receiver:
    """The handler: records when each event arrived."""

    def __init__(self) -> None:
        self.arrived: dict[int, float] = {}

    def handle(self, _session: Session, envelope: Envelope[Any]) -> None:
        self.arrived[envelope.data.model_version] = time.perf_counter()


def event(number: int) -> ModelRegistered:
    return ModelRegistered(model_name=f"m{number % MODELS}", model_version=number)


@asynccontextmanager
async def pipeline(settings: ServiceSettings, sender: Database, taker: Database) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    bus = Bus(settings, service="benchmark", database=taker)
    bus.on(ModelRegistered, receiver.handle)
    relay = Relay(settings, sender)
    await bus.start()
    await relay.start()
    try:
        yield receiver
    finally:
        await bus.stop()
        await relay.stop()


def send(database: Database, first: int, last: int) -> None:
    outbox = Outbox("benchmark")
    with database.transaction() as session:
        for number in range(first, last + 1):
            outbox.emit(session, event(number))


async def wait_for(receiver: Receiver, count: int) -> None:
    while len(receiver.arrived) < count:
        await asyncio.sleep(0.01)


async def measure(settings: ServiceSettings, sender: Database, taker: Database) -> tuple[list[float], float]:
    """Measure milliseconds from commit to handler of each paced event, and events per second end to end."""
    async with pipeline(settings, sender, taker) as receiver:
        await asyncio.to_thread(send, sender, 1, 1)
        await wait_for(receiver, 1)
        committed: dict[int, float] = {}
        for number in range(2, PACED + 2):
            await asyncio.to_thread(send, sender, number, number)
            committed[number] = time.perf_counter()
            await asyncio.sleep(PACE_SECONDS)
        await wait_for(receiver, PACED + 1)
        latencies = [(receiver.arrived[number] - when) * 1000 for number, when in committed.items()]
        started = time.perf_counter()
        await asyncio.to_thread(send, sender, PACED + 2, PACED + 1 + MANY)
        await wait_for(receiver, PACED + 1 + MANY)
        return latencies, MANY / (time.perf_counter() - started)


@contextmanager
def databases(kind: str, folder: Path) -> Iterator[tuple[Database, Database]]:
    with ExitStack() as stack:
        if kind == "SQLite":
            urls = [f"sqlite:///{folder / name}.db" for name in ("sender", "taker")]
        else:
            from support.postgres import Postgres

            server = Postgres(folder / "postgres")
            stack.callback(server.stop)
            urls = [server.new_database(), server.new_database()]
        pair = tuple(Database(url) for url in urls)
        for database in pair:
            database.migrate("chassis")
            stack.callback(database.close)
        yield pair[0], pair[1]


def main() -> None:
    print("| database | commit → handler, p50 ms | p99 ms | events/s through outbox and inbox |")
    print("|---|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as kafka:
        for kind in ("SQLite", "PostgreSQL"):
            settings = ServiceSettings(
                _env_file=None, kafka_bootstrap_servers=kafka.bootstrap_servers, topic_prefix=f"{kind}."
            )
            ensure_topics(settings)
            with databases(kind, Path(name)) as (sender, taker):
                latencies, rate = asyncio.run(measure(settings, sender, taker))
            p99 = statistics.quantiles(latencies, n=100)[98]
            print(f"| {kind} | {statistics.median(latencies):.1f} | {p99:.1f} | {rate:,.0f} |")


if __name__ == "__main__":
    main()
