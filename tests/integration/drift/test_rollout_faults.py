"""Rollouts measured by the service itself, which is killed, doubled, restarted, and loses its database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from contracts import (
    GroundTruthReceived,
    Mode,
    OutputFormat,
    PredictionMade,
    Promoted,
    RolloutChanged,
    RolloutMeasured,
    Stage,
    new_envelope,
)
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.databases import on_postgres, on_sqlite, taking_turns
from support.drifting import DriftService, promotion
from support.processes import free_port
from support.rolling_out import changed, differences, expected, label, random_rows
from support.waiting import eventually

STREAMS = (Promoted, RolloutChanged, PredictionMade, GroundTruthReceived)


class Story:
    """A rollout that began a while ago, its rows, and their labels: by request, one of an entity."""

    def __init__(self, seed: int, count: int = 600) -> None:
        self.began = datetime.now(UTC) - timedelta(seconds=30)
        self.event = changed(began_at=self.began)
        self.rows = random_rows(count, seed, split=False, began=self.began, seconds=20)
        labelled = {item.data.entity_id or item.id: item for item in self.rows}
        self.labels = [label(item, number % 2) for number, item in enumerate(labelled.values())]
        self.sums = expected(self.rows, self.labels, self.event)

    def begin(self, drift: DriftService) -> None:
        output = OutputFormat(problem="binary")
        drift.publish([promotion(output=output), new_envelope(self.event, source="gatekeeper")])

    def is_measured(self, bus: BusClient) -> RolloutMeasured | None:
        """The newest sums on the topic, once they are all there."""
        found = measures(bus)
        return found[-1] if found and differences(found[-1], self.sums) == {} else None

    def tell(self, bus: BusClient) -> str:
        found = measures(bus)
        return str(differences(found[-1], self.sums) if found else "nothing is emitted")


def measures(bus: BusClient) -> list[RolloutMeasured]:
    return [item.data for item in bus.events(RolloutMeasured.topic)]


def idle(drift: DriftService) -> bool:
    return not any(drift.behind(event) for event in STREAMS)


def test_doubled_and_replayed_rows_are_counted_once_by_two_replicas(
    own_drift: DriftService, own_bus: BusClient
) -> None:
    drift, story = own_drift, Story(1)
    drift.start_ready()
    other = DriftService(
        drift.bootstrap_servers, drift.prefix, drift.database_url, drift.mlflow_uri, drift.folder, port=free_port()
    )
    other.start_ready()
    try:
        drift.publish([item for item in story.rows[:200] for _ in range(2)])
        story.begin(drift)
        drift.publish([*story.labels[::2], *story.rows[200:], *story.labels])
        eventually(lambda: story.is_measured(own_bus), timeout=60)
    finally:
        other.stop()
    drift.stop()
    drift.rewind(*STREAMS)
    drift.start_ready()
    eventually(lambda: idle(drift), timeout=60)
    assert story.is_measured(own_bus), story.tell(own_bus)
    status, [view] = drift.ask("/rollouts?model_name=shop")
    assert (status, view["state"], view["stage"], view["recounting"]) == (200, "open", "shadow", False)
    assert differences(RolloutMeasured.model_validate(view["measured"]), story.sums) == {}


@taking_turns("point", "before_batch_commit", "before_commit", "before_mark")
def test_a_service_killed_in_the_middle_counts_each_row_once(
    own_drift: DriftService, own_bus: BusClient, point: str
) -> None:
    drift, story = own_drift, Story(2)
    drift.start(dying_at=point)
    story.begin(drift)
    drift.publish([*story.rows, *story.labels])
    eventually(drift.died, timeout=90)
    drift.start_ready()
    eventually(lambda: story.is_measured(own_bus), timeout=90)
    assert eventually(lambda: story.is_measured(own_bus)).counted_from == story.began


@on_postgres
def test_a_lost_database_begins_again_with_what_is_on_the_topics(
    kafka: EmbeddedKafka, own_drift: DriftService, own_bus: BusClient, tmp_path: Any
) -> None:
    drift, story = own_drift, Story(3)
    drift.start_ready()
    story.begin(drift)
    drift.publish([*story.rows[:400], *story.labels[:100]])
    eventually(lambda: idle(drift) and measures(own_bus), timeout=60)
    drift.stop()
    drift.database_url = f"sqlite:///{tmp_path / 'new.db'}"
    seen = len(measures(own_bus))
    drift.publish(story.rows[400:])
    drift.start_ready()
    drift.publish(story.labels)
    measured = eventually(lambda: story.is_measured(own_bus), timeout=90)
    assert measured.counted_from == story.began
    assert all(each.compared >= 400 for each in measures(own_bus)[seen:]), "nothing is emitted before all is counted"
    assert drift.windows()[0]["rows"] < 400, "windows begin with what is new"


@on_sqlite
def test_at_most_one_emission_a_second_and_the_end_is_emitted(own_drift: DriftService, own_bus: BusClient) -> None:
    drift, story = own_drift, Story(4, count=2000)
    drift.start_ready()
    story.begin(drift)
    for start in range(0, 2000, 100):
        drift.publish(story.rows[start : start + 100])
        drift.publish(story.labels[start : start + 100])
    eventually(lambda: idle(drift), timeout=60)
    drift.publish([new_envelope(changed(2, stage=Stage.ENDED, mode=Mode.OFF), source="gatekeeper")])
    last = eventually(lambda: story.is_measured(own_bus), timeout=60)
    times = [each.measured_at for each in measures(own_bus)]
    between = [later - earlier for earlier, later in pairwise(times[:-1])]
    assert all(pause >= timedelta(seconds=1) for pause in between), times
    assert last.measured_at == times[-1]
