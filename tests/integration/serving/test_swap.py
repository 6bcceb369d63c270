"""Swapping on a real broker and a real MLflow: nothing fails, nothing is mixed, nothing goes back."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from contracts import ModelLoaded, ModelLoadFailed
from support.bus_client import BusClient
from support.clients import clients
from support.replica import Replica
from support.versions import ROW, Uploads, Version, save, score_of, telling_its_version
from support.waiting import eventually

CLIENTS = 4
SWAPS = 30


def statuses(bus: BusClient, model_name: str) -> list[ModelLoaded | ModelLoadFailed]:
    return [envelope.data for envelope in bus.events("serving-status") if envelope.model_name == model_name]


def test_swaps_under_load_fail_no_request_and_mix_no_versions(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    versions = [uploads.version(name, number) for number in range(1, 6)]
    version_at = {epoch: versions[epoch % len(versions)] for epoch in range(1, SWAPS + 1)}
    bus.publish(version_at[1].promoted(1))
    eventually(lambda: production.answers_with(name, version_at[1].model_version, 1))

    in_charge_since: dict[int, float] = {1: 0.0}
    with clients(production, name, CLIENTS) as asking:
        eventually(lambda: all(client.seen for client in asking))
        for epoch in range(2, SWAPS + 1):
            bus.publish(version_at[epoch].promoted(epoch))
            eventually(lambda: production.answers_with(name, version_at[epoch].model_version, epoch), interval=0.01)  # noqa: B023
            in_charge_since[epoch] = time.monotonic()
        eventually(lambda: all(client.seen[-1][2]["epoch"] == SWAPS for client in asking))

    for client in asking:
        assert len(client.seen) > SWAPS
        newest = 0
        for sent, status, answer in client.seen:
            assert status == 200, answer
            epoch, version = answer["epoch"], answer["model_version"]
            assert version == version_at[epoch].model_version, "an epoch with the version of another"
            assert [row["score"] for row in answer["predictions"]] == [score_of(version)] * 2, (
                "an answer of another version"
            )
            assert epoch >= newest, "an older epoch answered after a newer one"
            assert all(since > sent for later, since in in_charge_since.items() if later > epoch), "a stale answer"
            newest = epoch
        assert client.seen[0][2]["epoch"] == 1 and newest == SWAPS


def test_stale_and_repeated_epochs_are_ignored(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    first, second, third = (uploads.version(name, number) for number in (1, 2, 3))
    bus.publish(second.promoted(5), times=3)
    eventually(lambda: production.answers_with(name, 2, 5))
    bus.publish(first.promoted(4))  # late
    bus.publish(third.promoted(5))  # an epoch that is taken
    bus.publish(second.promoted(5), times=2)
    last = f"{name}-last"
    bus.publish(dataclasses.replace(third, model_name=last).promoted(1))
    eventually(lambda: production.answers_with(last, 3, 1))
    bus.publish(third.promoted(6))  # on the same partition as the stale ones, so they have been read when it answers
    eventually(lambda: production.answers_with(name, 3, 6))
    loaded = eventually(lambda: [event for event in statuses(bus, name) if event.epoch == 6] and statuses(bus, name))
    assert [(event.model_version, event.epoch) for event in loaded] == [(2, 5), (3, 6)]


def test_rollback_to_the_previous_version_needs_no_registry(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    first, second = uploads.version(name, 1), uploads.version(name, 2)
    for epoch, version in ((1, first), (2, second)):
        bus.publish(version.promoted(epoch))
        eventually(lambda: production.answers_with(name, version.model_version, epoch))  # noqa: B023
    assert production.model(name)["resident_versions"] == [1, 2]
    nowhere = dataclasses.replace(first, uri="runs:/00000000000000000000000000000000/gone")
    bus.publish(nowhere.promoted(3))
    eventually(lambda: production.answers_with(name, 1, 3))


def test_only_the_version_before_stays_in_memory(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    for number in (1, 2, 3, 4):
        bus.publish(uploads.version(name, number).promoted(number))
        eventually(lambda: production.answers_with(name, number, number))  # noqa: B023
    eventually(lambda: production.model(name)["resident_versions"] == [3, 4])


def test_an_artifact_that_was_changed_is_not_loaded(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    good = uploads.version(name, 1)
    bus.publish(good.promoted(1))
    eventually(lambda: production.answers_with(name, 1, 1))
    changed = dataclasses.replace(uploads.version(name, 2), digest="sha256:" + "0" * 64)
    cause = bus.publish(changed.promoted(2))
    envelope = eventually(
        lambda: next((item for item in bus.events("serving-status") if item.causation_id == cause.id), None)
    )
    assert isinstance(envelope.data, ModelLoadFailed)
    assert (envelope.data.model_version, envelope.data.epoch, envelope.data.role) == (2, 2, "production")
    assert "was changed since" in envelope.data.reason
    assert envelope.correlation_id == cause.correlation_id
    about = production.model(name)
    assert (about["model_version"], about["desired_version"]) == (1, 2)
    assert about["last_failure"]["will_retry"] is False and "was changed since" in about["last_failure"]["reason"]
    assert production.predict(ROW, model=name).json()["predictions"] == [{"score": score_of(1), "label": 0}]
    assert production.ready(), "the old version answers: the replica stays in the load balancer"
    bus.publish(uploads.version(name, 3).promoted(3))
    eventually(lambda: production.answers_with(name, 3, 3))
    assert production.model(name)["last_failure"] is None


def test_a_model_outside_the_registry_is_not_opened_and_the_failure_is_final(
    production: Replica, bus: BusClient, name: str, tmp_path: Path
) -> None:
    """It is a good model, with this digest: only its place is wrong."""
    digest = save(telling_its_version(1), tmp_path / "model")
    for epoch, uri in enumerate(((tmp_path / "model").as_uri(), str(tmp_path / "model"), "http://127.0.0.1:9/m"), 1):
        bus.publish(Version(name, 1, uri, digest).promoted(epoch))
        failed = eventually(lambda: [each for each in statuses(bus, name) if each.epoch == epoch])[0]  # noqa: B023
        assert isinstance(failed, ModelLoadFailed) and f"{uri!r} is refused: it is a " in failed.reason
        assert "ALLOWED_URI_PREFIXES" in failed.reason
    assert production.model(name)["last_failure"]["will_retry"] is False
    answer = production.predict(ROW, model=name)
    assert answer.status_code == 503 and "is refused" in answer.json()["detail"]


def test_a_digest_that_is_none_is_a_failure_and_no_path(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    version = dataclasses.replace(uploads.version(name, 1), digest="../../../../tmp")
    bus.publish(version.promoted(1))
    failed = eventually(lambda: statuses(bus, name))[0]
    assert isinstance(failed, ModelLoadFailed) and "'../../../../tmp' is not of the form" in failed.reason
    answer = production.predict(ROW, model=name)
    assert answer.status_code == 503 and "not of the form" in answer.json()["detail"]
