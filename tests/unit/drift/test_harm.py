"""Which drift is harmful: a table of cases."""

from __future__ import annotations

import pytest

from contracts import DriftKind, Harm, Outcome
from drift.policy.harm import estimate_harm, least_loss, used
from drift.policy.proxy import CBPE, Proxy
from drift.policy.windows import Verdict

IMPORTANCE = {"age": 0.1, "spend": 0.03, "colour": 0.0, "noise": -0.002}
MOVED = Verdict(DriftKind.PREDICTION, Outcome.FAILED, "they moved", 2000)
SAME = Verdict(DriftKind.PREDICTION, Outcome.PASSED, "they did not", 2000)


def proxy(estimated: float, se: float = 0.005, metric: str = "roc_auc") -> Proxy:
    return Proxy(metric, estimated, se, estimated - 1.645 * se, estimated + 1.645 * se, estimated, CBPE)


@pytest.mark.parametrize(
    ("metric", "baseline", "least"),
    [("roc_auc", 0.75, 0.02), ("f1", 0.5, 0.02), ("accuracy", 0.9, 0.02), ("mae", 4.0, 0.2), ("log_loss", 0.4, 0.02)],
)
def test_a_loss_is_harmful_from_two_hundredths_or_a_twentieth_on(metric: str, baseline: float, least: float) -> None:
    assert least_loss(metric, baseline) == pytest.approx(least)


@pytest.mark.parametrize(
    ("columns", "importance", "found"),
    [
        (["colour", "age", "noise", "spend"], IMPORTANCE, ("age", "spend")),
        (["colour", "noise"], IMPORTANCE, ()),
        (["age"], {}, None),
        (["age", "new"], IMPORTANCE, None),  # a column that was not there at the gate
        (["colour"], {"colour": 0.0, "age": 0.0}, ()),  # a constant model uses nothing
    ],
)
def test_a_column_is_used_if_it_is_not_negligible_beside_the_most_important_one(
    columns: list[str], importance: dict[str, float], found: tuple[str, ...] | None
) -> None:
    assert used(columns, importance) == found


@pytest.mark.parametrize(
    ("drifted", "importance", "estimated", "harm", "why"),
    [
        (["age"], IMPORTANCE, proxy(0.70), Harm.HARMFUL, "0.0500 worse than the baseline 0.7500"),
        (["age"], {}, proxy(0.70), Harm.HARMFUL, "harmful from 0.0200 on"),
        (["age"], IMPORTANCE, proxy(0.73), Harm.HARMFUL, "the model uses age"),
        (["age"], IMPORTANCE, proxy(0.75), Harm.BENIGN, "equal to the baseline"),
        (["age"], IMPORTANCE, proxy(0.77), Harm.BENIGN, "0.0200 better than"),
        (["age"], IMPORTANCE, proxy(0.74, se=0.03), Harm.UNKNOWN, "within the error of the estimate (0.0300)"),
        (["colour"], IMPORTANCE, proxy(0.74, se=0.03), Harm.BENIGN, "does not use the drifted columns (colour)"),
        (["colour"], IMPORTANCE, proxy(0.60), Harm.HARMFUL, "0.1500 worse than the baseline 0.7500"),
        (["colour", "noise"], IMPORTANCE, None, Harm.BENIGN, "does not use"),
        (["colour", "age"], IMPORTANCE, None, Harm.UNKNOWN, "there are no golden predictions; the model uses age"),
        (["colour"], {}, None, Harm.UNKNOWN, "cannot be estimated"),
        ([], IMPORTANCE, None, Harm.UNKNOWN, "cannot be estimated"),
    ],
)
def test_what_a_drift_costs(
    drifted: list[str], importance: dict[str, float], estimated: Proxy | None, harm: Harm, why: str
) -> None:
    found = estimate_harm(drifted, importance, estimated, 0.75)
    assert found.harm is harm and why in found.reason, found.reason
    assert found.importance == {name: importance[name] for name in drifted if name in importance}


def test_a_loss_of_a_metric_that_is_to_be_small_is_a_share_of_its_baseline() -> None:
    assert estimate_harm(["age"], {}, proxy(2.2, 0.01, "mae"), 2.0).harm is Harm.HARMFUL
    assert estimate_harm(["age"], {}, proxy(2.05, 0.01, "mae"), 2.0).harm is Harm.BENIGN


def test_without_a_baseline_nothing_is_known() -> None:
    found = estimate_harm(["age"], IMPORTANCE, proxy(0.7), None)
    assert found.harm is Harm.UNKNOWN and found.metric is None


@pytest.mark.parametrize(("verdict", "said"), [(MOVED, "its predictions have changed"), (SAME, "not changed")])
def test_the_reason_says_whether_the_predictions_changed(verdict: Verdict, said: str) -> None:
    assert said in estimate_harm(["age"], IMPORTANCE, proxy(0.7), 0.75, verdict).reason
