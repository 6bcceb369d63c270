"""The metric of a window, from answers and labels as they come over the bus."""

from datetime import UTC, datetime, timedelta
from functools import partial

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from contracts import OutputFormat
from contracts.metrics import METRICS
from drift.database.window_rows import Answered
from drift.scoring.performance import measure

WATCHED = sorted(name for name, metric in METRICS.items() if not metric.of_every_class)
BASELINE = {"mae": 1.0, "mase": 0.5}


def answered(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, count)
    return np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1), truth


@pytest.mark.parametrize("spell", [int, float, bool, str, lambda value: str(bool(value))])
def test_labels_are_read_however_they_are_spelled(spell):
    scores, truth = answered()
    rows = [Answered(float(score), None, spell(label)) for score, label in zip(scores, truth, strict=True)]
    found = measure("roc_auc", 500, rows)
    assert found.observed == pytest.approx(roc_auc_score(truth, scores))
    assert (found.rows, found.labelled, found.classes) == (500, 400, 2)
    assert measure("accuracy", 500, rows).observed == pytest.approx(np.mean((scores >= 0.5) == truth))


def hours(count: int) -> list[datetime]:
    return [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(count)]


def label(metric: str, truth: int) -> int:
    """A relative error is defined for labels other than 0."""
    return int(truth) + (metric == "mape")


@pytest.mark.parametrize("metric", WATCHED)
def test_every_metric_that_answers_carry_can_be_computed(metric):
    scores, truth = answered()
    rows = [
        Answered(float(s), float(s), label(metric, t), at)
        for s, t, at in zip(scores, truth, hours(len(truth)), strict=True)
    ]
    assert measure(metric, 400, rows, baseline=BASELINE).observed is not None


def test_better_answers_have_a_better_metric_in_its_direction():
    scores, truth = answered()
    for metric in WATCHED:
        labels, times = [label(metric, t) for t in truth], hours(len(truth))
        good = [Answered(0.9 * t + 0.05, y, y, at) for t, y, at in zip(truth, labels, times, strict=True)]
        bad = [Answered(float(s), int(s > 0.5), y, at) for s, y, at in zip(scores, labels, times, strict=True)]
        better, worse = (measure(metric, 400, rows, baseline=BASELINE).observed for rows in (good, bad))
        assert (better > worse) is METRICS[metric].greater_is_better, metric


def test_a_metric_of_every_class_says_what_is_missing():
    found = measure("roc_auc_ovr", 300, [Answered(None, "a", "a")] * 250)
    assert (found.observed, found.labelled) == (None, 250)
    assert "needs the score of each" in found.why


@pytest.mark.parametrize("metric", WATCHED)
def test_no_rows_and_unreadable_rows_have_no_metric(metric):
    assert measure(metric, 300, []).observed is None
    output = OutputFormat(problem=METRICS[metric].problems[0])
    nothing = measure(metric, 300, [Answered(None, None, "late")] * 250, output)
    assert nothing.observed is None
    assert nothing.labelled == 0
    assert "250 labels could not be read, for example 'late'" in nothing.why
    assert nothing.why.split("; ")[-1] in (f"250 predictions carry no {what}" for what in ("score", "class", "number"))


def test_one_class_has_no_auc_and_is_counted():
    found = measure("roc_auc", 300, [Answered(0.4, None, 1)] * 250)
    assert (found.observed, found.classes, found.labelled) == (None, 1, 250)


def test_classes_with_names_have_an_accuracy():
    rows = [Answered(None, "setosa", "setosa")] * 150 + [Answered(None, "setosa", "virginica")] * 50
    found = measure("accuracy", 200, rows)
    assert (found.observed, found.classes) == (0.75, 2)


def test_a_label_of_zero_has_no_relative_error():
    found = measure("mape", 300, [Answered(None, 1.5, 1)] * 249 + [Answered(None, 1.5, 0)])
    assert (found.observed, found.labelled) == (None, 250)
    assert "1 labels are 0" in found.why


def test_f1_is_that_of_class_one_or_the_mean_over_more_than_two_classes():
    rows = [Answered(0.9, None, 1), Answered(0.8, None, 0), Answered(0.2, None, 1), Answered(0.1, None, 0)]
    assert measure("f1", 4, rows).observed == pytest.approx(0.5)
    named = [Answered(None, "a", "a"), Answered(None, "a", "b"), Answered(None, "c", "c")]
    assert measure("f1", 3, named).observed == pytest.approx((2 / 3 + 0 + 1) / 3)


