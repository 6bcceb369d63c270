"""What a replica believes after a restart, after a rotation of keys, and when its record of decisions is damaged."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from contracts import Mode, Promoted
from contracts.cloudevents import Record
from support.believers import Believer, run
from support.forged import FIRST, SECOND, World, full, version, world


@pytest.fixture
def made() -> World:
    return world()


async def begun(folder: Path, made: World, records: list[Record], role: str = "production") -> Believer:
    """A replica that has started, and read these records as those that were there."""
    replica = Believer(folder, made, role)
    await replica.trust.start()
    await replica.read(records)
    await replica.catch_up()
    return replica


def behind(replica: Believer, model_name: str = FIRST) -> Any:
    return replica.trust.about(model_name)["topic_behind"]


@pytest.mark.parametrize("role", ["production", "staging"])
def test_a_replica_that_restarts_does_not_go_back_to_what_was_put_on_the_topic(
    tmp_path: Path, made: World, role: str
) -> None:
    async def scenario() -> None:
        before = (await begun(tmp_path, made, made.history, role)).in_force()
        for topic in ([], made.superseded, [record._replace(value=None) for record in made.newest]):
            replica = await begun(tmp_path, made, topic, role)
            assert replica.in_force() == before
            assert behind(replica) and behind(replica, SECOND)
            await replica.read(made.newest)  # the gatekeeper publishes them again
            assert replica.in_force() == before and behind(replica) is None
        whole = await begun(tmp_path, made, made.history, role)
        assert whole.trust.details()["refused"] == 0 and behind(whole) is None

    run(scenario)


def test_a_replica_without_a_record_believes_the_last_of_a_topic_and_knows_no_better(
    tmp_path: Path, made: World
) -> None:
    async def scenario() -> None:
        old = [record for record in made.superseded if record.topic == Promoted.topic][:1]
        replica = await begun(tmp_path, made, old)
        assert replica.version() == 1 and behind(replica) is None

    run(scenario)


def test_of_one_epoch_the_later_decision_is_in_force_in_whatever_order_they_are_read(
    tmp_path: Path, made: World
) -> None:
    async def scenario() -> None:
        earlier = made.signed(full(version("a", 1).promoted(1)), minutes=1)
        later = made.signed(full(version("a", 2).promoted(1)), minutes=2)
        for number, records in enumerate(([earlier, later], [later, earlier], [later, earlier, earlier])):
            (tmp_path / str(number)).mkdir()
            replica = await begun(tmp_path / str(number), made, records)
            assert replica.version("a") == 2
            await replica.read([earlier])
            assert replica.version("a") == 2 and "epoch 1 of 2026" in replica.trust.about("a")["refused"]["reason"]

    run(scenario)


def test_a_decision_that_names_no_digest_is_refused_although_it_is_signed(tmp_path: Path, made: World) -> None:
    async def scenario() -> None:
        for digest in (None, "", "md5:1", "sha256:" + "A" * 64, "sha256:" + "a" * 63):
            passed = version("a", 1).gate_passed().model_copy(update={"artifact_digest": digest})
            promoted = version("a", 1).promoted(1).model_copy(update={"artifact_digest": digest or ""})
            rollout = version("a", 1).rollout(1, champion_epoch=1, mode=Mode.SPLIT)
            tried = rollout.tried.model_copy(update={"artifact_digest": digest or ""})
            for role, event in (
                ("staging", passed),
                ("staging", promoted),
                ("production", promoted),
                ("production", rollout.model_copy(update={"tried": tried})),
            ):
                replica = await begun(tmp_path, made, [], role)
                await replica.read([made.signed(event)])
                assert replica.in_force() == {}
                assert replica.trust.about("a")["refused"]["why"] == "incomplete"

    run(scenario)


def test_a_rotation_needs_no_restart_and_what_came_before_its_key_is_believed_then(tmp_path: Path, made: World) -> None:
    async def scenario() -> None:
        replica = await begun(tmp_path, made, made.history)
        new = made.signed(full(version(FIRST, 9).promoted(9)), made.other)
        await replica.read([new])
        assert replica.version() == 5 and replica.trust.about(FIRST)["refused"]["why"] == "signature"
        (tmp_path / "trusted" / "new.pem").write_bytes(made.other.public_pem())
        assert replica.keys.look()
        for hook in replica.keys._hooks:
            hook()
        assert replica.follower._again, "it reads the topics again"
        await replica.read([*made.history, new])
        await replica.catch_up()
        assert replica.version() == 9 and behind(replica) is None
        assert replica.trust.details()["refused"] == 1

    run(scenario)


def test_what_was_kept_of_a_key_that_is_trusted_no_more_is_not_believed_and_does_not_stand_in_the_way(
    tmp_path: Path, made: World
) -> None:
    async def scenario() -> None:
        stolen = made.signed(full(version(FIRST, 666).promoted(2**31 - 1)), made.other)
        (tmp_path / "trusted").mkdir()
        (tmp_path / "trusted" / "stolen.pem").write_bytes(made.other.public_pem())
        assert (await begun(tmp_path, made, [*made.history, stolen])).version() == 666
        (tmp_path / "trusted" / "stolen.pem").unlink()
        for topic in ([*made.history, stolen], made.history, []):
            assert (await begun(tmp_path, made, topic)).version() == 5

    run(scenario)


@pytest.mark.parametrize("damage", ["no database", "cut", "a folder", "changed", "removed"])
def test_a_damaged_record_is_said_and_the_topic_is_believed(tmp_path: Path, made: World, damage: str) -> None:
    async def scenario() -> None:
        before = (await begun(tmp_path, made, made.history)).in_force()
        file = Believer(tmp_path, made).settings.decisions_file
        if damage == "no database":
            file.write_bytes(b"x" * 5000)
        elif damage == "cut":
            os.truncate(file, 5000)
        elif damage == "changed":
            with sqlite3.connect(file) as connection:
                connection.execute("UPDATE decisions SET value = replace(value, 5, 6), number = 1000000")
        else:
            file.unlink()
            if damage == "a folder":
                file.mkdir()
        replica = await begun(tmp_path, made, made.history)
        assert replica.in_force() == before
        problem = replica.trust.details()["record"]["problem"]
        if damage in ("changed", "removed"):
            assert problem is None
            assert (await begun(tmp_path, made, [])).in_force() == before, "it was kept anew"
        else:
            assert str(file) in problem and "an older decision could be believed" in problem

    run(scenario)
