"""Which drift leads to a training: a table of cases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from contracts import DriftDetected, DriftKind, DriftWindow, Harm, HarmEstimate
from contracts.policy import ModelPolicy
from trainer.policy import Ignore, Train, after_drift

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALWAYS, ON_HARMFUL = "always", "on harmful"
DATA, PREDICTION, PERFORMANCE, PROXY = DriftKind.DATA, DriftKind.PREDICTION, DriftKind.PERFORMANCE, DriftKind.PROXY


def drift(kind: DriftKind, harm: Harm | None = None, *, proxy: bool = False) -> DriftDetected:
    return DriftDetected(
        model_name="m",
        model_version=1,
        kind=kind,
        window=DriftWindow(id="w", rows=2000, start=NOON, end=NOON),
        harm=None if harm is None else HarmEstimate(harm=harm, reason="because of this"),
        proxy=proxy,
        reason="it moved",
    )


def policy(retrain: str, recipe: str | None = "r:r") -> ModelPolicy:
    settings: dict[str, Any] = {"model": "m", "recipe": recipe, "drift": {"retrain": retrain}}
    return ModelPolicy.model_validate(settings)


@pytest.mark.parametrize(
    ("retrain", "kind", "harm"),
    [
        (ALWAYS, DATA, None),
        *((ALWAYS, DATA, harm) for harm in Harm),
        (ON_HARMFUL, DATA, Harm.HARMFUL),
        (ALWAYS, PERFORMANCE, None),
        (ON_HARMFUL, PERFORMANCE, None),
    ],
)
def test_it_is_trained_for(retrain: str, kind: DriftKind, harm: Harm | None) -> None:
    assert after_drift(drift(kind, harm), policy(retrain)) == Train()


@pytest.mark.parametrize(
    ("retrain", "kind", "harm", "why"),
    [
        (ON_HARMFUL, DATA, None, "was not estimated"),
        (ON_HARMFUL, DATA, Harm.BENIGN, "this drift is benign: because of this"),
        (ON_HARMFUL, DATA, Harm.UNKNOWN, "this drift is unknown: because of this"),
        (ALWAYS, PREDICTION, None, "kind prediction: a changed score decides nothing alone"),
        (ALWAYS, PREDICTION, Harm.HARMFUL, "decides nothing alone"),
        (ALWAYS, PROXY, None, "kind proxy: an estimate without labels decides nothing alone"),
        (ON_HARMFUL, PROXY, Harm.HARMFUL, "decides nothing alone"),
    ],
)
def test_it_is_ignored(retrain: str, kind: DriftKind, harm: Harm | None, why: str) -> None:
    found = after_drift(drift(kind, harm), policy(retrain))
    assert isinstance(found, Ignore) and why in found.reason


def test_a_performance_that_is_marked_as_an_estimate_is_ignored_too() -> None:
    found = after_drift(drift(PERFORMANCE, proxy=True), policy(ALWAYS))
    assert found == Ignore("kind performance: an estimate without labels decides nothing alone")


@pytest.mark.parametrize("of", [None, policy(ALWAYS, recipe=None)])
def test_without_a_recipe_there_is_nothing_to_train(of: ModelPolicy | None) -> None:
    found = after_drift(drift(PERFORMANCE), of)
    assert isinstance(found, Ignore) and "recipe" in found.reason
