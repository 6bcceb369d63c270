"""Standard errors of metrics: against leaving out each row, and against the spread of many windows."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score, root_mean_squared_error

from contracts.metrics import METRICS
from drift.policy.estimates import BOUNDED, influences, losses, of_groups, of_units, uncertainty

MEANS = ["accuracy", "brier", "log_loss", "mae", "mape", "smape", "pinball", "pinball_90"]


def rows(metric: str, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if METRICS[metric].problems == ("regression",):
        truth = rng.lognormal(1, 0.5, n)
        return truth, truth * rng.lognormal(0, 0.3, n)
    truth = (rng.random(n) < 0.3).astype(float)
    scores = np.round(1 / (1 + np.exp(-rng.normal(2 * truth - 1, 1.2))), 2)  # with ties
    return truth, scores if METRICS[metric].of_scores else (scores > 0.5).astype(float)


def value(metric: str, truth: np.ndarray, said: np.ndarray, *, macro: bool = False) -> float:
    if metric == "f1":
        labels = None if macro else [1]
        return float(f1_score(truth, said, labels=labels, average="macro", zero_division=0))
    of = {"roc_auc": roc_auc_score, "pr_auc": average_precision_score, "rmse": root_mean_squared_error}
    return float(of[metric](truth, said)) if metric in of else float(losses(metric, truth, said).mean())


@pytest.mark.parametrize("metric", [*MEANS, "rmse", "roc_auc", "pr_auc", "f1"])
def test_an_influence_is_what_leaving_out_the_row_changes(metric):
    truth, said = rows(metric, 800, 1)
    found = influences(metric, truth, said)
    whole = value(metric, truth, said)
    each = np.array([whole - value(metric, np.delete(truth, at), np.delete(said, at)) for at in range(0, 800, 40)]) * (
        len(truth) - 1
    )
    assert found.mean() == pytest.approx(0.0, abs=1e-9)
    assert found[::40] == pytest.approx(each, abs=0.03 * np.abs(each).max())


def test_an_influence_on_macro_f1_is_that_of_all_classes():
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 4, 900).astype(float)
    said = np.where(rng.random(900) < 0.7, truth, rng.integers(0, 4, 900))
    found = influences("f1", truth, said, macro=True)
    whole = value("f1", truth, said, macro=True)
    each = [whole - value("f1", np.delete(truth, at), np.delete(said, at), macro=True) for at in range(0, 900, 60)]
    assert found[::60] == pytest.approx(np.array(each) * 899, abs=0.03)


@pytest.mark.parametrize("metric", ["mae", "rmse", "roc_auc", "pr_auc", "f1"])
def test_a_standard_error_is_the_spread_of_the_metric_over_windows(metric):
    values, errors = [], []
    for seed in range(300):
        truth, said = rows(metric, 500, seed)
        values.append(value(metric, truth, said))
        found = uncertainty(metric, truth, influences(metric, truth, said), None, None)
        errors.append(found.se)
    assert np.std(values) * 0.9 < np.mean(errors) < np.std(values) * 1.25


def test_rows_of_one_entity_and_of_one_time_are_no_independent_rows():
    """10 rows an entity with one level each: √10 as much. A level that changes every 50 rows: more by √50."""
    rng = np.random.default_rng(3)
    truth = np.zeros(2000)
    of_entities = np.tile(rng.normal(0, 1, 200), 10)
    entities = np.tile(np.arange(200), 10)
    plain = of_units(of_entities - of_entities.mean(), None, "rows").se
    by_entity = uncertainty("mae", truth, of_entities - of_entities.mean(), entities, None)
    assert (by_entity.of, by_entity.units) == ("entities", 200)
    assert by_entity.se == pytest.approx(plain * 10**0.5, rel=0.05)
    in_time = np.repeat(rng.normal(0, 1, 40), 50)
    shuffled = rng.permutation(2000)
    order = np.argsort(shuffled)
    by_time = uncertainty("mae", truth, (in_time - in_time.mean())[shuffled], None, order)
    assert (by_time.of, by_time.units) == ("blocks of time", 40)
    assert by_time.se == pytest.approx(of_units(in_time - in_time.mean(), None, "rows").se * 50**0.5, rel=0.05)


def test_few_entities_are_the_same_ones_tomorrow_and_their_rows_vary_with_time():
    rng = np.random.default_rng(4)
    found = uncertainty("mae", np.zeros(400), rng.normal(0, 1, 400), np.tile(np.arange(3), 134)[:400], None)
    assert found.of == "blocks of time"


def test_rows_without_an_entity_are_their_own():
    influence = np.random.default_rng(5).normal(0, 1, 400)
    unknown, distinct = np.full(400, -1), np.arange(400)
    assert uncertainty("mae", influence, influence, unknown, None) == uncertainty(
        "mae", influence, influence, distinct, None
    )


@pytest.mark.parametrize("metric", sorted(BOUNDED))
def test_a_perfect_metric_is_not_exact(metric):
    truth = np.repeat([0.0, 1.0], [150, 50])
    found = uncertainty(metric, truth, np.zeros(200), None, None)
    assert found.se == 0.5 / (200 if metric in ("accuracy", "directional_accuracy") else 50)


def test_a_single_row_of_a_class_has_no_standard_error():
    truth = np.repeat([0.0, 1.0], [299, 1])
    assert uncertainty("roc_auc", truth, np.zeros(300), None, None) is None


def test_leaving_out_groups_gives_the_standard_error_of_a_mean():
    values = np.random.default_rng(6).normal(0, 1, (40, 25))
    left_out = np.array([np.delete(values, at, axis=0).mean() for at in range(40)])
    assert of_groups(left_out).se == pytest.approx(1 / 1000**0.5, rel=0.35)
    assert of_groups(np.array([1.0, np.nan])) is None