@pytest.mark.parametrize("names", [("no", "yes"), ("yes", "no"), (False, True), ("1", "0"), (1, 2)])
@pytest.mark.parametrize("metric", [name for name in WATCHED if "binary" in METRICS[name].problems])
def test_a_binary_models_classes_may_have_any_names_and_the_second_is_positive(metric, names):
    scores, truth = answered()
    plain = [Answered(float(s), int(s >= 0.5), int(t)) for s, t in zip(scores, truth, strict=True)]
    named = [Answered(row.score, names[row.answer], names[row.truth]) for row in plain]
    found = measure(metric, 400, named, OutputFormat(problem="binary", classes=names))
    assert found == measure(metric, 400, plain, OutputFormat(problem="binary"))
    assert found.observed is not None and found.why == ""


@pytest.mark.parametrize(("metric", "by"), [("accuracy", accuracy_score), ("f1", partial(f1_score, average="macro"))])
def test_a_multiclass_models_classes_are_read_as_the_promotion_says(metric, by):
    names = ("1", "2", "3")
    rng = np.random.default_rng(0)
    truth, said = rng.integers(1, 4, 300), rng.integers(1, 4, 300)
    rows = [Answered(None, str(a), float(t)) for a, t in zip(said, truth, strict=True)]
    assert measure(metric, 300, rows, OutputFormat(problem="multiclass", classes=names)).observed == by(truth, said)


def test_a_class_that_the_model_does_not_know_is_its_error_and_no_unreadable_label():
    output = OutputFormat(problem="multiclass", classes=("a", "b"))
    rows = [Answered(None, "a", "a")] * 150 + [Answered(None, "b", "c")] * 50
    found = measure("accuracy", 200, rows, output)
    assert (found.observed, found.labelled, found.why) == (0.75, 200, "")


def test_the_reason_says_how_many_labels_could_not_be_read_with_one_of_them_and_what_to_do():
    scores, truth = answered()
    words = [Answered(float(s), None, ["no", "yes"][t]) for s, t in zip(scores, truth, strict=True)]
    nothing = measure("roc_auc", 400, words, OutputFormat(problem="binary"))
    assert nothing.labelled == 0
    assert "400 labels could not be read, for example 'yes': it is none of the classes 0, 1" in nothing.why
    assert "classes" in nothing.why and "metadata=" in nothing.why

    some = [*words[:-3], *[Answered(0.5, None, "maybe")] * 3]
    found = measure("roc_auc", 400, some, OutputFormat(problem="binary", classes=("no", "yes")))
    assert found.labelled == 397 and found.observed is not None
    assert found.why == "3 labels could not be read, for example 'maybe': it is none of the classes 'no', 'yes'"


def test_a_regression_is_read_by_the_problem_and_numbers_may_be_texts():
    rows = [Answered(None, 1.5, "2.5")] * 200 + [Answered(None, 1.0, "late")]
    found = measure("mae", 201, rows, OutputFormat(problem="regression"))
    assert (found.observed, found.labelled) == (1.0, 200)
    assert "1 labels could not be read, for example 'late': it is no number" in found.why


def test_a_series_without_times_or_without_a_baseline_says_what_is_missing():
    rows = [Answered(None, 1.0, 2.0)] * 250
    assert "predictions need an event_time" in measure("directional_accuracy", 250, rows).why
    assert "the promotion carries no mae and mase" in measure("mase", 250, rows, baseline={"mase": 1.0}).why


def test_rows_of_other_entities_are_not_before_one_another():
    times = hours(6)
    levels = {"low": [1.0, 2.0, 3.0], "high": [30.0, 20.0, 10.0]}
    rows = [
        Answered(None, levels[name][step] + (1.0 if name == "low" else -1.0), levels[name][step], times[step * 2], name)
        for step in range(3)
        for name in levels
    ]
    assert measure("directional_accuracy", 6, rows).observed == 1.0


def test_numbers_too_large_to_square_have_no_finite_error_and_do_not_raise():
    found = measure("rmse", 300, [Answered(None, 1e308, -1e308)] * 250)
    assert found.observed is None or not np.isfinite(found.observed)
