"""The Python client against a real replica: predictions of rows in any form, feedback, and what it refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gauntlet_client import AsyncGauntlet, Gauntlet, Invalid, NotFound, Predictions
from support.bus_client import BusClient
from support.replica import Replica
from support.versions import ROW, Uploads
from support.waiting import eventually

NAME = "from-python"


@pytest.fixture
def at(production: Replica, bus: BusClient, uploads: Uploads) -> str:
    """The address of a replica that serves the model."""
    if not production.answers_with(NAME, 1, 1):
        bus.publish(uploads.version(NAME, 1).promoted(1))
        eventually(lambda: production.answers_with(NAME, 1, 1))
    return f"http://127.0.0.1:{production.port}"


@pytest.fixture
def client(at: str, tmp_path: Path) -> Iterator[Gauntlet]:
    with Gauntlet(serving=at, data_dir=tmp_path) as found:
        yield found


def scores(found: Predictions) -> list[float | None]:
    return [each.score for each in found.predictions]


def test_rows_in_any_form_are_predicted_alike(client: Gauntlet) -> None:
    rows = [dict(ROW), dict(ROW)]
    expected = client.predict(NAME, rows)
    assert (expected.model_name, expected.model_version, expected.epoch) == (NAME, 1, 1)
    assert len(expected.predictions) == 2
    columns = {name: [value, value] for name, value in ROW.items()}
    arrays = {name: np.array(values) for name, values in columns.items()}
    for given in (columns, arrays, pd.DataFrame(rows)):
        assert scores(client.predict(NAME, given)) == scores(expected)


def test_feedback_of_a_prediction_is_on_the_topic_and_counts_once(client: Gauntlet, bus: BusClient) -> None:
    found = client.predict(NAME, [ROW])
    item = {
        "request_id": found.request_id,
        "row": 0,
        "label": np.int64(1),
        "event_time": pd.Timestamp("2013-06-01", tz="UTC"),
    }
    assert client.feedback(NAME, [item]).accepted == 1
    assert client.feedback(NAME, [item]).accepted == 1
    events = [each for each in bus.events("ground-truth") if each.data.request_id == found.request_id]
    assert [each.data.label for each in events] == [1, 1]
    assert len({each.id for each in events}) == 1


def test_refusals_name_the_field_and_the_model(client: Gauntlet) -> None:
    with pytest.raises(Invalid, match="nonsense") as invalid:
        client.predict(NAME, [{**ROW, "nonsense": 1}])
    assert invalid.value.status == 422
    assert invalid.value.problem["errors"][0]["row"] == 0
    with pytest.raises(NotFound, match="no-such-model"):
        client.predict("no-such-model", [ROW])


def test_the_same_with_asyncio(at: str, tmp_path: Path) -> None:
    async def both() -> list[Predictions]:
        async with AsyncGauntlet(serving=at, data_dir=tmp_path) as client:
            return list(await asyncio.gather(*(client.predict(NAME, [ROW]) for _ in range(2))))

    one, other = asyncio.run(both())
    assert scores(one) == scores(other)
    assert one.request_id != other.request_id
