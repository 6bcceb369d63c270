"""What a service counts, read from its /metrics: requests, latencies and memory of a replica, lag of streams."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Metric

PREFIX = "gauntlet_serving_"


@dataclass(frozen=True)
class ModelFigures:
    """Of one model on one replica since that has started. `buckets`: upper end in seconds, requests in the bucket."""

    requests: int
    mean_ms: float | None
    p95_ms: float | None
    """The upper end of the bucket that it is in; None without requests, infinite beyond the last bucket."""
    invalid: int
    failed: int
    buckets: tuple[tuple[float, int], ...]


@dataclass(frozen=True)
class ReplicaFigures:
    """Of one replica since it has started. `statuses`: requests by HTTP status."""

    models: Mapping[str, ModelFigures]
    statuses: Mapping[str, int]
    model_bytes: float | None
    process_bytes: float | None

    @property
    def errors(self) -> int:
        return sum(count for status, count in self.statuses.items() if status.startswith("5"))


@dataclass(frozen=True)
class Lag:
    """`messages` that wait; `seconds`: age of the newest handled one, while others wait."""

    topic: str
    messages: int
    seconds: float | None


@dataclass
class _Model:
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    cumulative: dict[float, float] = field(default_factory=dict)


def replica_figures(text: str) -> ReplicaFigures:
    """Read serving's metrics. Raises ValueError for a text in another format."""
    models: dict[str, _Model] = defaultdict(_Model)
    statuses: dict[str, int] = defaultdict(int)
    totals: dict[str, float] = {}
    for name, labels, value in _samples(_parsed(text)):
        model = labels.get("model_name")
        if name == f"{PREFIX}request_seconds_bucket" and model is not None:
            models[model].cumulative[float(labels["le"])] = value
        elif name == f"{PREFIX}requests_total":
            statuses[labels["status"]] += int(value)
        elif model is not None:
            models[model].sums[name] += value
        else:
            totals[name] = value
    return ReplicaFigures(
        {model: _model(found) for model, found in models.items() if found.cumulative or found.sums},
        dict(statuses),
        totals.get(f"{PREFIX}resident_bytes"),
        totals.get("process_resident_memory_bytes"),
    )


def lags(text: str) -> list[Lag]:
    """Read how far the streams of a service are behind. Raises ValueError for a text in another format."""
    return _lags(_parsed(text))


def own_lags() -> list[Lag]:
    """Return how far the streams of this process are behind."""
    from prometheus_client import REGISTRY

    return _lags(REGISTRY.collect())


def _lags(families: Iterable[Metric]) -> list[Lag]:
    messages: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = {}
    for name, labels, value in _samples(families):
        if name == "gauntlet_stream_lag":
            messages[labels["topic"]] += int(value)
        elif name == "gauntlet_stream_lag_seconds":
            seconds[labels["topic"]] = value
    return [Lag(topic, count, seconds.get(topic)) for topic, count in sorted(messages.items())]


def _model(found: _Model) -> ModelFigures:
    sums = found.sums
    count = sums[f"{PREFIX}request_seconds_count"]
    ends = sorted(found.cumulative)
    before = [0.0, *(found.cumulative[end] for end in ends[:-1])]
    p95 = next((end for end in ends if count and found.cumulative[end] >= 0.95 * count), None)
    return ModelFigures(
        requests=int(count),
        mean_ms=1000 * sums[f"{PREFIX}request_seconds_sum"] / count if count else None,
        p95_ms=None if p95 is None else 1000 * p95,
        invalid=int(sums[f"{PREFIX}invalid_requests_total"]),
        failed=int(sums[f"{PREFIX}model_failed_total"]),
        buckets=tuple((end, int(found.cumulative[end] - low)) for end, low in zip(ends, before, strict=True)),
    )


def _parsed(text: str) -> Iterable[Metric]:
    from prometheus_client.parser import text_string_to_metric_families

    return text_string_to_metric_families(text)


def _samples(families: Iterable[Metric]) -> list[tuple[str, Mapping[str, str], float]]:
    return [
        (sample.name, sample.labels, sample.value)
        for family in families
        for sample in family.samples
        if not math.isnan(sample.value)
    ]
