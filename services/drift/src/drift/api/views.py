"""Response models of the API: models, windows and their verdicts."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from contracts import FeatureScore, HarmEstimate, Outcome, RolloutMeasured, Stage
from contracts.drift_settings import MetricDrop
from drift.database.tables import WindowRow
from drift.policy.maturity import Delays, Maturity


class PredictionView(BaseModel):
    """Whether the predictions are distributed as before; it decides nothing alone."""

    outcome: Outcome | None = None
    reason: str | None = None
    event_id: str | None = None
    held: str | None = None
    method: str | None = None
    distance: float | None = None
    limit: float | None = None


class ProxyView(BaseModel):
    """The performance as it is estimated without labels; it cannot see concept drift, and decides nothing alone."""

    outcome: Outcome | None = None
    reason: str | None = None
    event_id: str | None = None
    held: str | None = None
    metric: str | None = None
    estimated: float | None = None
    low: float | None = None
    high: float | None = None
    baseline: float | None = None
    bound: float | None = None


class ShareRule(BaseModel):
    """What a fixed limit would have done: on how many windows without drift it would have reported drift."""

    share: float = Field(description="`drift_share` of the policy, or its former default 0.5")
    alarms: int
    of: int = Field(description="The windows that the limits were calibrated on")


class LimitsBasis(BaseModel):
    """On what limits were calibrated."""

    assumption: str = Field(description="windows (past windows) or iid (random splits of the reference)")
    windows: int = Field(description="Past windows")
    blocks: bool = Field(description="The past windows are rows of the reference in order of time")
    splits: int = Field(description="Random splits of the reference")
    share: float = Field(description="The share of windows without drift that exceed a limit")
    size: int = Field(description="Rows of a window")
    reference_rows: int
    share_rule: ShareRule
    calibrated_at: datetime


class ColumnLimit(BaseModel):
    feature: str
    method: str
    expected: float = Field(description="The mean distance of windows without drift")
    limit: float = Field(description="The distance from which the feature has drifted")


class LimitsView(LimitsBasis):
    """The limits of a version for windows of one size."""

    model_version: int
    columns: list[ColumnLimit]


class DataView(BaseModel):
    """`outcome` None: not judged yet. `held`: drift that was not announced, and why."""

    outcome: Outcome | None
    reason: str | None
    event_id: str | None
    held: str | None
    drift_share: float | None
    limit: float | None
    scores: list[FeatureScore]
    not_compared: dict[str, str]
    harm: HarmEstimate | None = Field(description="Of a window that has drifted")
    limits: LimitsBasis | None = Field(description="On what the limits were calibrated")
    judged_at: datetime | None


class PerformanceView(BaseModel):
    outcome: Outcome | None
    reason: str | None
    event_id: str | None
    held: str | None
    metric: str | None
    observed: float | None
    bound: float | None
    low: float | None
    high: float | None
    late_labels: int = Field(description="Labels that came after the verdict")
    judged_at: datetime | None


class WindowView(BaseModel):
    id: str
    model_name: str
    model_version: int
    number: int
    state: str = Field(description="filling, complete, scored, refused, superseded or failed")
    progress: str = Field(description="Rows there are, of rows that make it complete")
    rows: int
    size: int
    labelled: int
    start: datetime | None
    end: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    data: DataView
    prediction: PredictionView | None
    proxy: ProxyView | None
    performance: PerformanceView
    report_url: str | None = Field(description="Once it has a verdict")


class LabelsView(BaseModel):
    """How late labels come, and whether any do."""

    maturity_seconds: float = Field(description="Age of a prediction from which on its label is expected to be there")
    maturity_reason: str
    counted: int = Field(description="Labels whose delay was measured")
    delay_seconds: dict[str, float] = Field(description="Percentiles of the delay: p50, p90, p99")
    problem: str | None = Field(description="Why the performance of the version's newest window cannot be judged")


class ChampionView(BaseModel):
    model_version: int
    epoch: int | None
    promoted_at: datetime | None
    metric: str | None
    baseline: dict[str, float]
    reference_uri: str | None
    features: str = Field(description="With what features are compared, or why they are not watched and what to do")
    labels: LabelsView
    last_detected_at: datetime | None
    cooling_until: datetime | None


class RulesView(BaseModel):
    """What the model's policy asks of drift."""

    window_rows: int
    budget: str | None = Field(description="The false alarms that the limits allow; None with `drift_share`")
    after: str = Field(description="In how many of the newest windows drift must be seen to be announced")
    drift_share: float | None
    retrain: str = Field(description="Which announced drift leads to a training: always, or on harmful")
    metric_drop: MetricDrop
    alerts: dict[str, float] = Field(description="Worst acceptable values of metrics on labelled rows")
    cooldown_seconds: float


