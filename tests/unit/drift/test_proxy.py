"""The performance estimated without labels: formulas against scikit-learn, corrections and verdicts by tables."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)

from contracts import Outcome
from contracts.drift_settings import RelativeDrop
from drift.policy.proxy import (
    CBPE,
    NEWEST_ERRORS,
    OF_CLASSES,
    Proxy,
    corrected,
    estimate_of_classes,
    estimate_of_losses,
    judge_proxy,
    loss,
)

RANDOM = np.random.default_rng(3)
SCORE = np.round(RANDOM.beta(1, 2, 3000), 2)  # with ties
CALIBRATED = np.clip(SCORE**1.3, 0.01, 0.99)
BY_LABELS = {
    "roc_auc": roc_auc_score,
    "pr_auc": average_precision_score,
    "accuracy": lambda y, s, sample_weight: accuracy_score(y, s >= 0.5, sample_weight=sample_weight),
    "f1": lambda y, s, sample_weight: f1_score(y, s >= 0.5, sample_weight=sample_weight),
    "log_loss": lambda y, s, sample_weight: log_loss(y, np.clip(s, 1e-15, 1 - 1e-15), sample_weight=sample_weight),
    "brier": brier_score_loss,
}


@pytest.mark.parametrize("metric", sorted(OF_CLASSES))
def test_the_estimate_is_the_metric_of_rows_that_are_both_classes_by_their_weights(metric: str) -> None:
    found = estimate_of_classes(metric, SCORE, CALIBRATED)
    both, scores = np.repeat([1, 0], len(SCORE)), np.tile(SCORE, 2)
    weights = np.concatenate([CALIBRATED, 1 - CALIBRATED])
    assert found is not None and found.method == CBPE
    assert found.raw == pytest.approx(BY_LABELS[metric](both, scores, sample_weight=weights), abs=1e-9)


@pytest.mark.parametrize("metric", sorted(OF_CLASSES))
def test_the_standard_error_is_that_of_labels_drawn_with_these_probabilities(metric: str) -> None:
    found = estimate_of_classes(metric, SCORE, CALIBRATED)
    drawn = [RANDOM.random(len(SCORE)) < CALIBRATED for _ in range(300)]
    values = [BY_LABELS[metric](labels, SCORE, sample_weight=None) for labels in drawn]
    assert found is not None
    assert abs(float(np.mean(values)) - found.raw) < 3 * found.se / np.sqrt(300) + 0.002
    # Hanley and McNeil, and a proportion of the positive rows, assume a distribution of the scores, too.
    assert 0.7 * np.std(values) < found.se < 2.5 * np.std(values)


@pytest.mark.parametrize("metric", ["mae", "a function", "roc_auc_ovr"])
def test_there_is_no_estimate_of_other_metrics(metric: str) -> None:
    assert estimate_of_classes(metric, SCORE, CALIBRATED) is None


@pytest.mark.parametrize(("score", "p"), [([], []), ([0.2, 0.4], [0.0, 0.0]), ([0.2, 0.4], [1.0, 1.0])])
def test_nor_without_rows_or_with_one_class(score: list[float], p: list[float]) -> None:
    assert estimate_of_classes("roc_auc", np.array(score), np.array(p)) is None


def test_losses_are_averaged_and_squared_errors_rooted() -> None:
    losses = np.array([1.0, 3.0, 1.0, 3.0])
    mean, root = estimate_of_losses("mae", losses, 3.0), estimate_of_losses("rmse", losses, 3.0)
    assert mean is not None and (mean.raw, mean.se) == (2.0, 1.0)
    assert root is not None and root.raw == pytest.approx(np.sqrt(2)) and root.se == pytest.approx(1 / (2 * np.sqrt(2)))
    assert estimate_of_losses("mae", losses[:0], 1.0) is None


def made(value: float = 0.7, se: float = 0.01, metric: str = "roc_auc") -> Proxy:
    return Proxy(metric, value, se, value - 1.645 * se, value + 1.645 * se, value, CBPE)


@pytest.mark.parametrize(
    ("errors", "estimated"),
    [
        ([], 0.7),
        ([-0.06], 0.69),  # one error weighs a sixth
        ([-0.05] * 5, 0.675),
        ([-0.03] * NEWEST_ERRORS, 0.68),
        ([1.0] * 7 + [-0.03] * NEWEST_ERRORS, 0.68),  # the newest only
        ([0.05, -0.05], 0.7),
    ],
)
def test_an_estimate_is_corrected_by_the_newest_errors_shrunk_towards_none(
    errors: list[float], estimated: float
) -> None:
    found = corrected(made(), errors)
    assert found.estimated == pytest.approx(estimated) and found.raw == 0.7
    assert found.errors == min(len(errors), NEWEST_ERRORS)
    assert found.low < found.estimated < found.high


def test_the_interval_has_at_least_the_spread_of_the_errors() -> None:
    wide = corrected(made(), [-0.1, 0.1, -0.1, 0.1])
    assert wide.se > np.std([-0.1, 0.1, -0.1, 0.1], ddof=1)
    assert corrected(made(), [0.001, 0.0, 0.001]).se >= made().se


@pytest.mark.parametrize(
    ("metric", "estimated", "baseline", "lost"),
    [("roc_auc", 0.7, 0.75, 0.05), ("roc_auc", 0.8, 0.75, -0.05), ("mae", 3.0, 2.0, 1.0), ("mae", 1.0, 2.0, -1.0)],
)
def test_a_loss_is_positive_in_either_direction(metric: str, estimated: float, baseline: float, lost: float) -> None:
    assert loss(made(estimated, metric=metric), baseline) == pytest.approx(lost)


@pytest.mark.parametrize(
    ("proxy", "baseline", "outcome", "why"),
    [
        (made(0.75), 0.75, Outcome.PASSED, "within its bound 0.7125"),
        (made(0.70), 0.75, Outcome.FAILED, "below its bound 0.7125"),
        (made(0.70, se=0.05), 0.75, Outcome.PASSED, "it may be as good as the baseline"),
        (made(2.5, metric="mae"), 2.0, Outcome.FAILED, "above its bound 2.1000"),
        (made(2.0, metric="mae"), 2.0, Outcome.PASSED, "within its bound"),
    ],
)
def test_drift_is_an_estimate_beyond_the_bound_whose_interval_is_worse_than_the_baseline(
    proxy: Proxy, baseline: float, outcome: Outcome, why: str
) -> None:
    found = judge_proxy(2000, proxy, baseline, RelativeDrop(relative=0.05))
    assert (found.outcome, found.kind, found.observed) == (outcome, "proxy", proxy.estimated)
    assert why in found.reason and "without labels (CBPE)" in found.reason
