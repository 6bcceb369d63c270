"""The tournament: a table of cases, and its promise by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from contracts import GateVerdict, Outcome
from contracts.gate_settings import Performance
from gatekeeper.policy import tournament
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.policy.tournament import Entrant, Facts

SUPERIOR = Performance(rule="superior")


def rows(n: int = 4000, seed: int = 5) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < 0.3).astype(int)


def model(truth: np.ndarray, signal: float, seed: int) -> Predictions:
    """Scores that carry so much of the truth."""
    random = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(-(signal * (truth - 0.3) + random.normal(size=len(truth)) - 0.8)))
    return Predictions((scores >= 0.5).astype(int), scores)


def facts(champion: float, entrants: dict[int, float], **more: object) -> Facts:
    truth = rows()
    return Facts(
        problem="binary",
        metric="roc_auc",
        truth=truth,
        champion=Entrant(1, model(truth, champion, 1)),
        entrants=tuple(Entrant(version, model(truth, signal, version)) for version, signal in entrants.items()),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("champion", "entrants", "winner"),
    [
        (1.0, {}, None),  # nobody else
        (1.0, {4: 1.0, 3: 1.0, 2: 1.0}, None),  # all are equal
        (1.0, {4: 0.2, 3: 0.1}, None),  # all are worse
        (1.0, {4: 1.0, 3: 2.0, 2: 1.0}, 3),  # an old one is better
        (1.0, {4: 1.8, 3: 2.6, 2: 1.0}, 3),  # of two better ones, the best
        (2.0, {4: 2.0, 3: 0.5, 2: 1.0}, None),
    ],
)
def test_the_best_of_those_shown_to_be_better_wins(
    champion: float, entrants: dict[int, float], winner: int | None
) -> None:
    found = tournament.decide(facts(champion, entrants), SUPERIOR)
    assert found.winner == winner
    assert found.verdicts.keys() == entrants.keys()


def test_a_version_that_is_only_not_inferior_does_not_replace_the_champion() -> None:
    """It would pass the gate as a new version."""
    truth = rows(20_000)
    champion, other = model(truth, 1.0, 1), model(truth, 1.0, 1)
    assert other.scores is not None
    other.scores[:100] += 1e-6
    facts = Facts("binary", "roc_auc", truth, Entrant(1, champion), (Entrant(2, other),))
    settings = Performance(rule="non_inferior")
    assert tournament.compare(facts, facts.entrants[0], settings).outcome is Outcome.PASSED
    assert tournament.decide(facts, settings).winner is None


def test_the_entrants_share_what_one_challenger_may_spend() -> None:
    found = tournament.decide(facts(1.0, {4: 1.0, 3: 1.0, 2: 1.0}, k=2), SUPERIOR)
    shares = [verdict.details["alpha_k"] for verdict in found.verdicts.values()]
    assert shares == pytest.approx([0.05 * 6 / (np.pi**2 * 4) / 3] * 3)


@pytest.mark.parametrize("rule", ["non_inferior", "superior", {"delta": 0.01}])
def test_a_fixed_step_stays_what_it_is_and_any_other_rule_becomes_superior(rule: object) -> None:
    settings = Performance.model_validate({"rule": rule})
    expected = settings.rule if isinstance(rule, dict) else "superior"
    assert tournament.shared(settings, 5).rule == expected


def test_rows_that_either_was_trained_on_are_left_out_of_their_comparison() -> None:
    truth = rows()
    early, late = np.arange(4000) < 1500, np.arange(4000) >= 1000
    champion = Entrant(1, model(truth, 1.0, 1), early)
    found = tournament.decide(
        Facts(
            "binary",
            "roc_auc",
            truth,
            champion,
            (Entrant(3, model(truth, 2.0, 3), late), Entrant(2, model(truth, 1.0, 2))),
            clusters=np.arange(4000) // 2,
        ),
        SUPERIOR,
    )
    assert {version: verdict.n for version, verdict in found.verdicts.items()} == {3: 500, 2: 1500}


def test_no_clean_rows_are_no_reason_to_promote() -> None:
    truth = rows()
    nothing = np.zeros(len(truth), dtype=bool)
    found = tournament.decide(
        Facts(
            "binary",
            "roc_auc",
            truth,
            Entrant(1, model(truth, 1.0, 1)),
            (Entrant(2, model(truth, 3.0, 2), nothing),),
        ),
        SUPERIOR,
    )
    assert found.winner is None
    assert found.verdicts[2].outcome is Outcome.INCONCLUSIVE


def test_the_reason_names_winner_and_champion_or_who_came_nearest() -> None:
    won = tournament.decide(facts(1.0, {4: 1.0, 3: 2.5}), SUPERIOR).reason
    assert "better than champion v1" in won
    stays = tournament.decide(facts(2.0, {4: 1.0, 3: 1.9}), SUPERIOR).reason
    assert stays.startswith("champion v1 stays") and "v3 comes nearest" in stays


def gate(name: str, outcome: Outcome, difference: float | None = None) -> GateVerdict:
    details = {} if difference is None else {"difference": difference}
    return GateVerdict(gate=name, outcome=outcome, reason=f"{name} says {outcome.value}", details=details)


PASSED, FAILED, UNSURE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
BEST = tournament.Result(4, "v4 is better", {4: gate("performance", PASSED, 0.02)})


@pytest.mark.parametrize(
    ("candidate", "gates", "winner", "why"),
    [
        ((), (gate("latency", PASSED),), 4, "v4 is better"),  # no new version: a drift
        ((gate("performance", FAILED, 0.5),), (gate("latency", PASSED),), 4, "v4 is better"),
        ((gate("performance", PASSED, 0.01),), (gate("latency", PASSED),), 4, "v4 is better"),
        ((gate("performance", PASSED, 0.02),), (), None, "the new version does as well or better"),
        ((), (gate("latency", FAILED), gate("slices", UNSURE)), None, "Failed: latency: latency says Failed"),
        ((), (gate("slices", UNSURE),), None, "Inconclusive: slices"),
        ((), (), None, "it ran no gate"),
    ],
)
def test_the_best_becomes_champion_unless_the_new_one_does_as_well_or_a_gate_is_in_the_way(
    candidate: tuple[GateVerdict, ...], gates: tuple[GateVerdict, ...], winner: int | None, why: str
) -> None:
    found = tournament.ending(BEST, candidate, gates)
    assert found.winner == winner
    assert why in found.reason


def test_nobody_wins_where_nobody_is_better() -> None:
    stays = tournament.Result(None, "champion v1 stays")
    assert tournament.ending(stays, (), ()) == tournament.Ending(None, "champion v1 stays")


def test_ten_equal_versions_replace_an_equal_champion_in_no_more_than_alpha_of_the_cases() -> None:
    """The bound is Bonferroni's over what all of them spend; three standard errors are given to chance."""
    simulations, promoted = 300, 0
    for seed in range(simulations):
        random = np.random.default_rng(seed)
        truth = (random.random(400) < 0.4).astype(int)
        common = random.normal(size=400)

        def equal(common=common, truth=truth, random=random) -> Predictions:
            scores = 1 / (1 + np.exp(-(truth + common + 0.5 * random.normal(size=400))))
            return Predictions((scores >= 0.5).astype(int), scores)

        entrants = tuple(Entrant(version, equal()) for version in range(11, 1, -1))
        found = tournament.decide(Facts("binary", "log_loss", truth, Entrant(1, equal()), entrants), SUPERIOR)
        promoted += found.winner is not None
    assert promoted / simulations < 0.05 + 3 * np.sqrt(0.05 * 0.95 / simulations)
