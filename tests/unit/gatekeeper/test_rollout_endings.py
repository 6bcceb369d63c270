"""What would end a rollout's step, case by case; and the evidence says the same as the decision."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts import ArmSums, Loss, PairedSums, RolloutMeasured
from contracts.durations import about
from contracts.losses import LossKind
from contracts.policy import ModelPolicy
from contracts.rollout_units import betting, discordant
from contracts.rollouts import log_wealth
from gatekeeper.policy.rollout import Abort, Advance, Keep, RollBack, Step, findings, next_action, plan, watch_of
from gatekeeper.policy.rollout_endings import (
    ABORTED,
    GOES_ON,
    HALF,
    OVER,
    ROLLED_BACK,
    STAYS,
    WARNS,
    Ending,
    Look,
    Seen,
    endings,
    odds,
    rate,
    units_needed,
)

BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=10)
LOSS = Loss(kind=LossKind.ZERO_ONE)


def steps(*strategy: object, **keys: object) -> tuple[Step, ...]:
    return plan(ModelPolicy.model_validate({"model": "m", "problem": "binary", "strategy": list(strategy), **keys}))


(SHADOW,) = steps({"shadow": {"rows": "500..5000", "on": ["metric", "errors", "latency"]}})
(AGREES,) = steps({"shadow": {"rows": "500..5000", "on": ["agreement"], "agreement": 0.9}})
(BAKE,) = steps({"canary": {"steps": ["10%"], "bake": "1h", "on": ["errors"]}})
(AB,) = steps({"ab": {"share": "50%", "minimum": 100, "maximum": 20_000}})
WATCH = watch_of(ModelPolicy.model_validate({"model": "m", "problem": "binary", "watch": {"for": "1h"}}))
assert WATCH is not None


def sums(n: int, wins: int = 0, losses: int = 0, errors: int = 0, slow: int = 0, wrong: int = 0) -> RolloutMeasured:
    both = [(log_wealth(1.0), wins), (log_wealth(-1.0), losses)]
    better, worse = (tuple(sum(count * each[side][bet] for each, count in both) for bet in range(8)) for side in (0, 1))
    arms = [
        ArmSums(
            model_version=version,
            units=n,
            predictions=n,
            errors=failed,
            latency={"40": n - late, "60": late},
            labelled=n,
            loss=float(missed),
            loss2=float(missed),
            right=n - missed,
        )
        for version, failed, late, missed in ((1, 0, 0, n // 4), (2, errors, slow, n // 4 + wrong))
    ]
    paired = PairedSums(
        n=n,
        wins=wins,
        losses=losses,
        sum_d=float(wins - losses),
        sum_d2=float(wins + losses),
        log_wealth_better=better,
        log_wealth_worse=worse,
    )
    return RolloutMeasured(
        model_name="m",
        rollout_id="r",
        step=0,
        champion=arms[0],
        tried=arms[1],
        paired=paired,
        compared=n,
        agreed=n - wins - losses,
        champion_history=10_000,
        counted_from=BEGAN,
        measured_at=NOW,
    )


def look(step: Step, measured: RolloutMeasured | None, *, n: int = 600, loss: Loss | None = LOSS) -> Look:
    """One unit a second for ten minutes."""
    names = ("metric", "errors", "latency", "agreement")
    seen = [Seen(BEGAN + timedelta(seconds=at), at, at, dict.fromkeys(names, at)) for at in (0, n // 2, n)]
    return Look(step, BEGAN, measured, loss, seen, NOW)


def of(found: tuple[Ending, ...], leads_to: str, part: str = "") -> Ending:
    return next(each for each in found if each.leads_to == leads_to and part in each.condition)


def test_a_shadow_that_gains_says_when_it_is_shown() -> None:
    measured = sums(600, wins=45, losses=25)
    at = look(SHADOW, measured)
    found = endings(at)
    better, finding = of(found, GOES_ON, "better"), findings(SHADOW, measured, LOSS)["metric"]
    needed = discordant(70 / 600, 20 / 600, 0.05, HALF)
    assert units_needed(at, "metric", finding, gain=True) == needed
    assert units_needed(at, "metric", finding, gain=False) is None
    assert better.when == f"in {about(needed - 600)}, at the observed difference"
    assert better.share == pytest.approx(finding.evidence[0].strength / math.log(20))
    assert of(found, GOES_ON, "500 labelled").when == "any moment"
    assert of(found, STAYS, "5,000 labelled").when == "in 73 min"
    assert of(found, ABORTED, "worse").when == "not at the observed difference"
    assert of(found, ABORTED, "fails").when == of(found, ABORTED, "slower").when == "at once, when it is so"


def test_with_a_margin_the_bets_decide() -> None:
    step = replace(SHADOW, limits=SHADOW.limits.model_copy(update={"margin": 0.05}))
    loss = Loss(kind=LossKind.ZERO_ONE, margin=0.05)
    measured = sums(600, wins=30, losses=30)
    finding = findings(step, measured, loss)["metric"]
    spread = math.sqrt(60 / 600)
    expected = betting(0.05 / 0.95, spread / 0.95, 0.05, HALF)
    assert units_needed(look(step, measured, loss=loss), "metric", finding, gain=True) == expected


def test_before_anything_is_measured_numbers_and_time_are_shown() -> None:
    found = endings(Look(SHADOW, BEGAN, None, LOSS, (), NOW))
    assert [each.leads_to for each in found] == [GOES_ON, STAYS]
    assert found[0].standing == "0 of 500" and found[0].when == "never at this rate: none come"


def test_a_step_that_bakes_ends_with_its_time() -> None:
    found = endings(look(BAKE, sums(600)))
    assert of(found, GOES_ON, "it has lasted 60 min").when == "in 50 min"
    assert of(found, STAYS, "routing").share == 1.0  # half of the units, not a tenth


def test_agreement_and_arms_have_ends_of_their_own() -> None:
    agreeing = endings(look(AGREES, sums(600, wins=10, losses=10), loss=None))
    assert of(agreeing, GOES_ON, "at least 90 %").when == "now"
    assert of(agreeing, STAYS, "less than 90 %").when == "not at the observed difference"
    arms = endings(look(AB, sums(5000, wrong=400)))
    assert of(arms, ABORTED, "at most").when == "now"
    assert of(arms, GOES_ON, "lower by more").when == "not at the observed difference"


def test_a_watch_is_over_with_its_time_or_rolls_back() -> None:
    assert WATCH is not None
    found = endings(look(WATCH, sums(600)))
    assert found[0].leads_to == OVER and found[0].when == "in 50 min"
    assert {each.leads_to for each in found[1:]} == {ROLLED_BACK}
    reports = endings(look(replace(WATCH, rolls_back=False), sums(600)))
    assert {each.leads_to for each in reports[1:]} == {WARNS}


CASES = [
    (SHADOW, sums(600, wins=60, losses=10), Advance),
    (SHADOW, sums(600, wins=10, losses=80), Abort),
    (SHADOW, sums(600, errors=60), Abort),
    (SHADOW, sums(600, slow=400), Abort),
    (AGREES, sums(600, wins=200, losses=200), Keep),
    (AB, sums(5000, wrong=600), Abort),
    (WATCH, sums(600, errors=0, wins=90, losses=2), RollBack),
]


@pytest.mark.parametrize(("step", "measured", "action"), CASES)
def test_what_has_decided_is_shown_as_decided(step: Step, measured: RolloutMeasured, action: type) -> None:
    loss = LOSS if "metric" in step.on else None
    decided = next_action(step, BEGAN, measured, NOW, loss=loss)
    assert isinstance(decided, action)
    leads_to = {Advance: GOES_ON, Abort: ABORTED, Keep: STAYS, RollBack: ROLLED_BACK}[action]
    found = [each for each in endings(look(step, measured, loss=loss)) if each.leads_to == leads_to]
    assert any(each.share == 1.0 for each in found), found


def test_rates_and_odds() -> None:
    points = [(BEGAN, 0), (BEGAN + timedelta(minutes=30), 1800), (BEGAN + timedelta(minutes=40), 3000)]
    assert rate(points, BEGAN + timedelta(minutes=40)) == 2.0  # of the last ten minutes
    assert rate(points[:1], NOW) is None and rate([], NOW) is None
    assert rate([(BEGAN, 5), (NOW, 5)], NOW) is None  # nothing came
    assert [odds(math.log(x)) for x in (1, 20, 1000, 2e6)] == [
        "1 to 1",
        "20 to 1",
        "1,000 to 1",
        "more than a million to 1",
    ]
    assert odds(-1e4) == "less than 0.001 to 1"
