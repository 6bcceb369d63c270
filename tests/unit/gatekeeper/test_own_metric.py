"""A version's own metric with its interval, from verdicts of the performance gate as it writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Minimum, Performance
from gatekeeper.policy.gates.performance import Facts, decide
from gatekeeper.policy.own_metric import OwnMetric, own_metric
from gatekeeper.policy.statistics.estimates import Predictions

ROWS = 2000
RANDOM = np.random.default_rng(4)
X = RANDOM.normal(size=ROWS)
TRUTH = (RANDOM.random(ROWS) < 1 / (1 + np.exp(-2 * X))).astype(np.int64)


def predictions(noise: float) -> Predictions:
    scores = 1 / (1 + np.exp(-2 * (X + noise * np.random.default_rng(5).normal(size=ROWS))))
    return Predictions((scores >= 0.5).astype(np.int64), scores)


GOOD, BAD = predictions(0.0), predictions(1.0)
METRICS = {"roc_auc": roc_auc_score, "log_loss": log_loss}


def judged(metric: str, champion: Predictions | None, settings: Performance | None = None) -> OwnMetric:
    version = None if champion is None else 7
    facts = Facts("binary", metric, truth=TRUTH, challenger=GOOD, champion=champion, champion_version=version)
    found = own_metric(decide(facts, settings or Performance()))
    assert found is not None
    return found


@pytest.mark.parametrize("metric", METRICS)
def test_against_a_champion_bounds_are_on_the_metrics_own_side(metric: str) -> None:
    found, true = judged(metric, BAD), METRICS[metric]
    assert (found.metric, found.champion_version, found.n) == (metric, 7, ROWS)
    assert found.value == pytest.approx(true(TRUTH, GOOD.scores))
    assert found.champion == pytest.approx(true(TRUTH, BAD.scores))
    assert found.lower is not None and found.upper is not None
    assert found.lower < found.value < found.upper
    shown_better = found.lower > found.champion if metric == "roc_auc" else found.upper < found.champion
    assert shown_better, "all of the interval is on the better side of the champion"


@pytest.mark.parametrize("metric", METRICS)
def test_without_a_champion_bounds_are_those_of_the_value(metric: str) -> None:
    found = judged(metric, None)
    assert found.champion is None and found.champion_version is None
    assert found.value == pytest.approx(METRICS[metric](TRUTH, GOOD.scores))
    assert found.lower is not None and found.upper is not None and found.lower < found.value < found.upper


def test_of_several_minimums_bounds_are_those_of_the_metric_that_is_shown() -> None:
    rule = Performance(rule=Minimum(minimum={"accuracy": 0.6, "roc_auc": 0.7}))
    found, alone = judged("roc_auc", BAD, rule), judged("roc_auc", None)
    assert found.metric == "roc_auc" and found.champion is None
    assert (found.value, found.lower, found.upper) == (alone.value, alone.lower, alone.upper)


def verdict(observed: float | None, metric: str | None = "roc_auc", **details: Any) -> GateVerdict:
    return GateVerdict(
        gate="performance", outcome=Outcome.FAILED, reason="r", metric=metric, observed=observed, n=9, details=details
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (verdict(None), None),
        (verdict(0.7, metric=None), None),
        (verdict(0.7), OwnMetric("roc_auc", 0.7, None, None, 9)),
        (verdict(0.7, lower="x", upper=None), OwnMetric("roc_auc", 0.7, None, None, 9)),
        (verdict(0.7, champion=0.6, challenger=0.7), OwnMetric("roc_auc", 0.7, None, None, 9, None, 0.6)),
        (
            verdict(0.7, metric="m.mine:f", champion=0.5, challenger=0.75, lower=-0.25, upper=0.5, champion_version=2),
            OwnMetric("m.mine:f", 0.75, 0.25, 1.0, 9, 2, 0.5),
        ),
    ],
)
def test_verdicts_that_measured_less(given: GateVerdict, expected: OwnMetric | None) -> None:
    assert own_metric(given) == expected
