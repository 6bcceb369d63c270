"""A version that a rollout tries and that raises, hangs, is slow or returns rubbish: no user meets it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from contracts import Arm, Mode
from support.bus_client import BusClient
from support.replica import Replica
from support.trials import ENTITIES, ROWS, WAYS, begin, is_tried, made, misbehaving, scores
from support.versions import FEATURES, Uploads, Version, pipeline
from support.waiting import eventually

SHARE = 0.5
DEADLINE = 1.0
TRIED = [is_tried(entity, SHARE) for entity in ENTITIES]
WORDS = {
    "raises": "no such carrier",
    "hangs": "no prediction within 1 s",
    "sleeps": "no prediction within 1 s",
    "NaN": "NaN",
    "too few rows": f"answers for {sum(TRIED)} rows",
    "another shape": "(rows,) or (rows, 2)",
    "a text": "'late' is none of the classes",
    "exits": "the model ends",
}


@pytest.fixture(scope="module")
def patient(production: Replica, tmp_path_factory: pytest.TempPathFactory, bus: BusClient) -> Iterator[Replica]:
    """A replica that gives a tried version one second, and a request five."""
    folder = tmp_path_factory.mktemp("patient")
    replica = Replica(production.bootstrap_servers, production.prefix, production.tracking_uri, folder)
    replica.env = {"SERVING_TRIAL_SECONDS": str(DEADLINE), "SERVING_REQUEST_SECONDS": "5"}
    replica.start_ready()
    yield replica
    replica.stop()


def tried(uploads: Uploads, folder: Path, name: str, way: str) -> Version:
    digest = misbehaving(folder / "model", way, seconds=2.5)
    return uploads.folder(name, 4, folder / "model", digest)


SPLIT_WAYS, SHADOW_WAYS = ("raises", "hangs", "NaN", "exits"), ("raises", "sleeps", "too few rows", "leaks")


def ways(kept: tuple[str, ...], *without: str) -> pytest.MarkDecorator:
    """Those of `kept`: an error, no prediction in time, and one that is none, are in both modes. Others: exhaustive."""
    chosen = [
        pytest.param(way, marks=() if way in kept else pytest.mark.exhaustive) for way in WAYS if way not in without
    ]
    return pytest.mark.parametrize("way", chosen)


@ways(SPLIT_WAYS, "leaks")
def test_its_rows_are_answered_by_the_champion_and_count_as_its_errors(
    patient: Replica, bus: BusClient, uploads: Uploads, tmp_path: Path, name: str, way: str
) -> None:
    bus.publish(uploads.version(name, 3, pipeline(), golden=FEATURES).promoted(1))
    eventually(lambda: patient.answers_with(name, 3, 1))
    challenger = tried(uploads, tmp_path, name, way)
    begin(patient, bus, challenger.rollout(1, champion_epoch=1, mode=Mode.SPLIT, share=SHARE))
    began = time.monotonic()
    answer = patient.predict(*ROWS, model=name, headers={"X-Request-ID": "first"})
    assert time.monotonic() - began < DEADLINE + 1
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    assert np.allclose([row["score"] for row in rows], scores(pipeline(), ROWS), atol=1e-9)
    assert {row["model_version"] for row in rows} == {3}
    mlflows = patient.client.post(
        f"/models/{name}/invocations", json={"dataframe_records": ROWS}, headers={"X-Request-ID": "second"}
    )
    assert np.allclose([row[1] for row in mlflows.json()["predictions"]], scores(pipeline(), ROWS), atol=1e-9)
    for number, event in enumerate(made(bus, name, 2 * len(ROWS))):
        assert event.champion.label is not None and event.champion.error is None
        assert event.arm is (Arm.CHALLENGER if TRIED[number % len(ROWS)] else Arm.CHAMPION)
        if event.arm is Arm.CHALLENGER:
            assert event.challenger is not None and event.challenger.label is None
            assert event.challenger.error is not None
            if event.request_id == "first":
                assert WORDS[way] in event.challenger.error


def test_one_that_hangs_slows_whoever_meets_it_first_and_nobody_after(
    patient: Replica, bus: BusClient, uploads: Uploads, tmp_path: Path, name: str
) -> None:
    bus.publish(uploads.version(name, 3, pipeline(), golden=FEATURES).promoted(1))
    eventually(lambda: patient.answers_with(name, 3, 1))
    challenger = tried(uploads, tmp_path, name, "hangs")
    begin(patient, bus, challenger.rollout(1, champion_epoch=1, mode=Mode.SPLIT, share=1.0))
    slow = 0
    for _ in range(40):
        began = time.monotonic()
        answer = patient.predict(ROWS[-1], model=name)
        assert answer.status_code == 200 and answer.json()["predictions"][0]["model_version"] == 3
        slow += time.monotonic() - began > DEADLINE / 2
    assert 1 <= slow <= 2
    errors = [event.challenger.error for event in made(bus, name, 40) if event.challenger]
    assert len(errors) == 40 and any("a call of it is running for" in str(error) for error in errors)


@ways(SHADOW_WAYS)
def test_in_a_shadow_it_costs_the_user_nothing(
    patient: Replica, bus: BusClient, uploads: Uploads, tmp_path: Path, name: str, way: str
) -> None:
    bus.publish(uploads.version(name, 3, pipeline(), golden=FEATURES).promoted(1))
    eventually(lambda: patient.answers_with(name, 3, 1))
    challenger = tried(uploads, tmp_path, name, way)
    begin(patient, bus, challenger.rollout(1, champion_epoch=1))
    seconds = []
    for _ in range(10):
        began = time.monotonic()
        answer = patient.predict(*ROWS[8:12], model=name)
        seconds.append(time.monotonic() - began)
        assert answer.status_code == 200
        assert np.allclose([row["score"] for row in answer.json()["predictions"]], scores(pipeline(), ROWS[8:12]))
    assert sorted(seconds)[8] < DEADLINE / 2
    events = made(bus, name, 40)
    assert len(events) == 40 and all(event.arm is None and event.step == 1 for event in events)
    assert all(event.champion.label is not None for event in events)
    outputs = [event.challenger for event in events]
    if way in ("leaks", "sleeps"):
        good = [output for output in outputs if output and output.error is None]
        assert good and all(output.score == 0.25 and output.latency_ms is not None for output in good)
        assert way == "sleeps" or len(good) == 40
    else:
        assert all(output and output.error and output.label is None for output in outputs)


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.SPLIT])
def test_what_the_champion_fails_on_is_published_too_in_every_protocol(
    patient: Replica, bus: BusClient, uploads: Uploads, tmp_path: Path, name: str, mode: Mode
) -> None:
    bus.publish(tried(uploads, tmp_path, name, "raises").promoted(1))
    eventually(lambda: patient.answers_with(name, 4, 1))
    row = next(row for row, is_its in zip(ROWS, TRIED, strict=True) if row["distance"] > 1000 and not is_its)
    assert patient.predict(row, model=name).status_code == 503
    begin(
        patient,
        bus,
        uploads.version(name, 5, pipeline(), golden=FEATURES).rollout(1, champion_epoch=1, mode=mode, share=SHARE),
    )
    tensors = [
        {"name": column, "shape": [1], "datatype": datatype, "data": [row[column]]}
        for column, datatype in (("distance", "FP64"), ("carrier", "BYTES"), ("tailnum", "BYTES"))
    ]
    assert patient.predict(row, model=name).status_code == 503
    records = {"dataframe_records": [row]}
    assert patient.client.post(f"/models/{name}/invocations", json=records).status_code == 400
    assert patient.client.post(f"/v2/models/{name}/infer", json={"inputs": tensors}).status_code == 503
    events = made(bus, name, 3)
    assert len(events) == 3, "not the one from before the rollout"
    for event in events:
        assert event.champion.label is None and "no such carrier" in str(event.champion.error)
        assert event.challenger is None and event.rollout_id is not None
        assert event.arm is (Arm.CHAMPION if mode is Mode.SPLIT else None)
