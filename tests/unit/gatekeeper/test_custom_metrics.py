"""Metrics that are functions of the user: estimated by the paired bootstrap, alike for gate and drift."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from chassis.policies import PolicyError, load_policy
from contracts import Outcome, OutputFormat
from contracts.custom_metrics import CustomMetricError, load
from contracts.gate_settings import Performance
from contracts.metrics import METRICS
from drift.database.window_rows import Answered
from drift.scoring.performance import measure
from gatekeeper.policy.compared import Facts
from gatekeeper.policy.gates import performance
from gatekeeper.policy.statistics import estimates
from gatekeeper.policy.statistics.metrics import Predictions, Unmeasurable, trivial
from gauntlet.policy_lint import warnings
from support.own_metrics import profit_score

RNG = np.random.default_rng(4)
N = 500
TRUTH = RNG.integers(0, 2, N)
PROFIT, OVER, SHARP = (f"support.own_metrics:{name}" for name in ("profit_score", "over_error", "sharp_loss"))


def scored(noise: float) -> Predictions:
    scores = np.clip(0.3 + 0.4 * TRUTH + RNG.normal(0, noise, N), 0, 1)
    return Predictions((scores >= 0.5).astype(np.int64), scores)


GOOD, POOR = scored(0.2), scored(0.6)


def test_the_name_says_which_is_better_without_importing_it() -> None:
    assert METRICS["not.there:x_score"].greater_is_better
    assert not METRICS["not.there:x_loss"].greater_is_better
    assert "not.there:x_error" in METRICS and "not.there:x" not in METRICS and "x_score" not in METRICS


def test_a_function_is_estimated_by_the_paired_bootstrap() -> None:
    one = estimates.estimate(PROFIT, TRUTH, GOOD, 0.05)
    two = estimates.difference(PROFIT, TRUTH, GOOD, POOR, 0.05)
    assert one.value == profit_score(TRUTH, GOOD.labels) and one.method == two.method == "bootstrap"
    # The function is a mean over rows, so that its error is known.
    gain = (GOOD.labels == 1) * np.where(TRUTH == 1, 10.0, -3.0) - (POOR.labels == 1) * np.where(TRUTH == 1, 10.0, -3.0)
    assert two.value == pytest.approx(gain.mean())
    assert two.se == pytest.approx(gain.std(ddof=1) / np.sqrt(N), rel=0.07)
    again = estimates.difference(PROFIT, TRUTH, GOOD, POOR, 0.05)
    assert (again.lower, again.upper) == (two.lower, two.upper)


def test_a_third_parameter_gets_the_scores_and_smaller_is_better_by_its_name() -> None:
    found = estimates.difference(SHARP, TRUTH, GOOD, POOR, 0.05)
    brier = estimates.difference("brier", TRUTH, GOOD, POOR, 0.05)
    assert (found.first, found.value) == (pytest.approx(brier.first), pytest.approx(brier.value))
    assert found.se == pytest.approx(brier.se, rel=0.07)
    with pytest.raises(Unmeasurable, match="needs scores"):
        estimates.value(SHARP, TRUTH, Predictions(TRUTH))


def test_rows_of_one_entity_are_drawn_together() -> None:
    rows = np.repeat(np.arange(0, N, 10), 10)
    codes = np.arange(N) // 10
    alone = estimates.estimate(PROFIT, TRUTH[rows], POOR.only(rows), 0.05)
    together = estimates.estimate(PROFIT, TRUTH[rows], POOR.only(rows), 0.05, codes)
    assert together.se == pytest.approx(np.sqrt(10) * alone.se, rel=0.1)


def test_the_trivial_value_is_the_best_of_constant_answers() -> None:
    everybody = profit_score(TRUTH, np.ones(N))
    assert trivial(PROFIT, TRUTH) == max(0.0, everybody)
    assert trivial(SHARP, TRUTH) == pytest.approx(trivial("brier", TRUTH))
    numbers = RNG.lognormal(size=N)
    assert trivial(OVER, numbers) == np.mean(np.maximum(np.median(numbers) - numbers, 0))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("support.own_metrics:broken_score", "raised ZeroDivisionError: of its own"),
        ("support.own_metrics:empty_score", "returns no number"),
        ("support.own_metrics:no_score", "cannot be imported (AttributeError"),
        ("support.own_metrics:fixed_score", "is a float, not a function"),
        ("not_installed_package:x_score", "cannot be imported (ModuleNotFoundError"),
    ],
)
def test_a_function_that_cannot_be_used_leaves_its_models_verdicts_inconclusive_and_says_why(
    name: str, says: str, tmp_path: Path
) -> None:
    facts = Facts("binary", name, truth=TRUTH, challenger=GOOD, champion=POOR, champion_version=1)
    verdict = performance.decide(facts, Performance())
    assert verdict.outcome is Outcome.INCONCLUSIVE and says in verdict.reason

    (tmp_path / "m.yaml").write_text(f"model: m\nproblem: binary\nmetric: {name}\n")
    policy = load_policy(tmp_path / "m.yaml")  # it is valid: the other models' service may have the function
    told = [sentence for subject, sentence in warnings(policy) if subject == "metric"]
    assert bool(told) is ("imported" in says or "not a function" in says)

    rows = [Answered(0.7, 1, int(label)) for label in TRUTH]
    found = measure(name, N, rows, OutputFormat(problem="binary"))
    assert found.observed is None and (says in found.why or "returns no number" in found.why)


def test_the_verdict_of_a_function_is_like_any_other() -> None:
    facts = Facts("binary", PROFIT, truth=TRUTH, challenger=GOOD, champion=POOR, champion_version=1)
    assert performance.decide(facts, Performance()).outcome is Outcome.PASSED
    worse = Facts("binary", PROFIT, truth=TRUTH, challenger=POOR, champion=GOOD, champion_version=1)
    assert performance.decide(worse, Performance()).outcome is Outcome.FAILED
    assert PROFIT in estimates.all_metrics("binary", TRUTH, GOOD, also=PROFIT)


@pytest.mark.parametrize("name", [PROFIT, SHARP])
def test_drift_computes_what_the_gate_does(name: str) -> None:
    names = ("no", "yes")
    rows = [
        Answered(float(score), names[label], names[true])
        for score, label, true in zip(GOOD.scores, GOOD.labels, TRUTH, strict=True)  # type: ignore[arg-type]
    ]
    found = measure(name, N, rows, OutputFormat(problem="binary", classes=names))
    assert found.observed == pytest.approx(estimates.value(name, TRUTH, GOOD))


def test_a_name_without_a_direction_is_refused_with_the_rule(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("model: m\nmetric: my_package:profit\n")
    with pytest.raises(PolicyError, match=r"package\.module:name_score \(greater is better\)"):
        load_policy(tmp_path / "m.yaml")


def test_a_package_that_is_installed_later_is_found() -> None:
    for _ in range(2):
        with pytest.raises(CustomMetricError):
            load("not_installed_package:x_score")
