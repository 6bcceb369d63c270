"""Events for a program of somebody's own, against a real broker: each at least once, in order, and none lost."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from contracts import Envelope, TrainingRequested, new_envelope
from contracts.errors import Permanent, Transient
from embedded_kafka import EmbeddedKafka
from gauntlet_client import AsyncGauntlet, ClientError, Gauntlet, Unreachable
from support.bus_client import BusClient
from support.processes import free_port
from support.waiting import eventually

QUIET = 4.0
"""Seconds without an event after which a loop ends: more than a new group's first assignment takes."""


@pytest.fixture
def gauntlet(
    kafka: EmbeddedKafka, topic_prefix: str, own_bus: BusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gauntlet]:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("GAUNTLET_DATA_DIR", str(tmp_path))
    with Gauntlet() as client:
        yield client


def requested(name: str, window: str) -> Envelope[TrainingRequested]:
    return new_envelope(TrainingRequested(model_name=name, window=window, requested_by="ann"), source="test")


def publish(bus: BusClient, *windows: str, name: str = "flights") -> None:
    for window in windows:
        bus.send(requested(name, window))


def test_ten_lines_and_an_exception_does_not_commit(gauntlet: Gauntlet, own_bus: BusClient) -> None:
    publish(own_bus, "a", "b", "c")
    seen = []
    with pytest.raises(RuntimeError, match="full"):
        for event in gauntlet.events(TrainingRequested, group="mine", timeout=QUIET):
            seen.append(event.data.window)
            if event.data.window == "b":
                raise RuntimeError("the disk is full")
    gauntlet.close()
    again = [event.data.window for event in gauntlet.events("TrainingRequested", group="mine", timeout=QUIET)]
    assert (seen, again) == (["a", "b"], ["b", "c"])
    gauntlet.close()
    assert [*gauntlet.events("TrainingRequested", group="mine", timeout=QUIET)] == [], "all three are committed"


def test_a_loop_that_begins_again_gets_the_event_again_that_the_last_one_failed_at(
    gauntlet: Gauntlet, own_bus: BusClient
) -> None:
    publish(own_bus, "a", "b")
    found = gauntlet.events(TrainingRequested, group="mine", timeout=QUIET)
    for _ in found:
        break
    assert [event.data.window for event in found] == ["a", "b"]


def test_what_is_committed_before_a_break_does_not_come_again(gauntlet: Gauntlet, own_bus: BusClient) -> None:
    publish(own_bus, "a", "b")
    with gauntlet.events(TrainingRequested, group="mine", timeout=QUIET) as found:
        for _ in found:
            found.commit()
            break
    assert [e.data.window for e in gauntlet.events(TrainingRequested, group="mine", timeout=QUIET)] == ["b"]


def test_unknown_types_and_what_is_no_event_are_skipped_with_a_warning_and_other_models_without(
    gauntlet: Gauntlet, own_bus: BusClient, caplog: pytest.LogCaptureFixture
) -> None:
    newer = [("ce_type", b"gauntlet.TrainingRequested.v9"), ("ce_id", b"1"), ("ce_source", b"x")]
    own_bus.raw("training", b"flights", b"{}", newer)
    own_bus.raw("training", b"flights", b"no JSON", [("ce_type", TrainingRequested.type.encode())])
    publish(own_bus, "other", name="churn")
    publish(own_bus, "a")
    with caplog.at_level(logging.WARNING, "gauntlet_client"):
        found = [*gauntlet.events(TrainingRequested, group="mine", model="flights", timeout=QUIET)]
    assert [event.data.window for event in found] == ["a"]
    said = [record.getMessage() for record in caplog.records if record.name == "gauntlet_client"]
    assert len(said) == 2
    assert "newer version" in " ".join(said)
    assert "no event" in " ".join(said)


def test_a_new_group_that_starts_latest_loses_nothing_that_comes_while_it_is_down(
    gauntlet: Gauntlet, own_bus: BusClient
) -> None:
    publish(own_bus, "before")
    assert [*gauntlet.events(TrainingRequested, group="mine", start="latest", timeout=QUIET)] == []
    gauntlet.close()
    publish(own_bus, "while down")
    found = [*gauntlet.events(TrainingRequested, group="mine", start="latest", timeout=QUIET)]
    assert [event.data.window for event in found] == ["while down"]


