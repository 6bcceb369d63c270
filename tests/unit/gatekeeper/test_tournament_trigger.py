"""Is a drift, or a benchmark, the occasion for a tournament? Tables of cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.policy import ModelPolicy
from gatekeeper.policy.tournament_trigger import (
    BenchmarkTrigger,
    NewestGolden,
    Play,
    Skip,
    TournamentTrigger,
    after_benchmark,
    after_drift,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATEST = {"golden": {"dataset": "latest"}, "candidates": "retained"}
NEWS = TournamentTrigger(
    drifted_version=3,
    champion_version=3,
    newest=NewestGolden(2, "sha256:22", NOON),
    judged_on=1,
    judged_at=NOON - timedelta(days=9),
    others=2,
)


def policy(**changes: Any) -> ModelPolicy:
    return ModelPolicy.model_validate({"model": "m", **LATEST, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"judged_on": None},  # on the rows that came with it, before the dataset was made
        {"judged_on": None, "judged_at": None},  # a champion that was restored: nothing is known of its verdict
        {"others": 1},
        {"judged_at": NOON + timedelta(days=1)},  # judged since, but on an older dataset
    ],
)
def test_there_are_rows_that_the_champion_was_not_judged_on(changes: dict[str, Any]) -> None:
    found = after_drift(replace(NEWS, **changes), policy())
    assert isinstance(found, Play) and found.golden_digest == "sha256:22"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"champion_version": None}, "no champion"),
        ({"drifted_version": 2}, "v2 that drifted, and v3 answers by now"),
        ({"newest": None}, "gauntlet golden create"),
        ({"played": True}, "played already"),
        ({"judged_on": 2}, "was judged on"),
        ({"judged_on": None, "judged_at": NOON}, "made before champion v3 was judged"),
        ({"others": 0}, "no earlier version"),
        ({"decides": False}, "decides nothing alone"),
    ],
)
def test_there_is_nothing_to_judge_on_or_nobody_to_judge(changes: dict[str, Any], why: str) -> None:
    found = after_drift(replace(NEWS, **changes), policy())
    assert isinstance(found, Skip) and why in found.reason


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"candidates": "newest"}, "compares no retained versions"),
        ({"gates": {"performance": False}}, "compares no retained versions"),
        ({"gates": {"performance": {"rule": {"minimum": {"roc_auc": 0.6}}}}}, "compares no retained versions"),
        ({"golden": {}}, "does not say golden.dataset: latest"),
        ({"golden": {"dataset": f"sha256:{'0' * 64}"}}, "does not say golden.dataset: latest"),
    ],
)
def test_a_policy_that_wants_none_gets_none(changes: dict[str, Any], why: str) -> None:
    found = after_drift(NEWS, policy(**changes))
    assert isinstance(found, Skip) and why in found.reason


def test_without_a_policy_nothing_is_played() -> None:
    assert after_drift(NEWS, None) == Skip("the model has no policy")


LOST = BenchmarkTrigger(failed=True, compared=3, champion_version=3, others=2)
WANTED = {"benchmark": {"every": "7d", "tournament": True}}


@pytest.mark.parametrize(
    ("state", "settings", "why"),
    [
        ({}, {}, None),
        ({"others": 1}, {}, None),
        ({}, {"golden": {}}, None),  # the rows are the benchmark's own
        ({"failed": False}, {}, "did not fail"),
        ({"champion_version": 4}, {}, "v3 that failed, and v4 answers by now"),
        ({"champion_version": None}, {}, "and vNone answers by now"),
        ({"played": True}, {}, "played already"),
        ({"others": 0}, {}, "no earlier version"),
        ({}, {"benchmark": {"every": "7d"}}, "wants no tournament"),
        ({}, {"benchmark": False}, "wants no tournament"),
        ({}, {"candidates": "newest"}, "compares no retained versions"),
    ],
)
def test_a_tournament_follows_a_benchmark(state: dict[str, Any], settings: dict[str, Any], why: str | None) -> None:
    found = after_benchmark(replace(LOST, **state), policy(**WANTED | settings))
    assert found is None if why is None else found is not None and why in found.reason


def test_without_a_policy_no_tournament_follows_a_benchmark() -> None:
    assert after_benchmark(LOST, None) == Skip("the model has no policy")
