"""Versions that rollouts try, on a real broker and a real MLflow: beside the champion, in force or not at all."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import Event, Mode, ModelLoaded, ModelLoadFailed, Result, Stage
from support.bus_client import BusClient
from support.misbehaving import save_misbehaving
from support.replica import Replica
from support.versions import FEATURES, ROW, Uploads, large, pipeline, score_of
from support.waiting import eventually

StartReplica = Callable[..., Replica]


def reports(bus: BusClient, model_name: str) -> list[Any]:
    """Of what rollouts try."""
    events = [envelope.data for envelope in bus.events("serving-status") if envelope.model_name == model_name]
    return [event for event in events if event.rollout_id is not None]


FIRST_TO_LAST, LAST_TO_FIRST, TRIED_BEFORE_CHAMPION = (0, 1, 2), (2, 1, 0), (1, 0, 2)
EVERY_PLACE = {FIRST_TO_LAST, LAST_TO_FIRST, TRIED_BEFORE_CHAMPION}


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(order, marks=() if order in EVERY_PLACE else pytest.mark.exhaustive)
        for order in itertools.permutations(range(3))
    ],
)
def test_every_order_of_arrival_ends_the_same(
    production: Replica, bus: BusClient, uploads: Uploads, name: str, order: tuple[int, ...]
) -> None:
    """A promotion and two revisions; the topics, and so the events, are read in any order."""
    champion, tried = uploads.version(name, 1), uploads.version(name, 2)
    step = tried.rollout(2, champion_epoch=1, mode=Mode.SPLIT, share=0.25)
    events: list[Event] = [champion.promoted(1), tried.rollout(1, champion_epoch=1), step]
    for number in order:
        bus.publish(events[number])
    eventually(lambda: production.answers_with(name, 1, 1) and production.tries(name, 2, step=2))
    about = production.rollout(name)
    assert (about["mode"], about["share"], about["rollout_id"]) == ("split", 0.25, step.rollout_id)
    assert about["isolated"] is True and about["last_failure"] is None
    assert production.client.get("/ready").json()["rollouts"][name] == about
    loaded = eventually(lambda: reports(bus, name))
    assert [(type(each), each.model_version, each.epoch, each.rollout_id) for each in loaded] == [
        (ModelLoaded, 2, None, step.rollout_id)
    ], "one report, however many steps"
    bus.publish(tried.rollout(3, champion_epoch=1, mode=Mode.OFF, stage=Stage.ENDED, result=Result.ABORTED))
    eventually(lambda: not production.rollout(name) and production.model(name)["resident_versions"] == [1])
    bus.publish(tried.rollout(1, champion_epoch=1))  # stale
    bus.publish(uploads.version(name, 4).promoted(2))
    eventually(lambda: production.answers_with(name, 4, 2))
    assert not production.rollout(name)


def test_a_rollout_of_another_champion_is_not_carried_out(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    versions = {number: uploads.version(name, number) for number in (1, 2, 3)}
    bus.publish(versions[1].promoted(1))
    bus.publish(versions[3].rollout(1, champion_epoch=1))
    eventually(lambda: production.tries(name, 3, step=1))
    bus.publish(versions[2].promoted(2))
    eventually(lambda: production.answers_with(name, 2, 2))
    assert production.rollout(name)["since"] is None
    bus.publish(versions[3].rollout(2, champion_epoch=2, rollout_id="another"))
    eventually(lambda: production.tries(name, 3, step=2))


@pytest.mark.parametrize("fault", ["missing", "wrong", "fails on its golden rows"])
def test_one_that_cannot_be_had_is_reported_and_the_champion_stays(
    production: Replica, bus: BusClient, uploads: Uploads, name: str, fault: str
) -> None:
    bus.publish(uploads.version(name, 1).promoted(1))
    tried = uploads.version(name, 2)
    if fault == "missing":
        tried, reason = dataclasses.replace(tried, uri=tried.uri + "-gone", digest="sha256:" + "0" * 64), "-gone"
    elif fault == "wrong":
        tried, reason = dataclasses.replace(tried, digest="sha256:" + "1" * 64), "was changed since"
    else:
        given = uploads.version(name, 3, golden=FEATURES)  # which predicts otherwise
        tried, reason = dataclasses.replace(tried, beside=given.beside), "does not answer as it did"
    bus.publish(tried.rollout(1, champion_epoch=1))
    (failure,) = eventually(lambda: reports(bus, name))
    assert isinstance(failure, ModelLoadFailed) and failure.permanent and reason in failure.reason
    assert (failure.model_version, failure.epoch, failure.rollout_id) == (2, None, f"{name}-2")
    about = production.rollout(name)
    assert about["since"] is None and reason in about["last_failure"]["reason"]
    assert production.model(name)["last_failure"] is None, "the champion has none"
    assert production.predict(ROW, model=name).json()["predictions"][0]["score"] == score_of(1)
    bus.publish(uploads.version(name, 4).rollout(2, champion_epoch=1))
    eventually(lambda: production.tries(name, 4, step=2))


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_replica_that_ends_in_the_middle_goes_on_after_its_start(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, name: str, how: str
) -> None:
    tried = uploads.version(name, 2)
    own_bus.publish(uploads.version(name, 1).promoted(1))
    for step in (1, 2):
        own_bus.publish(tried.rollout(step, champion_epoch=1, mode=Mode.SPLIT, share=step / 10))
    replica = new_replica()
    replica.start_ready()
    eventually(lambda: replica.tries(name, 2, step=2))
    assert len(replica.hosts()) == 1
    getattr(replica, how)()
    eventually(lambda: not replica.hosts())
    own_bus.publish(tried.rollout(1, champion_epoch=1))  # a relay that sends again what it had sent
    replica.start_ready()
    eventually(lambda: replica.tries(name, 2, step=2))
    assert replica.answers_with(name, 1, 1) and replica.rollout(name)["share"] == 0.2
    replica.stop()
    own_bus.publish(tried.rollout(3, champion_epoch=1, mode=Mode.OFF, stage=Stage.ENDED, result=Result.KEPT))
    replica.start_ready()
    assert not replica.rollout(name) and not replica.hosts()


def test_one_that_does_not_fit_beside_its_champion_is_a_failed_trial(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, name: str
) -> None:
    replica = new_replica(env={"SERVING_MEMORY_MB": "90"})
    replica.start_ready()
    for each in (name, f"{name}-2"):
        own_bus.publish(uploads.version(each, 1, large(1, 30)).promoted(1))
        eventually(lambda each=each: replica.answers_with(each, 1, 1))
    own_bus.publish(uploads.version(name, 2, large(2, 60)).rollout(1, champion_epoch=1))
    (failure,) = eventually(lambda: reports(own_bus, name))
    assert isinstance(failure, ModelLoadFailed) and failure.permanent and "SERVING_MEMORY_MB" in failure.reason
    for each in (name, f"{name}-2"):
        assert replica.model(each)["evicted"] is False and replica.predict(ROW, model=each).status_code == 200
    assert replica.model(name)["resident_versions"] == [1] and not replica.hosts()


def test_one_whose_process_dies_is_started_again_and_given_up_at_the_third_time(
    new_replica: StartReplica, own_bus: BusClient, uploads: Uploads, name: str, tmp_path: Path
) -> None:
    folder = tmp_path / "misbehaving"
    digest = save_misbehaving(folder, 2)
    replica = new_replica()
    replica.start_ready()
    own_bus.publish(uploads.version(name, 1).promoted(1))
    own_bus.publish(uploads.folder(name, 2, folder, digest).rollout(1, champion_epoch=1))
    eventually(lambda: replica.tries(name, 2, step=1))
    former: set[int] = set()
    for _ in range(3):
        (host,) = eventually(lambda: [each for each in replica.hosts() if each.pid not in former])
        assert replica.tries(name, 2, step=1) and not reports(own_bus, name)[1:]
        former.add(host.pid)
        host.kill()
        assert replica.predict(ROW, model=name).json()["predictions"][0]["score"] == score_of(1)
    _, failure = eventually(lambda: reports(own_bus, name) if len(reports(own_bus, name)) == 2 else None)
    assert isinstance(failure, ModelLoadFailed) and "ended 3 times" in failure.reason and "signal 9" in failure.reason
    assert replica.rollout(name)["since"] is None and replica.answers_with(name, 1, 1)
    eventually(lambda: not replica.hosts())


def test_one_with_a_compiled_form_predicts_by_it(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    bus.publish(uploads.version(name, 1).promoted(1))
    bus.publish(uploads.version(name, 2, pipeline(), golden=FEATURES).rollout(1, champion_epoch=1))
    eventually(lambda: production.tries(name, 2, step=1))
    about = production.rollout(name)
    assert about["form"]["name"] != "native" and about["isolated"] is True, "its own code, for what the form lacks"
