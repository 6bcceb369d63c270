"""A canary or an A/B test in every protocol: each row by the version of its entity's arm, in order, and said so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton

from contracts import Arm, Mode, Stage
from support.bus_client import BusClient
from support.replica import Replica
from support.trials import ENTITIES, ROWS, begin, is_tried, made, reversed_pipeline, scores
from support.versions import FEATURES, Uploads, pipeline
from support.waiting import eventually

NAME, SHARE = "divided", 0.5
TRIED = [is_tried(entity, SHARE) for entity in ENTITIES]
VERSIONS = [4 if tried else 3 for tried in TRIED]
SCORES = [
    there if tried else here
    for tried, here, there in zip(TRIED, scores(pipeline(), ROWS), scores(reversed_pipeline(), ROWS), strict=True)
]
FORMS = {"compiled": {"golden": FEATURES}, "native": {}}


@pytest.fixture(scope="module", params=FORMS)
def model(request: pytest.FixtureRequest, production: Replica, bus: BusClient, uploads: Uploads) -> str:
    """The name of a model, half of whose entities are predicted by version 4."""
    name = f"{NAME}-{request.param}"
    champion = uploads.version(name, 3, pipeline(), **FORMS[request.param])
    challenger = uploads.version(name, 4, reversed_pipeline(), **FORMS[request.param])
    bus.publish(champion.promoted(7))
    eventually(lambda: production.answers_with(name, 3, 7))
    begin(production, bus, challenger.rollout(1, champion_epoch=7, mode=Mode.SPLIT, share=SHARE))
    return name


def natively(replica: Replica, model: str) -> tuple[list[float], list[int]]:
    answer = replica.predict(*ROWS, model=model).json()
    assert (answer["model_version"], answer["epoch"]) == (3, 7)
    rows = answer["predictions"]
    return [row["score"] for row in rows], [row["model_version"] for row in rows]


def as_mlflow(replica: Replica, model: str) -> tuple[list[float], list[int]]:
    answer = replica.client.post(f"/models/{model}/invocations", json={"dataframe_records": ROWS})
    assert set(answer.json()) == {"predictions"} and answer.headers["x-model-version"] == "3"
    return [row[1] for row in answer.json()["predictions"]], unpacked(answer.headers["x-model-versions"])


def as_triton(replica: Replica, model: str) -> tuple[list[float], list[int]]:
    inputs = []
    for column, datatype in (("distance", "FP64"), ("carrier", "BYTES"), ("tailnum", "BYTES")):
        values = np.array([row[column] for row in ROWS], dtype=object if datatype == "BYTES" else float)
        tensor = triton.InferInput(column, [len(values)], datatype)
        tensor.set_data_from_numpy(values)
        inputs.append(tensor)
    client = triton.InferenceServerClient(f"127.0.0.1:{replica.port}")
    answer = client.infer(model, inputs)
    client.close()
    response = answer.get_response()
    assert response["model_version"] == "3"
    return answer.as_numpy("predict_proba")[:, 1].tolist(), unpacked(response["parameters"]["model_versions"])


def unpacked(words: str) -> list[int]:
    """What a client makes of `3, 4*2`."""
    found: list[int] = []
    for run in words.split(", "):
        version, _, number = run.partition("*")
        found += [int(version)] * int(number or 1)
    return found


@pytest.mark.parametrize("protocol", [natively, as_mlflow, as_triton])
def test_each_row_is_predicted_by_the_version_of_its_entity_in_its_place(
    production: Replica, model: str, protocol: Callable[[Replica, str], tuple[list[float], list[int]]]
) -> None:
    assert 5 < sum(TRIED) < 19
    found, versions = protocol(production, model)
    assert versions == VERSIONS
    assert np.allclose(found, SCORES, atol=1e-9)


def test_the_events_have_the_arm_of_each_row_and_what_its_version_made_of_it(
    production: Replica, bus: BusClient, model: str
) -> None:
    answer = production.predict(*ROWS, model=model, headers={"X-Request-ID": "events"})
    labels = [row["label"] for row in answer.json()["predictions"]]
    eventually(lambda: len([event for event in made(bus, model, 1) if event.request_id == "events"]) == len(ROWS))
    events = [event for event in made(bus, model, 1) if event.request_id == "events"]
    for number, event in enumerate(events):
        assert (event.row, event.entity_id) == (number, ENTITIES[number])
        assert (event.rollout_id, event.step) == (f"{model}-4", 1)
        assert event.champion.model_version == 3
        if TRIED[number]:
            assert event.arm is Arm.CHALLENGER and event.challenger is not None
            assert (event.champion.label, event.champion.score, event.champion.latency_ms) == (None, None, None)
            output = event.challenger
            assert output.model_version == 4
        else:
            assert event.arm is Arm.CHAMPION and event.challenger is None
            output = event.champion
        assert (output.label, output.error) == (labels[number], None)
        assert output.score == pytest.approx(SCORES[number]) and output.latency_ms is not None
        assert event.features == {name: ROWS[number][name] for name in ("distance", "carrier")}


@pytest.mark.parametrize("version", [3, 4])
def test_a_request_of_one_arm_names_its_version(production: Replica, model: str, version: int) -> None:
    rows = [row for row, of_row in zip(ROWS, VERSIONS, strict=True) if of_row == version]
    for some in (rows, rows[:1]):
        answer = production.predict(*some, model=model).json()
        assert (answer["model_version"], answer["epoch"]) == (version, 7 if version == 3 else None)
        assert {row["model_version"] for row in answer["predictions"]} == {version}
        header = production.client.post(f"/models/{model}/invocations", json={"dataframe_records": some}).headers
        assert header["x-model-version"] == str(version)


def test_a_client_that_names_the_champions_version_has_it(production: Replica, bus: BusClient, model: str) -> None:
    data: dict[str, Any] = {"inputs": [], "id": "pinned"}
    for column, datatype in (("distance", "FP64"), ("carrier", "BYTES"), ("tailnum", "BYTES")):
        values = [row[column] for row in ROWS]
        data["inputs"].append({"name": column, "shape": [len(ROWS)], "datatype": datatype, "data": values})
    path = f"/v2/models/{model}/versions/3/infer"
    answer = production.client.post(path, json=data, headers={"X-Request-ID": "pinned"})
    assert answer.json()["model_version"] == "3" and "parameters" not in answer.json()
    eventually(lambda: len([event for event in made(bus, model, 1) if event.request_id == "pinned"]) == len(ROWS))
    events = [event for event in made(bus, model, 1) if event.request_id == "pinned"]
    assert {(event.arm, event.rollout_id) for event in events} == {(None, None)}, "no draw, so no part of the rollout"
    assert production.client.post(path.replace("3", "4"), json=data).status_code == 404


def test_rows_without_entity_are_drawn_one_by_one(production: Replica, model: str) -> None:
    rows = [{"distance": row["distance"], "carrier": row["carrier"]} for row in ROWS]
    answer = production.predict(*rows, model=model, headers={"X-Request-ID": "without"}).json()
    expected = [4 if is_tried(f"without:{row}", SHARE) else 3 for row in range(len(rows))]
    assert [row["model_version"] for row in answer["predictions"]] == expected
    assert set(expected) == {3, 4}


def test_without_a_rollout_and_in_a_shadow_the_answers_are_as_ever(
    production: Replica, bus: BusClient, uploads: Uploads, name: str
) -> None:
    def asked() -> list[tuple[bytes, dict[str, str]]]:
        given = {"headers": {"X-Request-ID": "same"}}
        answers = [
            production.predict(*ROWS, model=name, **given),
            production.client.post(f"/models/{name}/invocations", json={"dataframe_records": ROWS}, **given),
            production.client.post(f"/v2/models/{name}/infer", json={"inputs": TENSORS}, **given),
        ]
        return [(answer.content, {k: v for k, v in answer.headers.items() if k != "date"}) for answer in answers]

    bus.publish(uploads.version(name, 3, pipeline(), golden=FEATURES).promoted(1))
    eventually(lambda: production.answers_with(name, 3, 1))
    before = asked()
    challenger = uploads.version(name, 4, reversed_pipeline(), golden=FEATURES)
    begin(production, bus, challenger.rollout(1, champion_epoch=1))
    assert asked() == before
    begin(production, bus, challenger.rollout(2, champion_epoch=1, mode=Mode.SPLIT, share=1.0))
    assert asked() != before
    begin(production, bus, challenger.rollout(3, champion_epoch=1, stage=Stage.ENDED, mode=Mode.OFF, result="kept"))
    assert asked() == before


TENSORS = [
    {"name": name, "shape": [len(ROWS)], "datatype": datatype, "data": [row[name] for row in ROWS]}
    for name, datatype in (("distance", "FP64"), ("carrier", "BYTES"), ("tailnum", "BYTES"))
]
