"""Policy settings of each gate."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.metrics import MetricName
from contracts.section import Section


class Delta(Section):
    """Rule: compare two numbers, without a confidence bound."""

    delta: float = Field(description="The challenger's metric must be better by more than this")


class Minimum(Section):
    """Rule: reach a fixed value, without a comparison with the champion."""

    minimum: dict[MetricName, float] = Field(min_length=1, description="The value that each metric must reach")


class Lineage(Section):
    """Where the version comes from is known, and every digest that was registered agrees with what is there."""

    require: tuple[Literal["run", "signature", "data", "code"], ...] = Field(
        default=("run", "signature"),
        description="What must be known: the MLflow run, the signature, a digest of the training data, a version of the"
        " code. What is missing is shown in the verdict either way",
    )


class Integrity(Section):
    """The artifact is the registered one; what loading it executes, and which packages it needs, is known."""

    serialisation: Literal["any", "allow_listed", "safe"] = Field(
        default="any",
        description="any: a model may contain code, but findings of the scanner fail. allow_listed: pickles may import"
        " only names on the allow-list, and the model contains no code. safe: no pickle at all",
    )
    allow: tuple[str, ...] = Field(
        default=(), description="Additional names that pickles may import: package.module.name, or package.*"
    )
    dependencies: Literal["compatible", "exact", "ignore"] = Field(
        default="compatible",
        description="Whether the packages that the model declares are installed where it is served. compatible: in the"
        " same major version, and other differences are shown; exact: in a version that the model declares",
    )
    vulnerabilities: Literal["check", "require", "ignore"] = Field(
        default="check",
        description="Known vulnerabilities of the packages that the model declares. check: if the gatekeeper has"
        " advisories; require: without advisories nothing passes",
    )
    accepted: tuple[str, ...] = Field(default=(), description="Identifiers of advisories that are accepted")


class Functional(Section):
    """The model loads, predicts its input example twice with equal results of the right shape, without NaN, and single
    rows as in a batch."""


class Performance(Section):
    """The challenger is compared with the champion on the same golden rows."""

    rule: Literal["non_inferior", "superior"] | Delta | Minimum = Field(
        default="non_inferior",
        description="non_inferior: the lower confidence bound of the difference is above minus the margin; superior:"
        " it is above zero",
    )
    floor: dict[MetricName, float] = Field(
        default_factory=dict,
        description="First champion only: the value that the lower confidence bound of each metric must reach",
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="One-sided error rate of the comparison")
    alpha_spending: bool = Field(
        default=True, description="The k-th challenger on the same golden dataset is judged with alpha · 6/(π²k²)"
    )
    margin_share: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="Non-inferiority margin, as a share of the champion's metric minus the trivial model's",
    )


class Latency(Section):
    """Loading and predicting take at most this much time and memory."""

    p95_ms: float = Field(
        default=50.0, gt=0, description="Limit of the 95th percentile of one-row predictions, milliseconds"
    )
    batch_rows: int = Field(default=100, ge=2, le=100_000, description="Rows of each batch that is timed")
    batch_p95_ms: float | None = Field(
        default=None, gt=0, description="Limit of the 95th percentile of batch predictions, milliseconds"
    )
    load_seconds: float = Field(default=30.0, gt=0, description="Limit of the time to load the model, seconds")
    memory_mb: float | None = Field(
        default=None, gt=0, description="Limit of the peak memory of loading and predicting, MiB"
    )
    times_champion: float | None = Field(
        default=None,
        gt=0,
        description="Limit of both 95th percentiles, as a multiple of the champion's on the same machine",
    )


Perturbation = Literal["missing", "unseen", "extreme", "noise"]


class Leakage(Section):
    """Golden rows that champion or challenger were trained on are removed; both are judged on the remaining ones."""

    entity: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Whether a golden row counts as trained on when its entity was. auto: unless all golden rows are"
        " later than all training rows, as with golden.window: previous",
    )
    minimum_rows: int = Field(default=200, ge=1, description="Minimum number of clean rows; with fewer, Inconclusive")
    unknown: Literal["inconclusive", "pass"] = Field(
        default="inconclusive", description="Outcome when the training rows of a model are not known"
    )


class Slices(Section):
    """In no group of golden rows is the challenger shown to be worse than the champion by more than the margin."""

    columns: tuple[str, ...] = Field(min_length=1, description="Columns of which each value is a slice")
    bins: int = Field(default=4, ge=2, le=20, description="Number of equally large slices of a numeric column")
    minimum_rows: int = Field(
        default=200, ge=30, description="Minimum rows of a slice; smaller ones are counted, not judged"
    )
    margin_share: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Margin in a slice, as a share of the champion's metric minus the trivial model's on all rows",
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Error rate over all slices together (Holm)")


class Fairness(Section):
    """Fairlearn's metrics over groups of a sensitive column stay below a limit, and near the champion's."""

    columns: tuple[str, ...] = Field(min_length=1, description="Sensitive columns")
    metric: Literal["demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"] = (
        Field(default="equalized_odds_difference", description="Fairlearn's name of the metric")
    )
    limit: float = Field(default=0.2, gt=0, le=1, description="Upper limit of the metric")
    margin: float = Field(default=0.05, ge=0, le=1, description="How much worse than the champion's the metric may be")
    minimum_rows: int = Field(
        default=100, ge=1, description="Minimum rows of a group; smaller ones are left out and reported"
    )


class Robustness(Section):
    """Perturbed input neither crashes the model nor lowers its metric by more than a margin."""

    perturbations: tuple[Perturbation, ...] = Field(
        default=("missing", "unseen", "extreme", "noise"),
        min_length=1,
        description="Missing values, unseen categories, extreme numbers, noisy numbers",
    )
    unseen_as_known: Literal["warn", "fail"] = Field(
        default="warn",
        description="A category that was never seen is scored exactly as a known one, and not as a missing one: the"
        " verdict says so (warn), or fails. Part of the perturbation unseen",
    )
    share: float = Field(default=0.1, gt=0, le=1, description="Share of a column's cells that are perturbed")
    rows: int = Field(default=2000, ge=30, description="Maximum golden rows that are perturbed")
    margin_share: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="Loss that is allowed, as a share of its metric on clean rows minus the trivial model's",
    )


class Consumer(Section):
    """A downstream system that acts on scores."""

    name: str = Field(min_length=1, description="Name of the consumer, shown in the verdict")
    threshold: float | None = Field(default=None, description="Score from which the consumer acts on a row")
    flagged_change: float | None = Field(
        default=None, gt=0, le=1, description="Largest change of the share of rows it acts on"
    )
    chain_metric: Literal["accuracy", "f1"] | None = Field(
        default=None, description="Metric of its decisions at the threshold, which must not become worse"
    )


class Dependents(Section):
    """Consumers downstream do not break: same outputs, no jump in the distribution of scores."""

    consumers: tuple[Consumer, ...] = Field(default=(), description="Downstream systems that act on scores")
    max_shift: float = Field(
        default=0.2,
        gt=0,
        le=1,
        description="Largest Kolmogorov–Smirnov distance between the scores of challenger and champion",
    )
    margin_share: float = Field(
        default=0.05,
        gt=0,
        lt=1,
        description="Non-inferiority margin of a chain metric, as a share like gates.performance.margin_share",
    )