def test_a_handler_is_called_again_and_what_is_given_up_on_is_a_dead_letter_of_the_group(
    gauntlet: Gauntlet, own_bus: BusClient
) -> None:
    publish(own_bus, "fine", "busy", "wrong", "defect", "last")
    attempts: dict[str, int] = {}

    def handler(event: Envelope[Any]) -> None:
        window = event.data.window
        attempts[window] = attempts.get(window, 0) + 1
        if window == "busy" and attempts[window] < 3:
            raise Transient("try later")
        if window == "wrong":
            raise Permanent("no such window")
        if window == "defect":
            raise KeyError("x")

    gauntlet.handle(handler, "TrainingRequested", group="mine", timeout=QUIET)
    assert attempts == {"fine": 1, "busy": 3, "wrong": 1, "defect": 5, "last": 1}
    letters = own_bus.dead_letters()
    assert sorted(letter.error for letter in letters.values()) == ["KeyError: 'x'", "Permanent: no such window"]
    assert {letter.service for letter in letters.values()} == {"mine"}


def test_without_dead_letters_the_error_ends_the_handling_and_the_event_comes_again(
    gauntlet: Gauntlet, own_bus: BusClient
) -> None:
    publish(own_bus, "wrong", "next")

    def handler(event: Envelope[Any]) -> None:
        raise Permanent(event.data.window)

    with pytest.raises(Permanent, match="wrong"):
        gauntlet.handle(handler, TrainingRequested, group="mine", dead_letters=False, timeout=QUIET)
    found = [*gauntlet.events(TrainingRequested, group="mine", timeout=QUIET)]
    assert [event.data.window for event in found] == ["wrong", "next"]
    assert own_bus.dead_letters() == {}


def test_the_same_with_asyncio(gauntlet: Gauntlet, own_bus: BusClient) -> None:
    publish(own_bus, "a", "b", "wrong", "d")

    async def both() -> tuple[list[str], list[str]]:
        loop, handled = [], []

        async def handler(event: Envelope[Any]) -> None:
            if event.data.window == "wrong":
                raise Permanent("no such window")
            handled.append(event.data.window)

        async with AsyncGauntlet() as client:
            with pytest.raises(RuntimeError):
                async for event in client.events(TrainingRequested, group="mine", timeout=QUIET):
                    loop.append(event.data.window)
                    if event.data.window == "b":
                        raise RuntimeError
        async with AsyncGauntlet() as client:
            await client.handle(handler, TrainingRequested, group="mine", timeout=QUIET)
        return loop, handled

    assert asyncio.run(both()) == (["a", "b"], ["b", "d"])
    assert [letter.error for letter in own_bus.dead_letters().values()] == ["Permanent: no such window"]


PROGRAM = """
import sys, time
from gauntlet_client import Gauntlet

with Gauntlet() as gauntlet, open(sys.argv[1], "a", buffering=1) as log:
    for event in gauntlet.events("TrainingRequested", group="killed", timeout=float(sys.argv[2])):
        print("begun", event.id, file=log)
        if sys.argv[3] == event.data.window:
            time.sleep(600)  # in the middle of a body, when the kill comes
        print("done", event.id, file=log)
        if event.data.window == "5":
            break
"""


def test_none_is_lost_when_the_program_is_killed_in_the_middle_of_a_body(
    gauntlet: Gauntlet, own_bus: BusClient, tmp_path: Path
) -> None:
    events = [requested("flights", str(number)) for number in range(6)]
    for event in events:
        own_bus.send(event)
    log = tmp_path / "log"
    for killed_at in ("2",):
        arguments = [sys.executable, "-c", PROGRAM, str(log), "60", killed_at]
        process = subprocess.Popen(arguments, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        try:
            begun = f"begun {events[int(killed_at)].id}"
            eventually(lambda begun=begun: log.exists() and begun in log.read_text().splitlines()[-1:], timeout=60)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    # The group waits for the dead member until its session ends.
    subprocess.run([sys.executable, "-c", PROGRAM, str(log), "60", "none"], check=True, timeout=150)
    lines = [line.split() for line in log.read_text().splitlines()]
    done = [event_id for word, event_id in lines if word == "done"]
    begun = [event_id for word, event_id in lines if word == "begun"]
    assert done == [event.id for event in events], "each once, in order, since each kill came before the end of a body"
    assert {each for each in begun if begun.count(each) > 1} == {events[2].id}


def test_no_broker_is_said_with_its_address(tmp_path: Path) -> None:
    at = f"127.0.0.1:{free_port()}"
    with (
        Gauntlet(kafka=at, data_dir=tmp_path) as gauntlet,
        pytest.raises(Unreachable, match=f"Kafka at {at} does not answer"),
    ):
        gauntlet.events("Promoted", group=f"g-{uuid4().hex}")


def test_a_type_that_there_is_not_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with Gauntlet(data_dir=tmp_path) as gauntlet, pytest.raises(ClientError, match=r"Promotd.*\n.*Promoted"):
        gauntlet.events("Promotd", group="mine")
