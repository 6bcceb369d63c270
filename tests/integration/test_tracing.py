"""Traces of a real trainer, gatekeeper and replica, as a collector gets them: one drift leads to the swap, by links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from contracts import DriftDetected, DriftKind, DriftWindow, new_envelope
from embedded_kafka import EmbeddedKafka
from support.bus_client import BusClient
from support.gatekeepers import Gatekeepers
from support.mlflow_server import MlflowServer
from support.otlp_receiver import OtlpReceiver, Span
from support.replica import Replica
from support.trainers import Trainers
from support.waiting import eventually

CAUSE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
POLICY = {
    "metric": "roc_auc",
    "entity": "user",
    "gates": {"latency": False, "performance": {"floor": {"roc_auc": 0.5}}},
    "sandbox": {"seconds": 60, "memory_mb": 1024},
}


@pytest.fixture
def collector() -> Iterator[OtlpReceiver]:
    with OtlpReceiver() as found:
        yield found


def cause_of(span: Span, spans: list[Span]) -> Span | None:
    """The span around it, else the one that it is linked to."""
    by_id = {each.span_id: each for each in spans}
    return next((by_id[each] for each in (span.parent_id, *span.links) if each in by_id), None)


def way_to(span: Span, spans: list[Span]) -> list[Span]:
    way = [span]
    while (cause := cause_of(way[-1], spans)) is not None:
        way.append(cause)
    return way[::-1]


def test_from_the_spans_alone_a_drift_is_followed_to_the_swap(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path: Path, collector: OtlpReceiver
) -> None:
    prefix, traced = (
        f"o{uuid4().hex[:8]}.",
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-team=ours",
            "OTEL_BSP_SCHEDULE_DELAY": "200",
            "LOG_FORMAT": "json",
        },
    )
    where = (kafka.bootstrap_servers, prefix)
    trainers = Trainers(*where, f"sqlite:///{tmp_path / 'trainer.db'}", mlflow_server.uri, tmp_path)
    name = trainers.model("traced", recipe="recipe", **POLICY)
    gatekeepers = Gatekeepers(*where, f"sqlite:///{tmp_path / 'gatekeeper.db'}", mlflow_server.uri, tmp_path)
    replica = Replica(*where, mlflow_server.uri, tmp_path / "serving", env=traced)
    bus = BusClient(*where)
    try:
        trainers.start(**traced)
        gatekeepers.start_ready(**traced)
        replica.start_ready()
        eventually(trainers.ready, timeout=60)
        moment = datetime(2024, 1, 3, 12, tzinfo=UTC)
        window = DriftWindow(id="w", rows=2000, start=moment, end=moment)
        fields = {"model_name": name, "model_version": 1, "kind": DriftKind.DATA, "window": window, "reason": "moved"}
        drift = new_envelope(DriftDetected.model_validate(fields), source="drift")
        bus.send(drift.model_copy(update={"traceparent": CAUSE}))
        eventually(lambda: [each["state"] for each in trainers.jobs(name)] == ["done"], timeout=90)
        registered = f"/models/{name}/candidates/1"
        eventually(lambda: gatekeepers.client.get(f"{gatekeepers.url()}{registered}").status_code == 200, timeout=30)
        verdict = gatekeepers.judged(name, 1)
        assert verdict["state"] == "passed", verdict["verdicts"]
        eventually(lambda: replica.answers_with(name, 1, 1), timeout=120)
        swap = eventually(lambda: next((each for each in collector.spans if each.name == "swap"), None), timeout=30)
    finally:
        replica.stop()
        gatekeepers.stop()
        trainers.stop()
        bus.close()
    spans = list(collector.spans)
    way = way_to(swap, spans)
    assert [span.name for span in way] == [
        "job train",
        "create model-registered",
        "job gate",
        "create promoted",
        "load",
        "swap",
    ]
    services = ["trainer", "trainer", "gatekeeper", "gatekeeper", "serving", "serving"]
    assert [span.service for span in way] == [f"gauntlet-{each}" for each in services]
    assert way[0].links == (CAUSE.split("-")[2],), "linked to what published the drift"
    assert len({span.trace_id for span in way}) == 3, "each job and load is a trace of its own"
    for span in way:
        assert span.attributes["gauntlet.model_name"] == name
        assert span.attributes["gauntlet.correlation_id"] == drift.id
    assert (swap.attributes["gauntlet.model_version"], swap.attributes["gauntlet.epoch"]) == (1, 1)
    received = next(each for each in spans if each.name == f"process {prefix}promoted" and "serving" in each.service)
    created = way[3]
    assert received.links == (created.span_id,) and received.attributes["messaging.kafka.offset"] == 0
    sent = next(each for each in spans if each.name == f"send {prefix}promoted")
    assert sent.links == (created.span_id,) and sent.attributes["messaging.operation.type"] == "send"
    assert created.attributes["messaging.message.id"] == sent.attributes["messaging.message.id"]
    assert [each.name for each in spans if each.is_error] == []
    assert {each.get("x-team") for each in collector.headers} == {"ours"}
    assert f'"trace_id": "{way[2].trace_id}"' in (tmp_path / "gatekeeper.log").read_text(), (
        "lines of the job have its id"
    )