class ModelView(BaseModel):
    model_name: str
    champion: ChampionView | None = Field(description="None: predictions came, but no promotion is known")
    rules: RulesView
    newest_window: WindowView | None
    newest_verdict: WindowView | None


class RolloutStepView(BaseModel):
    """A step of a rollout as it is measured now; the newest RolloutMeasured may be a second older."""

    model_name: str
    rollout_id: str
    step: int
    stage: Stage
    state: str = Field(description="open or ended")
    recounting: bool = Field(description="Earlier predictions are being read again, after a database was lost")
    ended_at: datetime | None
    measured: RolloutMeasured = Field(description="The sums; measured_at is when they were last emitted")


class ScoreAccepted(BaseModel):
    """The window was closed with the rows there were; its verdict follows."""

    window: str
    rows: int
    job: str
    location: str


def late_labels(window: WindowRow) -> int:
    judged: int | None = (window.performance or {}).get("labelled")
    return 0 if judged is None else max(0, window.labelled - judged)


def labels_view(mature: Maturity, delays: Delays | None, newest: WindowRow | None) -> LabelsView:
    """`newest`: the version's newest window with a verdict on its performance."""
    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99} if delays else {}
    percentiles = {name: delays.quantile(share) for name, share in shares.items()} if delays else {}
    inconclusive = newest is not None and newest.performance_outcome == Outcome.INCONCLUSIVE
    return LabelsView(
        maturity_seconds=mature.after.total_seconds(),
        maturity_reason=mature.reason,
        counted=delays.n if delays else 0,
        delay_seconds={name: delay.total_seconds() for name, delay in percentiles.items() if delay},
        problem=newest.performance_reason if newest is not None and inconclusive else None,
    )


def window_view(window: WindowRow, public_url: str) -> WindowView:
    judged = window.data_outcome is not None or window.performance_outcome is not None
    return WindowView(
        id=window.id,
        model_name=window.model_name,
        model_version=window.model_version,
        number=window.number,
        state=window.state,
        progress=f"{window.rows}/{window.size}",
        rows=window.rows,
        size=window.size,
        labelled=window.labelled,
        start=window.start,
        end=window.end,
        opened_at=window.opened_at,
        closed_at=window.closed_at,
        data=DataView(
            outcome=Outcome(window.data_outcome) if window.data_outcome else None,
            reason=window.data_reason,
            event_id=window.data_event_id,
            held=window.data_held,
            drift_share=window.drift_share,
            limit=window.drift_share_limit,
            scores=[FeatureScore.model_validate(score) for score in window.scores],
            not_compared=window.not_compared,
            harm=HarmEstimate.model_validate(window.harm) if window.harm else None,
            limits=LimitsBasis.model_validate(window.limits) if window.limits else None,
            judged_at=window.scored_at,
        ),
        prediction=PredictionView.model_validate(window.prediction) if window.prediction else None,
        proxy=ProxyView.model_validate(window.proxy) if window.proxy else None,
        performance=PerformanceView(
            outcome=Outcome(window.performance_outcome) if window.performance_outcome else None,
            reason=window.performance_reason,
            event_id=window.performance_event_id,
            held=window.performance_held,
            metric=window.metric,
            observed=window.observed,
            bound=window.bound,
            low=window.low,
            high=window.high,
            late_labels=late_labels(window),
            judged_at=window.performance_at,
        ),
        report_url=f"{public_url}/reports/{window.id}" if judged else None,
    )
