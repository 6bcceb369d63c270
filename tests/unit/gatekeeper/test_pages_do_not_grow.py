"""No page and no list of the gatekeeper reads a table that grows with the past, or makes a query a model.

Every GET of its OpenAPI document is requested, against databases that differ in their past, or in their models: a new
screen is covered by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml
from fastapi import FastAPI

from chassis.database import Database
from gatekeeper.app import build
from gatekeeper.settings import Settings
from support.big_database import ROLLING, BigDatabase
from support.databases import DATABASES
from support.postgres import Postgres
from support.query_costs import Cost, costs, rows_read, scans

MODELS, VERSIONS, AUDITS = 10, 12, 1000
LONGER = 4
"""Times the past."""
EXPORTS = {
    "/audit/verify",
    "/audit/export",
    "/console/audit/verify",
    "/models/{model_name}/candidates/{model_version}/evidence.zip",
}
"""Which are for reading a whole past, a page at a time."""
UP_TO_A_LIMIT = ("/stories", "/console/stories", "/console/models/model-0000")
"""They read the newest rows, up to limits of their own which are longer than the pasts here."""
A_QUERY_A_RUNNING_ROLLOUT = {"/rollouts"}
"""What each waits for is decided as the gatekeeper decides it."""
PAGE = {"limit": "5"}
"""Of lists that have a limit: the shorter past is longer than it."""
LARGEST_PAGE = 100_000
"""Bytes of the first page."""
SLACK = 1.3
"""Indexes of a longer table are deeper."""


@dataclass(frozen=True)
class Served:
    big: BigDatabase
    app: FastAPI
    database: Database
    folder: Path

    def get(self, path: str) -> tuple[httpx.Response, Cost]:
        return asyncio.run(self._get(path))

    async def _get(self, path: str) -> tuple[httpx.Response, Cost]:
        transport = httpx.ASGITransport(self.app.state.entry)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            await client.get(path, params=PAGE)  # what is compiled once, and the connection
            with costs() as cost:
                return await client.get(path, params=PAGE), cost

    def paths(self) -> Iterator[str]:
        found = {
            "model_name": self.big.names[0],
            "model_version": str(self.big.each),
            "candidate_id": f"{self.big.names[0]}-v{self.big.each}",
            "rollout_id": f"{self.big.names[0]}-v{self.big.each}-r{self.big.champion}-2",
            "correlation_id": f"story-{self.big.names[0]}-{self.big.champion}",
            "number": "1",
            "action": "freeze",
            "file": "console.css",
        }
        for path, methods in self.app.openapi()["paths"].items():
            if "get" in methods and path not in EXPORTS:
                yield _filled(path, found)


def _filled(path: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{", "no-such-").replace("}", "")


def served(big: BigDatabase, url: str, folder: Path) -> Served:
    database = Database(url)
    big.fill(database)
    (folder / "policies").mkdir()
    for name in big.names:
        (folder / "policies" / f"{name}.yaml").write_text(yaml.safe_dump({"model": name, **ROLLING}))
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        data_dir=folder,
        database_url=url,
        policies_dir=folder / "policies",
        mlflow_tracking_uri="http://127.0.0.1:9",
        drift_url="http://127.0.0.1:9",
        serving_url="http://127.0.0.1:9",
        trainer_url="http://127.0.0.1:9",
    )
    return Served(big, build(settings), database, folder)


@pytest.fixture(scope="module", params=DATABASES)
def short_and_long(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served]]:
    found = []
    for times in (1, LONGER):
        folder = tmp_path_factory.mktemp("past")
        url = f"sqlite:///{folder / 'test.db'}"
        if request.param == "postgres":
            postgres: Postgres = request.getfixturevalue("postgres")
            url = postgres.new_database()
        found.append(served(BigDatabase(MODELS, MODELS * VERSIONS * times, AUDITS * times), url, folder))
    yield found[0], found[1]
    for each in found:
        each.database.close()


def test_no_page_scans_a_table_that_grows(short_and_long: tuple[Served, Served]) -> None:
    _, long = short_and_long
    found = {}
    for path in long.paths():
        answer, cost = long.get(path)
        assert answer.status_code < 500 or answer.status_code == 503, f"{path}: {answer.text}"
        for statement, parameters in cost.statements:
            if whole := scans(long.database, statement, parameters):
                found[f"{path}: {statement[:300]}"] = whole
    assert found == {}


def test_no_page_reads_more_of_a_longer_past(short_and_long: tuple[Served, Served]) -> None:
    short, long = short_and_long
    grown = {}
    for brief, longer in zip(short.paths(), long.paths(), strict=True):
        before, after = (_work(each, path) for each, path in ((short, brief), (long, longer)))
        if after > before * SLACK + 50 and longer not in UP_TO_A_LIMIT:
            grown[longer] = (before, after)
    assert grown == {}


def _work(where: Served, path: str) -> int:
    """Rows that PostgreSQL reads; hundreds of steps of SQLite's virtual machine."""
    _, cost = where.get(path)
    if where.database.is_sqlite:
        return cost.steps
    return sum(rows_read(where.database, statement, parameters) for statement, parameters in cost.statements)


def test_no_page_makes_a_query_a_model(tmp_path_factory: pytest.TempPathFactory) -> None:
    few, many = (
        served(BigDatabase(models, models * 6, 200), f"sqlite:///{folder / 'test.db'}", folder)
        for models in (20, 200)
        for folder in [tmp_path_factory.mktemp("models")]
    )
    counts = {path: tuple(len(each.get(path)[1].statements) for each in (few, many)) for path in few.paths()}
    grown = {path: count for path, count in counts.items() if count[0] != count[1]}
    assert grown.keys() <= A_QUERY_A_RUNNING_ROLLOUT, grown
    assert len(many.get("/")[0].content) <= LARGEST_PAGE, "of 200 models"
    for each in (few, many):
        each.database.close()
