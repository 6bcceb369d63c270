"""What the console reads from /metrics: of texts that the Prometheus client writes for serving's own metrics."""

from __future__ import annotations

import math

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gatekeeper.console.figures import Lag, lags, replica_figures
from gatekeeper.console.screens.fleet import histogram
from serving.http import asgi, prediction_service
from serving.loading import memory, model_state


def test_the_names_are_those_that_serving_writes() -> None:
    """Of the metrics that serving registers: a name that changes there is missing here."""
    names = {
        sample.name
        for metric in (model_state.LATENCY, asgi.REQUESTS, prediction_service.INVALID, prediction_service.MODEL_FAILED)
        for family in metric.collect()
        for sample in family.samples
    } | {metric._name for metric in (model_state.LATENCY, memory.RESIDENT)}
    read = {"gauntlet_serving_request_seconds", "gauntlet_serving_resident_bytes", "gauntlet_serving_requests_total"}
    assert read <= names
    assert prediction_service.INVALID._name == "gauntlet_serving_invalid_requests"
    assert prediction_service.MODEL_FAILED._name == "gauntlet_serving_model_failed"


def test_requests_latencies_and_memory_of_a_replica() -> None:
    registry = CollectorRegistry()
    ends = (0.001, 0.01, 0.1)
    latency = Histogram("gauntlet_serving_request_seconds", "x", ["model_name"], buckets=ends, registry=registry)
    requests = Counter("gauntlet_serving_requests_total", "x", ["status"], registry=registry)
    invalid = Counter("gauntlet_serving_invalid_requests_total", "x", ["model_name", "reason"], registry=registry)
    Gauge("gauntlet_serving_resident_bytes", "x", registry=registry).set(1000)
    for seconds in [0.0005] * 90 + [0.05] * 8 + [5.0] * 2:
        latency.labels('a"b').observe(seconds)
        requests.labels("200").inc()
    requests.labels("503").inc(3)
    invalid.labels('a"b', "column").inc(2)
    invalid.labels('a"b', "type").inc()
    found = replica_figures(generate_latest(registry).decode())
    model = found.models['a"b']
    assert (model.requests, model.invalid, model.failed) == (100, 3, 0)
    assert [count for _, count in model.buckets] == [90, 0, 8, 2] and model.p95_ms == 100.0
    assert found.errors == 3 and found.statuses == {"200": 100, "503": 3}
    assert found.model_bytes == 1000 and found.process_bytes is None
    chart = histogram(0, 'a"b', model)
    assert chart.rows[-1] == ("more", 2, "2 %") and "95 % within 100 ms" in chart.description


def test_requests_beyond_the_last_bucket() -> None:
    registry = CollectorRegistry()
    latency = Histogram("gauntlet_serving_request_seconds", "x", ["model_name"], buckets=(0.001,), registry=registry)
    latency.labels("m").observe(9)
    [model] = replica_figures(generate_latest(registry).decode()).models.values()
    assert model.p95_ms == math.inf and "beyond 1 ms" in histogram(0, "m", model).description


def test_lag_of_streams_by_topic() -> None:
    text = (
        'gauntlet_stream_lag{topic="b",partition="0"} 5\ngauntlet_stream_lag{topic="b",partition="1"} 7\n'
        'gauntlet_stream_lag{topic="a",partition="0"} 0\ngauntlet_stream_lag_seconds{topic="b"} 2.5\n'
    )
    assert lags(text) == [Lag("a", 0, None), Lag("b", 12, 2.5)]
    assert lags("") == []
