"""A rollout that begins, steps up and ends while clients never pause: none fails, and each entity has one arm.

Two replicas, one of them with two workers; the clients take them in turns, a connection a request.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from contracts import Arm, Mode, Result, Stage
from support.bus_client import BusClient
from support.clients import repeated
from support.replica import Replica
from support.trials import ENTITIES, ROWS, begin, is_tried, made
from support.versions import FEATURES, Uploads, pipeline
from support.waiting import eventually

StartReplica = Callable[..., Replica]
NAME = "rolled-out"
STEPS = (0.1, 0.5)


class Clients:
    """Threads that ask without a pause, one entity at a time, and keep the answers."""

    def __init__(self, replicas: list[Replica]) -> None:
        self._urls = itertools.cycle([f"http://127.0.0.1:{replica.port}/predict" for replica in replicas])
        self._rows = itertools.cycle(ROWS)
        self._lock = threading.Lock()
        self.failed: list[Any] = []
        self.answered: list[tuple[str, str, int]] = []
        """Request id, entity, and the version that answered."""

    @contextmanager
    def asking(self) -> Iterator[Clients]:
        with repeated(*[self._ask] * 3):
            yield self

    def _ask(self) -> None:
        with self._lock:
            url, row = next(self._urls), next(self._rows)
        try:
            answer = httpx.post(url, json={"rows": [row]}, timeout=30)
            told = answer.json()
            self.answered.append((told["request_id"], row["tailnum"], told["model_version"]))
        except Exception as error:
            self.failed.append(error)

    def more(self, number: int) -> list[tuple[str, str, int]]:
        """So many answers from here on, after those of requests that were on their way."""
        since = len(self.answered) + 3
        eventually(lambda: len(self.answered) >= since + number, timeout=60)
        return self.answered[since : since + number]


def test_no_request_fails_and_every_worker_of_every_replica_has_the_same_arms(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads
) -> None:
    replicas = [new_replica("one", env={"SERVING_WORKERS": "2"}), new_replica("other")]
    own_bus.publish(uploads.version(NAME, 1, pipeline(), golden=FEATURES).promoted(1))
    for replica in replicas:
        replica.start()
    for replica in replicas:
        eventually(replica.ready, timeout=90)
    challenger = uploads.version(NAME, 2, pipeline(), golden=FEATURES)
    with Clients(replicas).asking() as clients:
        for replica in replicas:
            begin(replica, own_bus, challenger.rollout(1, champion_epoch=1))
        clients.more(60)
        revision = 1
        for share in STEPS:
            revision += 1
            event = challenger.rollout(revision, champion_epoch=1, mode=Mode.SPLIT, share=share)
            for replica in replicas:
                begin(replica, own_bus, event)
            found = clients.more(200)
            by_entity = {entity: {version for _, each, version in found if each == entity} for entity in ENTITIES}
            assert by_entity == {entity: {2 if is_tried(entity, share) else 1} for entity in ENTITIES}
        ended = challenger.rollout(9, champion_epoch=1, mode=Mode.OFF, stage=Stage.ENDED, result=Result.ABORTED)
        for replica in replicas:
            begin(replica, own_bus, ended)
        assert {version for _, _, version in clients.more(100)} == {1}
    assert not clients.failed
    events = {event.request_id: event for event in made(own_bus, NAME, len(clients.answered))}
    assert len(events) == len(clients.answered)
    for request_id, entity, version in clients.answered:
        event = events[request_id]
        output = event.challenger if version == 2 else event.champion
        assert event.entity_id == entity and output is not None and output.model_version == version
        assert output.label is not None and output.error is None
        assert (event.arm is Arm.CHALLENGER) == (version == 2)
    steps = {event.step for event in events.values()}
    assert steps == {None, 1, 2, 3}
    shadowed = [event for event in events.values() if event.step == 1]
    assert all(event.arm is None and event.challenger and event.challenger.label is not None for event in shadowed)


def test_feedback_by_request_names_the_rows_of_a_divided_request(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    bus.publish(uploads.version(name, 1, pipeline(), golden=FEATURES).promoted(1))
    eventually(lambda: production.answers_with(name, 1, 1))
    challenger = uploads.version(name, 2, pipeline(), golden=FEATURES)
    begin(production, bus, challenger.rollout(1, champion_epoch=1, mode=Mode.SPLIT, share=0.5))
    answer = production.predict(*ROWS, model=name).json()
    items = [{"request_id": answer["request_id"], "row": row, "label": row % 2} for row in range(len(ROWS))]
    told = production.client.post(f"/models/{name}/feedback", json={"items": items})
    assert told.status_code == 202
    truths = [event.data for event in bus.events("ground-truth") if event.model_name == name]
    predicted = {(event.request_id, event.row): event for event in made(bus, name, len(ROWS))}
    assert {(truth.request_id, truth.row) for truth in truths} == set(predicted)
    for truth in truths:
        event = predicted[truth.request_id, truth.row]
        assert event.entity_id == ENTITIES[truth.row]
        assert (event.arm is Arm.CHALLENGER) == is_tried(ENTITIES[truth.row], 0.5)
