"""Open pages with two gatekeepers on one PostgreSQL: each tells of what the other decides, to who may know."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from chassis.auth.roles import Role
from chassis.auth.tokens import create_token, revoke_token
from chassis.database import Database
from contracts import DriftDetected, DriftKind, DriftWindow, new_envelope
from embedded_kafka import EmbeddedKafka
from gatekeeper.database import event_log
from support.gatekeepers import Gatekeepers
from support.live_stream import LiveClient
from support.postgres import Postgres
from support.processes import end
from support.waiting import eventually

SHOP, LOANS = "shop", "loans"
NO_MLFLOW = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def tokens(folder: Path) -> dict[str, str]:
    file = folder / "tokens.yaml"
    found = {who: create_token(file, who, [Role.ADMIN]) for who in ("chief", "leaves")}
    (folder / "roles.yaml").write_text("rules:\n- {role: admin, subjects: ['role:admin']}\n")
    return {**found, "vera": create_token(file, "vera", [Role.ADMIN], models=["shop*"])}


@pytest.fixture(scope="module")
def pair(kafka: EmbeddedKafka, postgres: Postgres, folder: Path, tokens: dict[str, str]) -> Iterator[Gatekeepers]:
    url = postgres.new_database()
    found = Gatekeepers(kafka.bootstrap_servers, f"l{uuid4().hex[:8]}.", url, NO_MLFLOW, folder)
    for name in (SHOP, LOANS):
        found.policy(name)
    auth = {"AUTH": "tokens", "AUTH_TOKENS_FILE": str(folder / "tokens.yaml")}
    for _ in range(2):
        found.start(**auth, AUTH_ROLES_FILE=str(folder / "roles.yaml"))
    for number in range(2):
        eventually(lambda number=number: listens(found, number), timeout=90)
    yield found
    found.stop()


def listens(pair: Gatekeepers, number: int) -> bool:
    assert pair.processes[number].poll() is None, pair.log()
    try:
        return pair.client.get(f"{pair.url(number)}/health").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def opened(pair: Gatekeepers, tokens: dict[str, str]) -> Iterator[Callable[..., LiveClient]]:
    found = []

    def open_(number: int, who: str, **parameters: str) -> LiveClient:
        def connected() -> LiveClient | None:
            client = LiveClient(pair.url(number), tokens[who], **parameters)
            return client if client.status == 200 else None  # 503 while the gatekeeper starts

        found.append(eventually(connected, timeout=60))
        return found[-1]

    yield open_
    for each in found:
        each.close()


def decide(pair: Gatekeepers, tokens: dict[str, str], number: int, model: str, what: str = "freeze") -> None:
    """Once the history is restored."""
    headers = {"authorization": f"Bearer {tokens['chief']}"}

    def decided() -> bool:
        answer = pair.post(f"/models/{model}/{what}", {"reason": "because"}, number, headers=headers)
        assert answer.status_code == 200, answer.text
        return True

    eventually(decided, timeout=60)


def test_a_decision_in_one_gatekeeper_is_told_by_the_other(
    pair: Gatekeepers, tokens: dict[str, str], opened: Callable[..., LiveClient]
) -> None:
    before = datetime.now(UTC)
    chief, vera = opened(1, "chief"), opened(1, "vera")
    decide(pair, tokens, 0, LOANS)
    eventually(lambda: "Audit" in chief.types_of(LOANS))
    decide(pair, tokens, 0, SHOP)
    eventually(lambda: "Audit" in vera.types_of(SHOP))
    assert vera.types_of(LOANS) == set(), "it is not for her"
    assert chief.types_of("*") == set()

    database = Database(pair.database_url)
    window = DriftWindow(id="w", rows=1, start=before, end=before)
    event = DriftDetected(model_name=SHOP, model_version=1, kind=DriftKind.DATA, window=window, reason="because")
    with database.transaction() as session:
        event_log.add(session, new_envelope(event, source="drift"))
    database.close()
    for client in (chief, vera):
        eventually(lambda client=client: "DriftDetected" in client.types_of(SHOP))

    late = opened(0, "vera", since=before.isoformat())
    eventually(lambda: {"Audit", "DriftDetected"} <= late.types_of(SHOP))
    assert late.types_of(LOANS) == set()


def test_a_stream_ends_with_its_token(
    pair: Gatekeepers, tokens: dict[str, str], folder: Path, opened: Callable[..., LiveClient]
) -> None:
    stays, leaves = opened(0, "chief"), opened(0, "leaves")
    revoke_token(folder / "tokens.yaml", "leaves")
    assert leaves.ended.wait(30)
    assert leaves.error is None
    assert not stays.ended.is_set()
    again = LiveClient(pair.url(0), tokens["leaves"])
    assert again.status == 401
    assert LiveClient(pair.url(0)).status == 401


def test_a_stream_ends_when_roles_change(folder: Path, opened: Callable[..., LiveClient]) -> None:
    stays = opened(0, "chief")
    roles = folder / "roles.yaml"
    roles.write_text(roles.read_text() + "- {role: viewer, subjects: [somebody]}\n")
    assert stays.ended.wait(30)
    assert stays.error is None


def test_a_gatekeeper_stops_with_open_pages(pair: Gatekeepers, opened: Callable[..., LiveClient]) -> None:
    pages = [opened(1, "chief") for _ in range(3)]
    end(pair.processes[1])
    for page in pages:
        assert page.ended.wait(30)
        assert page.error is None, "the stream was cut off"
    assert pair.processes[1].returncode == -signal.SIGTERM, "it did not end by itself"
    assert "graceful shutdown exceeded" not in pair.log()
