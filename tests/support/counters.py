"""The counting service of `support.counting` as processes of their own."""

from __future__ import annotations

import sys
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy

from chassis.processes.launcher import Process
from embedded_kafka import EmbeddedKafka
from support.processes import end, free_port, spawn


@dataclass
class Counting:
    """One or more processes of the counting service on one database and one group."""

    kafka: EmbeddedKafka
    prefix: str
    database_url: str
    folder: Path
    processes: list[Process] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)

    def start(self, *, dying_at: str | None = None) -> Process:
        port = free_port()
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "TOPIC_PREFIX": self.prefix,
            "DATABASE_URL": self.database_url,
            "COUNTING_PORT": str(port),
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "MOOD": str(self.folder / "mood"),
        }
        module = ["support.counting"]
        if dying_at:
            module = ["support.crash", dying_at, str(self.folder / "died"), "support.counting"]
        process = spawn([sys.executable, "-m", *module], env, self.folder / "counting.log")
        self.processes.append(process)
        self.ports.append(port)
        return process

    def ready(self, number: int = -1) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[number]}/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def effects(self) -> Counter[tuple[str, str, int]]:
        return Counter(
            tuple(row) for row in self.rows("SELECT kind, model_name, model_version FROM effects ORDER BY id")
        )

    def order(self, model: str) -> list[int]:
        query = f"SELECT model_version FROM effects WHERE kind = 'handled' AND model_name = '{model}' ORDER BY id"
        return [row[0] for row in self.rows(query)]

    def rows(self, query: str) -> list[Any]:
        engine = sqlalchemy.create_engine(self.database_url)
        try:
            with engine.connect() as connection:
                return list(connection.execute(sqlalchemy.text(query)).all())
        except sqlalchemy.exc.DatabaseError:
            return []  # the tables are not there yet
        finally:
            engine.dispose()

    def log(self) -> str:
        return (self.folder / "counting.log").read_text()[-4000:]

    def stop(self) -> None:
        for process in self.processes:
            end(process)
