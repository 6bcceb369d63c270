"""A hot model: two processes share its rows, and each row and each window counts once."""

from __future__ import annotations

from typing import Any

from contracts import Dataset, PredictionMade
from support.bus_client import BusClient
from support.drifting import MODEL, WINDOW, DriftService, customers, detected, predictions, promotion, truths
from support.processes import free_port
from support.waiting import eventually

SPREAD = 6


def kept(drift: DriftService) -> int:
    _, text = drift.ask("/metrics")
    found = [line for line in str(text).splitlines() if line.startswith('drift_predictions_total{fate="kept"')]
    return sum(int(float(line.split()[-1])) for line in found)


def test_two_processes_share_a_model_whose_rows_are_on_several_partitions(
    own_drift: DriftService, own_bus: BusClient, reference: Dataset
) -> None:
    drift = own_drift
    other = DriftService(
        drift.bootstrap_servers, drift.prefix, drift.database_url, drift.mlflow_uri, drift.folder, port=free_port()
    )
    drift.start_ready()
    other.start_ready()
    made: list[Any] = []

    def both_take() -> bool:
        """More and more rows: the group may divide the partitions a while after both are ready."""
        more = predictions(customers(WINDOW, len(made), shift=1.0), entity=True)
        drift.publish(more, spread=SPREAD)
        made.extend(more)
        eventually(lambda: not drift.behind(PredictionMade), timeout=60)
        return bool(kept(drift) and kept(other))

    try:
        drift.publish([promotion(reference=reference)])
        eventually(both_take, timeout=60)
        drift.publish(made, spread=SPREAD)  # all of it again
        drift.publish(truths(made[::2]))
        eventually(drift.idle, timeout=60)
        counted = kept(drift), kept(other)
    finally:
        other.stop()
    assert sum(counted) == len(made)
    windows = drift.windows()
    assert [window["rows"] for window in windows] == [WINDOW] * (len(made) // WINDOW)
    assert sum(window["labelled"] for window in windows) == len(made) // 2
    assert [window["data"]["outcome"] for window in windows] == ["Failed"] * len(windows)
    assert len(detected(own_bus, MODEL)) == 1, "the others are within the cooldown"
    with_event = [window for window in windows if window["data"]["event_id"]]
    assert len(with_event) == 1
