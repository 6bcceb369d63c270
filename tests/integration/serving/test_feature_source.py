"""Predict by entity id, with features from SQLite and from PostgreSQL."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sql

from contracts import Mode, Result, Stage
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.mlflow_server import MlflowServer
from support.postgres import Postgres
from support.replica import Replica
from support.trials import begin, is_tried, reversed_pipeline
from support.versions import ROW, Uploads, pipeline
from support.waiting import eventually

NAMES = {kind: f"by-id-{kind}" for kind in ("sqlite", "postgres", "hanging", "unset")}
URLS = {"sqlite": "SERVING_FEATURES_URL", "postgres": "TEST_POSTGRES", "hanging": "TEST_HANGING", "unset": "TEST_UNSET"}

TABLE = [
    "CREATE TABLE planes (tailnum VARCHAR(20), distance NUMERIC(8, 2), carrier VARCHAR(2), departed TIMESTAMP,"
    " built DATE)",
    "INSERT INTO planes VALUES ('N1', 500, 'UA', '2013-06-01 12:00:00', '1999-01-01'),"
    " ('N2', 1500.5, 'AA', NULL, NULL), ('17', 900, NULL, NULL, NULL)",
]


@dataclass
class World:
    replica: Replica
    bus: BusClient
    engines: dict[str, sql.Engine]

    def run(self, kind: str, *statements: str) -> None:
        with self.engines[kind].begin() as connection:
            for statement in statements:
                connection.execute(sql.text(statement))

    def ask(self, kind: str, body: Any) -> httpx.Response:
        return self.replica.client.post("/predict", json={"model": NAMES[kind], **body})

    def read(self) -> float:
        lines = self.replica.client.get("/metrics").text.splitlines()
        name = 'gauntlet_serving_feature_rows_total{outcome="read"}'
        return next(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))


@pytest.fixture(scope="module")
def world(
    kafka: EmbeddedKafka,
    mlflow_server: MlflowServer,
    uploads: Uploads,
    postgres: Postgres,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("features")
    policies = folder / "policies"
    policies.mkdir()
    for kind, model in NAMES.items():
        source = f"{{table: planes, key: tailnum, url_env: {URLS[kind]}}}"
        (policies / f"{model}.yaml").write_text(f"model: {model}\nfeatures: {source}\n")
    listener = socket.create_server(("127.0.0.1", 0))  # takes connections, and never says a word
    urls = {"sqlite": f"sqlite:///{folder / 'features.db'}", "postgres": postgres.new_database()}
    hanging = f"postgresql+psycopg://u:p@127.0.0.1:{listener.getsockname()[1]}/d"
    env = {URLS["sqlite"]: urls["sqlite"], URLS["postgres"]: urls["postgres"], URLS["hanging"]: hanging}
    env |= {"POLICIES_DIR": str(policies), "SERVING_FEATURES_SECONDS": "1", "SERVING_FEATURES_CACHE_SECONDS": "3600"}
    prefix = f"f{uuid4().hex[:8]}."
    replica = Replica(kafka.bootstrap_servers, prefix, mlflow_server.uri, folder, env=env)
    replica.start_ready()
    bus = BusClient(kafka.bootstrap_servers, prefix)
    for model in NAMES.values():
        bus.publish(uploads.version(model, 1, pipeline()).promoted(1))
    for model in NAMES.values():
        eventually(lambda model=model: replica.answers_with(model, 1, 1))  # type: ignore[misc]
    world = World(replica, bus, {kind: sql.create_engine(url) for kind, url in urls.items()})
    for kind in urls:
        world.run(kind, *TABLE)
    yield world
    bus.close()
    replica.stop()
    listener.close()


both = pytest.mark.parametrize("kind", ["sqlite", "postgres"])


@both
def test_an_id_is_answered_as_its_row_is(world: World, kind: str) -> None:
    rows = [{"distance": 500, "carrier": "UA"}, {"distance": 1500.5, "carrier": "AA"}]
    expected = world.ask(kind, {"rows": rows}).json()["predictions"]
    for body in ({"entities": ["N1", "N2"]}, {"tailnum": ["N1", "N2"]}):
        answer = world.ask(kind, body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["predictions"] == expected
    assert world.ask(kind, {"tailnum": "N2"}).json()["predictions"] == expected[1:]
    again = world.ask(kind, {"entities": ["N2", "N1", "N2"]}).json()["predictions"]
    assert again == [expected[1], expected[0], expected[1]]


@both
def test_predictions_carry_id_time_and_features(world: World, kind: str) -> None:
    request_id = world.ask(kind, {"entities": ["N1", 17]}).json()["request_id"]

    def published() -> Any:
        found = [item.data for item in world.bus.events("predictions") if item.data.request_id == request_id]
        return found if len(found) == 2 else None

    first, second = eventually(published)
    assert (first.entity_id, second.entity_id) == ("N1", "17")
    assert first.features == {"distance": 500, "carrier": "UA"} and second.features["carrier"] is None
    assert first.event_time.isoformat() == "2013-06-01T12:00:00+00:00" and second.event_time is None


@both
def test_missing_ids_are_named(world: World, kind: str) -> None:
    answer = world.ask(kind, {"entities": ["N1", "gone", *(f"x{number}" for number in range(30))]})
    problem = answer.json()
    assert answer.status_code == 404 and "planes" in problem["detail"] and '"gone"' in problem["detail"]
    assert problem["missing"] == ["gone", *(f"x{number}" for number in range(19))]
    assert problem["missing_count"] == 31


def test_features_are_kept_in_memory_also_over_a_promotion(world: World, uploads: Uploads) -> None:
    world.run("sqlite", "INSERT INTO planes (tailnum, distance, carrier) VALUES ('C1', 100, 'UA')")
    before = world.ask("sqlite", {"entities": ["C1"]}).json()["predictions"]
    count = world.read()
    world.run("sqlite", "UPDATE planes SET distance = 2000 WHERE tailnum = 'C1'")
    world.bus.publish(uploads.version(NAMES["sqlite"], 2, pipeline()).promoted(2))
    eventually(lambda: world.replica.answers_with(NAMES["sqlite"], 2, 2))
    assert world.ask("sqlite", {"entities": ["C1"]}).json()["predictions"] == before
    assert world.read() == count


def test_ids_are_divided_by_a_rollout_as_rows_are(world: World, uploads: Uploads) -> None:
    model, ids = NAMES["postgres"], ["N2", "N1", "17"]
    before = world.ask("postgres", {"entities": ids}).json()["predictions"]
    challenger = uploads.version(model, 2, reversed_pipeline())
    begin(world.replica, world.bus, challenger.rollout(1, champion_epoch=1, mode=Mode.SPLIT, share=0.8))
    try:
        answer = world.ask("postgres", {"entities": ids}).json()
    finally:
        ended = challenger.rollout(2, champion_epoch=1, mode=Mode.OFF, stage=Stage.ENDED, result=Result.ABORTED)
        begin(world.replica, world.bus, ended)
    assert [row["model_version"] for row in answer["predictions"]] == [2 if is_tried(each, 0.8) else 1 for each in ids]
    assert [row["model_version"] for row in answer["predictions"]] == [1, 2, 2]
    assert answer["predictions"][0]["score"] == before[0]["score"]
    assert answer["predictions"][1]["score"] == pytest.approx(1 - before[1]["score"])
    assert world.ask("postgres", {"entities": ids}).json()["predictions"] == before


@both
def test_what_does_not_fit_the_model_is_a_503_that_names_table_column_and_id(world: World, kind: str) -> None:
    world.run(kind, "INSERT INTO planes (tailnum, distance, carrier) VALUES ('D1', 1, 'UA'), ('D1', 2, 'UA')")
    answer = world.ask(kind, {"entities": ["D1"]})
    assert answer.status_code == 503 and "more than one row with tailnum 'D1'" in answer.json()["detail"]
    world.run(kind, "ALTER TABLE planes RENAME COLUMN distance TO far")
    try:
        answer = world.ask(kind, {"entities": ["new"]})
        assert answer.status_code == 503 and answer.headers["Retry-After"]
        assert "'planes'" in answer.json()["detail"] and "'distance'" in answer.json()["detail"]
    finally:
        world.run(kind, "ALTER TABLE planes RENAME COLUMN far TO distance")
    assert world.ask(kind, {"entities": ["new"]}).status_code == 404


def test_a_database_that_hangs_is_a_503_in_time_and_holds_nobody_who_brings_rows(world: World) -> None:
    answer = world.ask("hanging", {"entities": ["N1"]})
    assert answer.status_code == 503 and answer.headers["Retry-After"] == "2"
    assert "SERVING_FEATURES_SECONDS" in answer.json()["detail"] and answer.elapsed.total_seconds() < 5
    assert world.ask("hanging", {"rows": [ROW]}).status_code == 200


def test_a_database_that_nobody_named_is_a_503_that_names_the_variable(world: World) -> None:
    answer = world.ask("unset", {"tailnum": "N1"})
    assert answer.status_code == 503 and "TEST_UNSET is not set" in answer.json()["detail"]


BAD: dict[str, tuple[Any, str]] = {
    "none": ({"entities": []}, "entities is an array of 0"),
    "no id": ({"entities": ["N1", 1.5]}, "entities[1] is 1.5"),
    "null": ({"tailnum": None}, "tailnum is null"),
    "rows as well": ({"rows": [ROW], "entities": ["N1"]}, "rows or entities, not both"),
    "unknown": ({"tailnums": ["N1"]}, "did you mean 'tailnum'?"),
    "too many": ({"entities": ["N1"] * 10_001}, "at most 10,000 ids"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bodies_that_are_refused(world: World, case: tuple[Any, str]) -> None:
    body, named = case
    answer = world.ask("sqlite", body)
    assert answer.status_code == 422 and named in answer.json()["detail"], answer.text


def test_a_model_without_a_source_wants_rows(production: Replica, bus: BusClient, uploads: Uploads, name: str) -> None:
    bus.publish(uploads.version(name, 1).promoted(1))
    eventually(lambda: production.answers_with(name, 1, 1))
    answer = production.client.post(f"/models/{name}/predict", json={"entities": ["N1"]})
    assert answer.status_code == 422 and "expected rows: no policy says" in answer.json()["detail"]
