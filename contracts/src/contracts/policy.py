"""The policy of a model: what it must prove, on which rows, and what happens then (`policies/<model>.yaml`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from contracts.event import ModelName
from contracts.gate_settings import Dependents, Fairness, Leakage, Robustness, Slices
from contracts.section import Section

Problem = Literal["binary", "multiclass", "regression"]


@dataclass(frozen=True)
class Metric:
    """A metric that a policy may name."""

    name: str
    problems: tuple[Problem, ...]
    greater_is_better: bool
    of_every_class: bool = False
    """It needs the score of each class, which PredictionMade does not carry."""


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("roc_auc", ("binary",), True),
        Metric("roc_auc_ovr", ("multiclass",), True, of_every_class=True),
        Metric("accuracy", ("binary", "multiclass"), True),
        Metric("log_loss", ("binary", "multiclass"), False),
        Metric("brier", ("binary",), False),
        Metric("pr_auc", ("binary",), True),
        Metric("f1", ("binary", "multiclass"), True),
        Metric("mae", ("regression",), False),
        Metric("rmse", ("regression",), False),
        Metric("mape", ("regression",), False),
    )
}


def _known_metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; known: {', '.join(sorted(METRICS))}")
    return name


def _duration(value: Any) -> Any:
    """Read `1h`, `30m`, `10s`, `2d` besides what pydantic reads itself."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if isinstance(value, str) and value[-1:] in units and value[:-1].replace(".", "", 1).isdigit():
        return timedelta(**{units[value[-1]]: float(value[:-1])})
    return value


def _off_is_false(value: Any) -> Any:
    """`latency: on` is the gate with its defaults, `latency: off` leaves it out."""
    return {} if value is True or value is None else value


def _retained_is_all_defaults(value: Any) -> Any:
    if isinstance(value, str) and value not in ("newest", "retained"):
        raise ValueError("candidates are newest, retained, or for example {retained: 10}")
    return {} if value == "retained" else value


MetricName = Annotated[str, AfterValidator(_known_metric)]
Duration = Annotated[timedelta, BeforeValidator(_duration)]


class Training(Section):
    windows: int = Field(default=2, ge=1, description="How many windows before the golden one are trained on")


class Golden(Section):
    window: Literal["previous", "holdout"] = Field(
        default="previous",
        description="previous: the window directly after the training windows; holdout: a share of the entities",
    )
    share: float = Field(default=0.25, gt=0, lt=1, description="holdout only: share of the entities, by stable hash")
    max_rows: int = Field(default=20_000, ge=1)
    dataset: str | None = Field(
        default=None,
        pattern=r"^(latest|sha256:[0-9a-f]{64})$",
        description="Judge every version on this golden dataset (`gauntlet golden create`): its digest, or latest."
        " Without: on the evaluation dataset that was registered with the version",
    )


class Delta(Section):
    delta: float = Field(description="The challenger's metric must be better by more than this")


class Minimum(Section):
    minimum: dict[MetricName, float] = Field(min_length=1, description="Each metric must reach its value")


class Lineage(Section):
    """Run, training-data digest, code version and signature must be known."""


class Integrity(Section):
    """The artifact is the registered one, and what loading it runs and needs is known."""

    serialisation: Literal["any", "allow_listed", "safe"] = Field(
        default="any",
        description="any: a model may carry code, but what a scanner warns of fails. allow_listed: pickles may use only"
        " what the allow-list names, and no code travels along. safe: no pickle at all",
    )
    allow: tuple[str, ...] = Field(
        default=(), description="What pickles may use besides the default list: package.module.name, or package.*"
    )
    dependencies: Literal["compatible", "ignore"] = Field(
        default="compatible", description="compatible: what the model declares to need is installed where it is served"
    )
    vulnerabilities: Literal["check", "require", "ignore"] = Field(
        default="check",
        description="Known ones in what it declares to need. check: where the gatekeeper has advisories; require:"
        " without advisories nothing passes",
    )
    accepted: tuple[str, ...] = Field(default=(), description="Advisories that are known and accepted, by id")


class Functional(Section):
    """It loads, and answers its input example twice alike, in the right shape, without NaN."""


class Performance(Section):
    rule: Literal["non_inferior", "superior"] | Delta | Minimum = "non_inferior"
    floor: dict[MetricName, float] = Field(
        default_factory=dict, description="Cold start: bounds that the first champion's metrics must reach"
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="One-sided error rate")
    alpha_spending: bool = Field(
        default=True, description="The k-th challenger on one golden dataset gets a share of alpha, 6/(π²k²)"
    )
    margin_share: float = Field(
        default=0.02, gt=0, lt=1, description="Non-inferiority margin as a share of champion minus trivial"
    )


class Latency(Section):
    p95_ms: float = Field(default=50.0, gt=0, description="95th percentile of one-row predictions, milliseconds")
    batch_rows: int = Field(default=100, ge=2, le=100_000, description="Rows of a batch; each call is asked so many")
    batch_p95_ms: float | None = Field(
        default=None, gt=0, description="95th percentile of predictions of a whole batch, milliseconds"
    )
    load_seconds: float = Field(default=30.0, gt=0)
    memory_mb: float | None = Field(default=None, gt=0, description="Peak memory of loading and predicting, MiB")
    times_champion: float | None = Field(
        default=None, gt=0, description="Both p95 may be at most so many times the champion's, timed beside it"
    )


