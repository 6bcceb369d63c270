"""Benchmarks: the champion, earlier versions and a trivial baseline on the newest labelled production rows."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from pydantic import Field, FiniteFloat

from contracts.event import Event, ModelVersion, Value
from contracts.lifecycle import Dataset
from contracts.verdicts import Outcome


class BenchmarkEvent(Event):
    topic: ClassVar[str] = "benchmarks"

    model_version: ModelVersion
    benchmark_id: str = Field(min_length=1, max_length=250, description="See GET /benchmarks/{benchmark_id}")
    rows: Dataset = Field(description="Labelled production rows as a Parquet file, the newest ones")


class BenchmarkDue(BenchmarkEvent):
    """The newest labelled rows are stored; the champion (`model_version`) is to be compared on them."""

    type: ClassVar[str] = "gauntlet.BenchmarkDue.v1"

    label: str = Field(description="Column of the file that holds the truth")
    entity: str | None = Field(default=None, description="Column that identifies the entity of a row")
    event_time: str | None = Field(default=None, description="Column of the time of each row")
    start: datetime = Field(description="Time of the oldest row")
    end: datetime = Field(description="Time of the newest row")
    reason: str = Field(description="Why it is due, in a sentence")
    requested_by: str | None = Field(default=None, description="The person who wants it; absent: the schedule")


class BenchmarkFigure(Value):
    """A version, or a baseline, on the rows. Without a value, `problem` says why it was not compared."""

    name: str = Field(description="v3, or what the baseline predicts, such as class frequencies")
    model_version: int | None = Field(default=None, description="Absent: a baseline")
    value: FiniteFloat | None = Field(default=None, description="The metric, on the rows of the comparison")
    low: FiniteFloat | None = Field(default=None, description="Lower end of the interval of `value`")
    high: FiniteFloat | None = Field(default=None, description="Upper end of the interval of `value`")
    rows: int = Field(default=0, ge=0, description="Rows of the comparison: those that neither was trained on")
    gain: FiniteFloat | None = Field(
        default=None, description="By how much it is better than the champion on the same rows; negative: worse"
    )
    gain_low: FiniteFloat | None = Field(default=None, description="Lower end of the interval of `gain`")
    gain_high: FiniteFloat | None = Field(default=None, description="Upper end of the interval of `gain`")
    problem: str | None = Field(default=None, description="Why it was not compared, or what is not known of it")


class BenchmarkCompleted(BenchmarkEvent):
    """The comparison: Passed if the champion is better than the trivial baseline, Failed if it is not (an alert),
    Inconclusive if that could not be measured."""

    type: ClassVar[str] = "gauntlet.BenchmarkCompleted.v1"

    outcome: Outcome
    reason: str = Field(description="Why, in a sentence")
    metric: str | None = Field(default=None, description="The metric of the policy")
    beats_baseline: bool | None = Field(
        default=None, description="Whether the champion is shown to be better than the trivial baseline; null: unknown"
    )
    baseline: str | None = Field(default=None, description="The strongest trivial baseline")
    gain: FiniteFloat | None = Field(
        default=None, description="By how much the champion is better than that baseline; negative: worse"
    )
    gain_low: FiniteFloat | None = Field(default=None, description="Lower end of the interval of `gain`")
    gain_high: FiniteFloat | None = Field(default=None, description="Upper end of the interval of `gain`")
    winner: ModelVersion | None = Field(
        default=None,
        description="The champion, or the best version that is shown to be better; absent: the champion does not beat"
        " the baseline, and no version is better than the champion",
    )
    figures: tuple[BenchmarkFigure, ...] = Field(default=(), description="The champion first, then the others")
    policy_digest: str | None = Field(default=None, description="Digest of the policy that was in force")
    results_uri: str | None = Field(default=None, description="benchmark_results.json in MLflow")
    report_uri: str | None = Field(default=None, description="benchmark_report.txt in MLflow")
    tournament: bool = Field(default=False, description="Whether a tournament on these rows follows")
