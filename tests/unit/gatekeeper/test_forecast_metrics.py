"""Metrics of forecasts: against scikit-learn, loops of their definitions, and resampling; alike for gate and drift."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_pinball_loss

from chassis.mlmodel import MLmodel
from contracts import OutputFormat
from contracts.forecasts import naive_error, quantile_of, values_before
from contracts.metrics import METRICS
from contracts.policy import ModelPolicy
from drift.database.window_rows import Answered
from drift.scoring.performance import measure
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.golden_roles import GoldenSource
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.metrics import Predictions, Series, Unmeasurable, mean_metric, trivial

RNG = np.random.default_rng(3)
N = 600
START = datetime(2026, 1, 1, tzinfo=UTC)
ENTITIES = RNG.choice(["a", "b", "c"], N)
TIMES = [START + timedelta(hours=int(hour)) for hour in RNG.permutation(N)]
TRUTH = np.round(RNG.normal(0, 10, N).cumsum())
GOOD, POOR = (Predictions(TRUTH + RNG.normal(0, spread, N)) for spread in (3.0, 9.0))
BEFORE = np.array(values_before(TRUTH.tolist(), TIMES, ENTITIES.tolist()))
SCALE = naive_error(TRUTH.tolist(), BEFORE.tolist())
SERIES = Series(BEFORE, SCALE)
QUANTILES = {"pinball": 0.5, "pinball_90": 0.9, "pinball_5": 0.05, "pinball_97.5": 0.975}
MEANS = ["smape", "mase", *QUANTILES]
ALL = [*MEANS, "directional_accuracy"]


def by_hand(metric: str, answers: Predictions) -> float:
    """The definitions, row by row, with the order found by pandas."""
    frame = pd.DataFrame({"y": TRUTH, "p": answers.labels, "at": TIMES, "who": ENTITIES}).sort_values("at")
    frame["before"] = frame.groupby("who")["y"].shift()
    if metric == "smape":
        return float(
            np.mean([2 * abs(y - p) / (abs(y) + abs(p)) if y or p else 0.0 for y, p in frame[["y", "p"]].values])
        )
    if metric == "mase":
        return float((frame.y - frame.p).abs().mean() / (frame.y - frame.before).abs().mean())
    later = frame.dropna()
    return float(np.mean(np.sign(later.p - later.before) == np.sign(later.y - later.before)))


@pytest.mark.parametrize("answers", [GOOD, POOR], ids=["good", "poor"])
@pytest.mark.parametrize("metric", ALL)
def test_each_metric_is_what_its_definition_says(metric: str, answers: Predictions) -> None:
    found = estimates.value(metric, TRUTH, answers, SERIES)
    if metric in QUANTILES:
        assert found == pytest.approx(mean_pinball_loss(TRUTH, answers.labels, alpha=QUANTILES[metric]), rel=1e-12)
    else:
        assert found == pytest.approx(by_hand(metric, answers), rel=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_gate_and_drift_compute_the_same_number(metric: str) -> None:
    rows = [
        Answered(None, float(said), float(true), at, str(who))
        for said, true, at, who in zip(GOOD.labels, TRUTH, TIMES, ENTITIES, strict=True)
    ]
    baseline = estimates.all_metrics("regression", TRUTH, POOR, SERIES)
    found = measure(metric, N, rows, OutputFormat(problem="regression"), baseline)
    assert found.observed == pytest.approx(estimates.value(metric, TRUTH, GOOD, SERIES), rel=1e-12)


@pytest.mark.parametrize("metric", ALL)
def test_the_error_of_a_value_and_of_a_difference_is_that_of_resampled_rows(metric: str) -> None:
    one = estimates.estimate(metric, TRUTH, GOOD, 0.05, series=SERIES)
    two = estimates.difference(metric, TRUTH, GOOD, POOR, 0.05, series=SERIES)
    rng, values, gains = np.random.default_rng(1), [], []
    for _ in range(1500):
        rows = rng.integers(0, N, N)
        of = [estimates.value(metric, TRUTH[rows], answers.only(rows), SERIES.only(rows)) for answers in (GOOD, POOR)]
        values.append(of[0])
        gains.append(of[0] - of[1])
    assert one.se == pytest.approx(np.std(values), rel=0.1)
    assert two.se == pytest.approx(np.std(gains), rel=0.1)
    sign = estimates.direction(metric)
    assert two.value == pytest.approx(sign * (two.first - two.second)) and two.value > 0
    assert one.lower < one.value < one.upper


@pytest.mark.parametrize("metric", ALL)
def test_rows_of_one_entity_do_not_count_as_independent(metric: str) -> None:
    codes = np.arange(N) // 20
    rows = np.repeat(np.arange(0, N, 20), 20)
    twenty = TRUTH[rows], POOR.only(rows), SERIES.only(rows)
    assert estimates.estimate(metric, twenty[0], twenty[1], 0.05, codes, twenty[2]).se > 3 * (
        estimates.estimate(metric, twenty[0], twenty[1], 0.05, None, twenty[2]).se
    )


@pytest.mark.parametrize("metric", ALL)
def test_the_influences_of_the_rows_have_the_value_as_their_mean(metric: str) -> None:
    value, influence = mean_metric(metric, TRUTH, GOOD, SERIES)
    assert influence.mean() == pytest.approx(value, rel=1e-12)


def test_trivial_values_are_those_of_the_best_constant_or_of_the_naive_forecast() -> None:
    skewed = RNG.lognormal(3, 1, 400)
    for metric in ("smape", *QUANTILES):
        best = min(estimates.value(metric, skewed, Predictions(np.full(400, c))) for c in np.linspace(0.1, 300, 5000))
        assert trivial(metric, skewed) == pytest.approx(best, rel=0.01), metric
    assert trivial("mase", TRUTH, SERIES) == 1.0
    naive = Predictions(np.where(np.isnan(BEFORE), TRUTH, BEFORE))
    some = ~np.isnan(BEFORE)
    assert estimates.value("mase", TRUTH[some], naive.only(some), SERIES.only(some)) == pytest.approx(1.0)
    change = np.sign(TRUTH - BEFORE)[some]
    assert trivial("directional_accuracy", TRUTH, SERIES) == max((change == sign).mean() for sign in (-1, 0, 1))


def test_a_symmetric_error_is_defined_where_everything_is_zero() -> None:
    found = estimates.value("smape", np.array([0.0, 0.0, 1.0]), Predictions(np.array([0.0, 1.0, -1.0])))
    assert found == pytest.approx((0 + 2 + 2) / 3)


@pytest.mark.parametrize("metric", ["mase", "directional_accuracy"])
def test_a_metric_of_a_series_without_order_says_how_to_name_the_event_time(metric: str) -> None:
    for found in (estimates.estimate, estimates.value):
        with pytest.raises(Unmeasurable, match="--event-time"):
            found(metric, TRUTH, GOOD, *([0.05] if found is estimates.estimate else []))
    with pytest.raises(Unmeasurable, match="no golden row has one before it"):
        estimates.value(metric, TRUTH, GOOD, Series(np.full(N, np.nan), None))
    assert metric not in estimates.all_metrics("regression", TRUTH, GOOD)


def test_a_constant_series_has_no_naive_error() -> None:
    with pytest.raises(Unmeasurable, match="every golden row has the label of the row before it"):
        estimates.value("mase", np.ones(3), Predictions(np.zeros(3)), Series(np.array([np.nan, 1, 1]), None))
    assert naive_error([1, 1], [math.nan, 1]) is None


@pytest.mark.parametrize(
    "name", ["pinball_0", "pinball_100", "pinball_", "pinball_-5", "pinball_x", "pinball_nan", "pin"]
)
def test_a_quantile_is_a_percentage_between_0_and_100(name: str) -> None:
    assert quantile_of(name) is None and name not in METRICS
    with pytest.raises(KeyError):
        METRICS[name]


def test_a_policy_may_name_any_quantile_and_its_metric_is_part_of_the_baseline() -> None:
    policy = ModelPolicy.model_validate({"model": "m", "problem": "regression", "metric": "pinball_90"})
    assert METRICS[policy.metric].problems == ("regression",)
    assert "pinball_90" not in estimates.all_metrics("regression", TRUTH, GOOD)
    assert "pinball_90" in estimates.all_metrics("regression", TRUTH, GOOD, SERIES, "pinball_90")


@pytest.mark.parametrize("written", [lambda at: at, lambda at: pd.to_datetime(at).dt.strftime("%Y-%m-%dT%H:%M:%SZ")])
def test_golden_rows_are_ordered_by_event_time_within_entities_and_the_sample_keeps_it(written, tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": TRUTH, "y": TRUTH, "at": TIMES, "who": ENTITIES})
    frame = frame.assign(at=written(frame["at"]))
    frame.loc[5, "y"] = None  # an unlabelled row is no row before another
    frame.to_parquet(tmp_path / "golden.parquet", index=False)
    roles = {"label": "y", "entity": "who", "event_time": "at"}
    model = MLmodel(True, inputs=("x",), roles=roles)
    policy = ModelPolicy.model_validate(
        {"model": "m", "problem": "regression", "metric": "mase", "golden": {"max_rows": 100}}
    )
    rows = golden_rows.read(tmp_path / "golden.parquet", model, policy, GoldenSource("test"))
    known = frame.dropna().sort_values("at")
    known["before"] = known.groupby("who")["y"].shift()
    expected = known.sort_index().reset_index(drop=True).iloc[golden_rows.chosen_rows(N - 1, 100)]["before"]
    assert rows.series is not None and rows.series.scale == pytest.approx((known.y - known.before).abs().mean())
    np.testing.assert_array_equal(rows.series.before, expected)
