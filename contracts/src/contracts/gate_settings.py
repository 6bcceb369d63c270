"""What a policy may say of the gates that look closer: at leaks, groups of rows, dirty input, consumers."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from contracts.section import Section

Perturbation = Literal["missing", "unseen", "extreme", "noise"]


class Leakage(Section):
    """Golden rows that champion or challenger were trained on are taken out; both are judged on the clean rest."""

    entity: Literal["auto", "always", "never"] = Field(
        default="auto",
        description="Does a golden row of an entity that was trained on count as trained on? auto: unless all golden"
        " rows are later than all training rows, as with golden.window: previous",
    )
    minimum_rows: int = Field(default=200, ge=1, description="Fewer clean rows are Inconclusive")
    unknown: Literal["inconclusive", "pass"] = Field(
        default="inconclusive", description="What follows when it is not known which rows a model was trained on"
    )


class Slices(Section):
    """Groups of golden rows, in none of which the challenger may lose more than its margin to the champion."""

    columns: tuple[str, ...] = Field(min_length=1, description="Each value of such a column is a slice")
    bins: int = Field(default=4, ge=2, le=20, description="Numbers are cut into so many slices of equal size")
    minimum_rows: int = Field(default=200, ge=30, description="Smaller slices are not judged, only counted")
    margin_share: float = Field(
        default=0.05, gt=0, lt=1, description="Margin in a slice, as a share of champion minus trivial over all rows"
    )
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Over all slices together (Holm)")


class Fairness(Section):
    """Groups of people, whom the model must treat alike (fairlearn's metrics)."""

    columns: tuple[str, ...] = Field(min_length=1, description="Sensitive columns")
    metric: Literal["demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"] = (
        "equalized_odds_difference"
    )
    limit: float = Field(default=0.2, gt=0, le=1, description="The metric may not be above this")
    margin: float = Field(default=0.05, ge=0, le=1, description="Nor worse than the champion's by more than this")
    minimum_rows: int = Field(default=100, ge=1, description="Smaller groups are left out, and said")


class Robustness(Section):
    """Dirty input must neither crash the model nor cost it more than a margin of its metric."""

    perturbations: tuple[Perturbation, ...] = Field(default=("missing", "unseen", "extreme", "noise"), min_length=1)
    share: float = Field(default=0.1, gt=0, le=1, description="Share of a column's cells that are made dirty")
    rows: int = Field(default=2000, ge=30, description="Golden rows that are made dirty")
    margin_share: float = Field(
        default=0.5, gt=0, lt=1, description="What it may lose, as a share of its clean metric minus the trivial one"
    )


class Consumer(Section):
    """Something downstream that acts on scores."""

    name: str = Field(min_length=1)
    threshold: float | None = Field(default=None, description="It acts on rows whose score is at least this")
    flagged_change: float | None = Field(
        default=None, gt=0, le=1, description="By how much the share of rows it acts on may change"
    )
    chain_metric: Literal["accuracy", "f1"] | None = Field(
        default=None, description="A metric of its decisions at the threshold, which must not become worse"
    )


class Dependents(Section):
    """What is downstream must not break: same output, no jump of the scores' distribution."""

    consumers: tuple[Consumer, ...] = ()
    max_shift: float = Field(
        default=0.2, gt=0, le=1, description="Kolmogorov–Smirnov distance of challenger's from champion's scores"
    )
    margin_share: float = Field(default=0.05, gt=0, lt=1, description="Non-inferiority margin of a chain metric")
