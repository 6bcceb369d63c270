"""A version that crashes, leaks or holds the interpreter while it is tried: users get the champion's predictions."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from contracts import Mode, ModelLoadFailed
from support.bus_client import BusClient
from support.clients import clients
from support.misbehaving import WAYS, row, save_misbehaving
from support.replica import Replica
from support.versions import FEATURES, Uploads, pipeline
from support.waiting import eventually

TRIAL_SECONDS, REQUEST_SECONDS = 0.5, 2.0
SLACK = 1.5
"""Seconds by which a machine that is busy with other tests may make a request late."""
BAD = ("crashes", "holds the interpreter", "leaks")


@pytest.fixture(scope="module")
def strict(production: Replica, tmp_path_factory: pytest.TempPathFactory, bus: BusClient) -> Iterator[Replica]:
    folder = tmp_path_factory.mktemp("strict")
    replica = Replica(production.bootstrap_servers, production.prefix, production.tracking_uri, folder)
    replica.env = {
        "SERVING_TRIAL_SECONDS": str(TRIAL_SECONDS),
        "SERVING_REQUEST_SECONDS": str(REQUEST_SECONDS),
        "SERVING_TRIAL_MEMORY_MB": "100",
    }
    replica.start_ready()
    yield replica
    replica.stop()


@pytest.mark.parametrize(
    ("way", "mode"),
    [
        pytest.param(way, mode, marks=() if (number + place) % 2 == 0 else pytest.mark.exhaustive)
        for number, way in enumerate(BAD)
        for place, mode in enumerate([Mode.SPLIT, Mode.SHADOW])
    ],
)
def test_no_user_meets_it_and_it_is_given_up(
    strict: Replica, bus: BusClient, uploads: Uploads, tmp_path: Path, name: str, way: str, mode: Mode
) -> None:
    bus.publish(uploads.version(name, 1, pipeline(), golden=FEATURES).promoted(1))
    tried = uploads.folder(name, 2, tmp_path / name, save_misbehaving(tmp_path / name, 2))
    bus.publish(tried.rollout(1, champion_epoch=1, mode=mode, share=1.0 if mode is Mode.SPLIT else 0.0))
    eventually(lambda: strict.tries(name, 2, step=1), timeout=60)

    def given_up() -> ModelLoadFailed | None:
        events = [envelope.data for envelope in bus.events("serving-status") if envelope.model_name == name]
        mine = [event for event in events if event.replica.endswith(str(strict.port))]
        return next((event for event in mine if isinstance(event, ModelLoadFailed)), None)

    slowest = 0.0
    with clients(strict, name, 2, pause=0.02) as asking:
        eventually(lambda: all(client.seen for client in asking))
        until = time.monotonic() + 60
        for number in count():
            assert time.monotonic() < until, "it is never given up"
            began = time.monotonic()
            answer = strict.predict(row(way), model=name)
            slowest = max(slowest, time.monotonic() - began)
            assert answer.status_code == 200, answer.text
            if number % 10 == 0 and (failure := given_up()) is not None:
                break
    assert slowest < TRIAL_SECONDS + SLACK
    for client in asking:
        assert [status for _, status, _ in client.seen if status != 200] == []
        pauses = [later[0] - earlier[0] for earlier, later in zip(client.seen, client.seen[1:], strict=False)]
        assert max(pauses) < TRIAL_SECONDS + SLACK
    assert failure.permanent and failure.rollout_id is not None and "ended 3 times" in failure.reason
    assert WAYS.get(way, "the model's process grew by") in failure.reason
    assert strict.answers_with(name, 1, 1) and strict.rollout(name)["since"] is None