class Gates(Section):
    """In the order in which they run. A gate that is not named runs with its defaults, if it is on by default; `false`
    leaves it out."""

    fail_fast: bool = Field(
        default=False, description="The gates after the first one that failed are neither measured nor judged"
    )
    lineage: Annotated[Lineage | Literal[False], BeforeValidator(_off_is_false)] = Lineage()
    integrity: Annotated[Integrity | Literal[False], BeforeValidator(_off_is_false)] = Integrity()
    functional: Annotated[Functional | Literal[False], BeforeValidator(_off_is_false)] = Functional()
    leakage: Annotated[Leakage | Literal[False], BeforeValidator(_off_is_false)] = Leakage()
    performance: Annotated[Performance | Literal[False], BeforeValidator(_off_is_false)] = Performance()
    slices: Annotated[Slices | Literal[False], BeforeValidator(_off_is_false)] = False
    fairness: Annotated[Fairness | Literal[False], BeforeValidator(_off_is_false)] = False
    robustness: Annotated[Robustness | Literal[False], BeforeValidator(_off_is_false)] = False
    latency: Annotated[Latency | Literal[False], BeforeValidator(_off_is_false)] = Latency()
    dependents: Annotated[Dependents | Literal[False], BeforeValidator(_off_is_false)] = False


class Retained(Section):
    """Past versions stay candidates: on each new golden dataset they are judged again, beside the newest."""

    retained: int = Field(default=30, ge=1, description="The newest so many versions, besides the champion")
    max_age: Duration | None = Field(default=None, description="None that was registered longer ago than this")


class Sandbox(Section):
    """Limits of the process in which a candidate's code runs."""

    seconds: float = Field(default=120.0, gt=0, description="Wall clock, loading and all predictions together")
    memory_mb: int = Field(default=4096, ge=256, description="Address space, MiB")
    disk_mb: int = Field(default=1024, ge=16, description="On disk at once, MiB")
    processes: bool = Field(default=False, description="It may start processes of its own (threads it always may)")


class Features(Section):
    """A table with the present features of each entity, for clients that send ids instead of rows."""

    table: str = Field(
        pattern=r"^[^\s.]+(\.[^\s.]+)?$", description="Table or view, also schema.table: a column a feature"
    )
    key: str | None = Field(default=None, min_length=1, description="Column of the ids; default: `entity`")
    url_env: str = Field(
        default="SERVING_FEATURES_URL",
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="Variable with the SQLAlchemy URL: it holds a password, and differs from place to place",
    )


class Serving(Section):
    """How replicas serve this model; what is left out is as it is without a policy."""

    parity_tolerance: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="By how much a compiled form's scores may differ from the model's, absolute; labels may not. "
        "Default: 1e-6 at the gate, SERVING_PARITY_TOLERANCE in serving",
    )
    prediction_share: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the requests for which PredictionMade is published; default: SERVING_PREDICTION_SHARE",
    )


class DriftRows(Section):
    rows: int = Field(default=2000, ge=200, description="Rows a window; fewer than 200 decide nothing")


class Drift(Section):
    window: DriftRows = DriftRows()
    drift_share: float = Field(default=0.5, gt=0, le=1, description="Share of drifted columns that is drift")
    metric_drop: float = Field(
        default=0.05, gt=0, description="Drift when the metric on labelled rows is worse than the baseline by this"
    )
    cooldown: Duration = timedelta(hours=1)


class ModelPolicy(Section):
    model: ModelName
    problem: Problem = "binary"
    metric: MetricName = "roc_auc"
    entity: str | None = Field(default=None, description="Column whose equal values belong together")
    recipe: str | None = Field(default=None, pattern=r"^[\w.]+:[\w.]+$", description="package.module:attribute")
    training: Training = Training()
    golden: Golden = Golden()
    gates: Gates = Gates()
    candidates: Annotated[Literal["newest"] | Retained, BeforeValidator(_retained_is_all_defaults)] = Field(
        default=Retained(), description="Who may become champion: the newest version alone, or retained ones as well"
    )
    sandbox: Sandbox = Sandbox()
    strategy: Literal["direct"] = "direct"
    approval: Literal["none"] = "none"
    drift: Drift = Drift()
    features: Features | None = None
    serving: Serving = Serving()

    @model_validator(mode="after")
    def _metrics_fit_the_problem(self) -> ModelPolicy:
        named = {self.metric}
        if isinstance(self.gates.performance, Performance):
            named |= self.gates.performance.floor.keys()
            if isinstance(self.gates.performance.rule, Minimum):
                named |= self.gates.performance.rule.minimum.keys()
        for name in sorted(named):
            if self.problem not in METRICS[name].problems:
                raise ValueError(f"metric {name!r} is not defined for a {self.problem} problem")
        if self.golden.window == "holdout" and self.entity is None:
            raise ValueError("golden.window: holdout needs `entity`: rows of one entity must stay on one side")
        if self.features and self.features.key is None and self.entity is None:
            raise ValueError("features needs `key`, the column of the ids, or `entity`, whose name it has")
        return self

    @property
    def digest(self) -> str:
        """Of what is judged, not the text: comments, order, and what only serving does change nothing."""
        judged = self.model_dump_json(exclude={"features", "serving"})
        return "sha256:" + hashlib.sha256(judged.encode()).hexdigest()
