"""The metrics that a policy may name, and the problems that they are defined for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator

from contracts.custom_metrics import HOW, greater_is_better
from contracts.forecasts import PINBALL, quantile_of

Problem = Literal["binary", "multiclass", "regression"]
DEFAULT_METRIC: dict[Problem, str] = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "mae"}
"""What versions are compared on where a policy names no metric."""


@dataclass(frozen=True)
class Metric:
    """A metric that a policy may name."""

    name: str
    problems: tuple[Problem, ...]
    greater_is_better: bool
    of_every_class: bool = False
    """Requires the scores of all classes, which PredictionMade does not contain."""
    of_scores: bool = False
    """Requires scores: from labels alone it cannot be computed."""
    of_series: bool = False
    """Requires the order of the rows: their event time."""
    is_function: bool = False
    """Of the user, see contracts.custom_metrics."""

    @property
    def is_share(self) -> bool:
        """Whether it is from 0 to 1, and greater is better."""
        return self.greater_is_better and not self.is_function


class Metrics(dict[str, Metric]):
    """Metrics by name, and those whose name contains a quantile or names a function."""

    def __missing__(self, name: str) -> Metric:
        if (greater := greater_is_better(name)) is not None:
            return Metric(name, get_args(Problem), greater, is_function=True)
        if quantile_of(name) is None:
            raise KeyError(name)
        return replace(self[PINBALL], name=name)

    def __contains__(self, name: object) -> bool:
        if super().__contains__(name):
            return True
        return isinstance(name, str) and (quantile_of(name) is not None or greater_is_better(name) is not None)


METRICS = Metrics(
    {
        metric.name: metric
        for metric in (
            Metric("roc_auc", ("binary",), True, of_scores=True),
            Metric("roc_auc_ovr", ("multiclass",), True, of_every_class=True, of_scores=True),
            Metric("accuracy", ("binary", "multiclass"), True),
            Metric("log_loss", ("binary", "multiclass"), False, of_scores=True),
            Metric("brier", ("binary",), False, of_scores=True),
            Metric("pr_auc", ("binary",), True, of_scores=True),
            Metric("f1", ("binary", "multiclass"), True),
            Metric("mae", ("regression",), False),
            Metric("rmse", ("regression",), False),
            Metric("mape", ("regression",), False),
            Metric("smape", ("regression",), False),
            Metric("mase", ("regression",), False, of_series=True),
            Metric("directional_accuracy", ("regression",), True, of_series=True),
            Metric(PINBALL, ("regression",), False),
        )
    }
)
"""The metrics by name. `pinball_90`, of any percentage, and functions are metrics too, though not listed."""


def _known_metric(name: str) -> str:
    if name not in METRICS:
        how = f"; {HOW}" if ":" in name else ""
        raise ValueError(f"unknown metric {name!r}; known: {', '.join(sorted(METRICS))}{how}")
    return name


MetricName = Annotated[str, AfterValidator(_known_metric)]


def metrics_in(content: Mapping[str, Any]) -> list[str]:
    """The known metrics that a policy, as written, is about."""
    named = [content.get("metric")]
    gates = content.get("gates")
    performance = gates.get("performance") if isinstance(gates, dict) else None
    if isinstance(performance, dict):
        named += performance["floor"] if isinstance(performance.get("floor"), dict) else ()
        rule = performance.get("rule")
        minimum = rule.get("minimum") if isinstance(rule, dict) else None
        named += minimum if isinstance(minimum, dict) else ()
    drift = content.get("drift")
    alerts = drift.get("alerts") if isinstance(drift, dict) else None
    named += alerts if isinstance(alerts, dict) else ()
    return [name for name in named if isinstance(name, str) and name in METRICS]


def only_problem(metrics: list[str]) -> Problem | None:
    problems = [problem for problem in DEFAULT_METRIC if all(problem in METRICS[name].problems for name in metrics)]
    return problems[0] if len(problems) == 1 else None
