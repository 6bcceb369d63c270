"""Rollouts under load: no request fails while versions are tried, promoted, aborted and rolled back, by all workers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from contracts import Event, Mode, ModelLoaded, Result, Stage
from support.bus_client import BusClient
from support.clients import Client, clients, repeated
from support.misbehaving import save_misbehaving
from support.replica import Replica
from support.versions import ROW, Uploads, Version, score_of
from support.waiting import eventually

StartReplica = Callable[..., Replica]
ROUNDS = 9
ROLLBACKS = 7
CLIENTS = 4


class Rollouts:
    """Plays the gatekeeper for one model: versions are tried, promoted, watched, rolled back."""

    def __init__(self, replica: Replica, bus: BusClient, champion: Version) -> None:
        self.replica, self.bus = replica, bus
        self.champion, self.epoch, self.revision = champion, 0, 0
        self.promote(champion)

    def promote(self, version: Version) -> None:
        self.champion, self.epoch = version, self.epoch + 1
        self.bus.publish(version.promoted(self.epoch))
        eventually(
            lambda: self.replica.answers_with(version.model_name, version.model_version, self.epoch), interval=0.01
        )

    def step(self, version: Version, mode: Mode, share: float = 0.0, stage: Stage = Stage.CANARY) -> None:
        self.send(version, mode=mode, share=share, stage=stage, rollout_id=f"{version.model_version}.{self.epoch}")
        eventually(lambda: self.replica.tries(version.model_name, version.model_version, self.revision), interval=0.01)

    def end(self, version: Version, result: Result) -> None:
        self.send(version, mode=Mode.OFF, stage=Stage.ENDED, result=result)

    def send(self, version: Version, **more: object) -> None:
        self.revision += 1
        self.bus.publish(version.rollout(self.revision, champion_epoch=self.epoch, **more))  # type: ignore[arg-type]


def all_answered(asking: list[Client], scores: set[float]) -> int:
    """The number of answers, of which each is of one of the versions."""
    for client in asking:
        for _, status, answer in client.seen:
            assert status == 200, answer
            assert {row["score"] for row in answer["predictions"]} <= scores  # type: ignore[attr-defined]
    return sum(len(client.seen) for client in asking)


def test_no_request_fails_while_rollouts_begin_change_and_end(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    first, second = uploads.version(name, 1), uploads.version(name, 2)
    rollouts = Rollouts(production, bus, first)
    with clients(production, name, CLIENTS) as asking:
        eventually(lambda: all(client.seen for client in asking))
        for number in range(ROUNDS):
            champion = rollouts.champion
            tried = second if champion is first else first
            rollouts.step(tried, Mode.SHADOW)
            rollouts.step(tried, Mode.SPLIT, 0.1)
            rollouts.step(tried, Mode.SPLIT, 0.5)
            if number % 3 == 0:
                rollouts.end(tried, Result.ABORTED)
                eventually(lambda: not production.rollout(name))
                continue
            rollouts.promote(tried)
            rollouts.step(champion, Mode.SHADOW, stage=Stage.WATCH)
            if number % 3 == 1:
                rollouts.promote(champion)
            rollouts.end(tried, Result.PROMOTED if number % 3 == 2 else Result.ROLLED_BACK)
        done = len(asking[0].seen)
        eventually(lambda: len(asking[0].seen) > done)
    assert all_answered(asking, {score_of(1), score_of(2)}) > CLIENTS * ROUNDS
    eventually(lambda: sorted(production.model(name)["resident_versions"]) == [1, 2])


def test_a_rollback_from_a_watch_answers_within_100_ms(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    former, new = uploads.version(name, 1), uploads.version(name, 2)
    rollouts = Rollouts(production, bus, former)
    took: dict[str, list[float]] = {"promotion": [], "rollback": []}
    with clients(production, name, 2) as asking:
        for _ in range(ROLLBACKS):
            rollouts.step(new, Mode.SHADOW, stage=Stage.SHADOW)
            took["promotion"].append(seconds_to_swap(asking, rollouts, new))
            rollouts.step(former, Mode.SHADOW, stage=Stage.WATCH)
            took["rollback"].append(seconds_to_swap(asking, rollouts, former))
            rollouts.end(former, Result.ROLLED_BACK)
    all_answered(asking, {score_of(1), score_of(2)})
    assert statistics.median(took["rollback"]) < 0.1, took
    assert statistics.median(took["promotion"]) < 0.1, took
    loaded = [envelope.data for envelope in bus.events("serving-status") if envelope.model_name == name]
    swaps = [event.seconds for event in loaded if isinstance(event, ModelLoaded) and (event.epoch or 0) > 1]
    assert len(swaps) == 2 * ROLLBACKS and statistics.median(swaps) < 0.02, swaps


def seconds_to_swap(asking: list[Client], rollouts: Rollouts, version: Version) -> float:
    """From the event to the first request that was sent since and is answered by `version`."""
    started = time.monotonic()
    rollouts.promote(version)

    def first() -> float:
        return min(
            (
                sent
                for client in asking
                for sent, _, answer in list(client.seen)
                if answer.get("epoch") == rollouts.epoch
            ),
            default=0.0,
        )

    return eventually(first) - started


def test_what_is_promoted_from_a_process_of_its_own_fails_no_request_while_it_moves_in(
    production: Replica, bus: BusClient, uploads: Uploads, name: str, tmp_path: Path
) -> None:
    digest = save_misbehaving(tmp_path / name, 2)
    tried = uploads.folder(name, 2, tmp_path / name, digest)
    rollouts = Rollouts(production, bus, uploads.version(name, 1))
    with clients(production, name, 2) as asking:
        rollouts.step(tried, Mode.SHADOW)
        assert production.model(name)["isolated"] is False and production.rollout(name)["isolated"] is True
        rollouts.promote(tried)
        eventually(lambda: production.answers_with(name, 2, 2) and not production.model(name)["isolated"])
        done = len(asking[0].seen)
        eventually(lambda: len(asking[0].seen) > done)
    all_answered(asking, {score_of(1), score_of(2)})
    answers = [answer["predictions"][0]["score"] for _, _, answer in asking[0].seen]  # type: ignore[index]
    assert answers == sorted(answers), "the champion, then the version that was tried"


class Steps:
    """Which step each worker is at, as its clients see it; each question is a connection of its own."""

    def __init__(self, replica: Replica, model_name: str) -> None:
        self._url, self._name = f"http://127.0.0.1:{replica.port}/models", model_name
        self.seen: list[tuple[float, float, str, int]] = []
        """When it was asked, when answered, the worker, its step."""

    def ask(self) -> None:
        sent = time.monotonic()
        about = httpx.get(self._url, timeout=30).json()
        answered = time.monotonic()
        rollout = about["models"][0]["rollout"] or {}
        self.seen.append((sent, answered, about["replica"], rollout["step"] if rollout.get("since") else 0))

    def both_at(self, step: int) -> bool:
        return {worker for _, _, worker, at in self.seen[-30:] if at == step} == {
            worker for _, _, worker, _ in self.seen
        } and len({worker for _, _, worker, _ in self.seen}) == 2


@pytest.mark.parametrize("workers", [2])
def test_workers_begin_a_step_together(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, name: str, workers: int
) -> None:
    champion, tried = uploads.version(name, 1), uploads.version(name, 2)
    replica = new_replica(env={"SERVING_WORKERS": str(workers)})
    own_bus.publish(champion.promoted(1))
    replica.start_ready()
    eventually(lambda: replica.predict(ROW).status_code == 200)
    last = 6
    steps = Steps(replica, name)
    with repeated(*[steps.ask] * 3):
        eventually(lambda: len({worker for _, _, worker, _ in steps.seen}) == workers)
        for step in range(1, last + 1):
            event: Event = tried.rollout(step, champion_epoch=1, mode=Mode.SPLIT, share=step / 10)
            own_bus.publish(event)
            eventually(lambda step=step: steps.both_at(step))
    for step in range(1, last + 1):
        begun = min(answered for _, answered, _, at in steps.seen if at == step)
        late = [sent - begun for sent, _, _, at in steps.seen if at < step and sent > begun + 0.1]
        assert not late, f"step {step}: a worker was still at the one before {late} s later"
    assert len(replica.hosts()) == workers
