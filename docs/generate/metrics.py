"""Every Prometheus metric, from the objects that the services' modules define."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator, Sequence

from docs.generate.markdown import code, page, table
from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

INTRODUCTION = """
Every service serves its metrics at `/metrics`, in Prometheus' text format. Those under *all services* exist in each
service that has the part in question: serving, for example, has no outbox. The client library adds the metrics of the
process (`process_…`, `python_…`).
"""


def metrics_page(services: Sequence[str]) -> str:
    titles = {"chassis": "all services"} | {service: service for service in services}
    head = ("Metric", "Type", "Labels", "Description")
    parts = [f"## {title}\n\n{table(head, map(_row, _defined_in(package)))}" for package, title in titles.items()]
    return page("Metrics", "the modules that define them", INTRODUCTION, parts)


def _row(metric: MetricWrapperBase) -> tuple[str, str, str, str]:
    family = next(iter(metric.describe()))
    name = f"{family.name}_total" if isinstance(metric, Counter) else family.name
    return code(name), family.type, ", ".join(map(code, metric._labelnames)), family.documentation


def _defined_in(package: str) -> list[MetricWrapperBase]:
    found = {id(metric): metric for module in _modules(package) for metric in _metrics_of(module)}
    return sorted(found.values(), key=lambda metric: next(iter(metric.describe())).name)


def _metrics_of(module: str) -> Iterator[MetricWrapperBase]:
    for value in vars(importlib.import_module(module)).values():
        if isinstance(value, MetricWrapperBase) and not value._labelvalues:  # not one labelled child of a metric
            yield value


def _modules(package: str) -> Iterator[str]:
    path = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(path, f"{package}."):
        if not found.name.endswith("__main__") and ".migrations" not in found.name:
            yield found.name
