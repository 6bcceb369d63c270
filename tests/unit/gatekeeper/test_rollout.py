"""The next action of a rollout, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts import ArmSums, Loss, PairedSums, RolloutMeasured, Stage
from contracts.latency_buckets import bucket_of
from contracts.losses import LossKind
from contracts.policy import ModelPolicy
from contracts.rollouts import log_wealth
from gatekeeper.policy.rollout import (
    Abort,
    Action,
    Advance,
    Continue,
    Decided,
    Keep,
    RollBack,
    Step,
    next_action,
    plan,
    watch_of,
)

BEGAN = datetime(2026, 1, 5, 9, tzinfo=UTC)
RIGHT_OR_WRONG, BRIER = Loss(kind=LossKind.ZERO_ONE), Loss(kind=LossKind.BRIER)


def policy(**keys: object) -> ModelPolicy:
    return ModelPolicy.model_validate({"model": "m", "problem": "binary", **keys})


def steps(*strategy: object, **keys: object) -> tuple[Step, ...]:
    return plan(policy(strategy=list(strategy), **keys))


(SHADOW,) = steps({"shadow": {"rows": "500..5000", "on": ["metric", "errors"]}})
(LAX,) = steps({"shadow": {"rows": "500..5000", "on": ["metric", "errors"], "margin": 0.05}})
(AGREES,) = steps({"shadow": {"rows": "500..5000", "on": ["agreement", "errors"], "agreement": 0.9}})
(ERRORS_ONLY,) = steps({"shadow": {"rows": "500..5000", "on": "errors"}})
SMALL, HALF = steps({"canary": {"steps": ["10%", "50%"], "bake": "10m", "on": ["metric", "errors", "latency"]}})
(BAKE,) = steps({"canary": {"steps": ["10%"], "bake": "10m", "on": ["errors", "latency"]}})
(AB,) = steps({"ab": {"share": "50%", "minimum": 100, "maximum": 20_000}})
WATCH = watch_of(policy(watch={"for": "1h", "on": ["errors", "latency", "metric"]}))
assert WATCH is not None
REPORT = replace(WATCH, rolls_back=False)


def arm(version: int, predictions: int = 0, errors: int = 0, **sums: object) -> ArmSums:
    named: dict[str, object] = {"units": predictions, "latency": {str(bucket_of(5.0)): predictions - errors}}
    return ArmSums.model_validate(
        {"model_version": version, "predictions": predictions, "errors": errors, **named, **sums}
    )


def labelled(version: int, n: int, wrong: int, units: int | None = None) -> ArmSums:
    """An arm of right and wrong predictions, all labelled."""
    return arm(version, units or n, labelled=n, loss=wrong, loss2=wrong, right=n - wrong)


def measured(champion: ArmSums, tried: ArmSums, **sums: object) -> RolloutMeasured:
    return RolloutMeasured.model_validate(
        {
            "model_name": "m",
            "rollout_id": "r",
            "step": 1,
            "champion": champion,
            "tried": tried,
            "counted_from": BEGAN,
            "measured_at": BEGAN,
            **sums,
        }
    )


def pairs(n: int, wins: int, losses: int, d: float = 1.0, margin: float = 0.0) -> PairedSums:
    """Pairs of which `wins` have the difference d, `losses` -d, and the rest 0."""
    logs = [(times, log_wealth(of, margin)) for times, of in ((wins, d), (losses, -d), (n - wins - losses, 0.0))]
    return PairedSums(
        n=n,
        wins=wins,
        losses=losses,
        sum_d=d * (wins - losses),
        sum_d2=d * d * (wins + losses),
        log_wealth_better=tuple(sum(times * log[0][bet] for times, log in logs) for bet in range(8)),
        log_wealth_worse=tuple(sum(times * log[1][bet] for times, log in logs) for bet in range(8)),
    )


def shadow(
    n: int, wins: int, losses: int, errors: int = 0, units: int | None = None, **sums: object
) -> RolloutMeasured:
    """A shadow of right and wrong predictions; the champion has a history of 10,000 rows without an error."""
    named: dict[str, object] = {"paired": pairs(n, wins, losses), "champion_history": 10_000}
    return measured(arm(1, units or n), arm(2, units or n, errors), **{**named, **sums})


def slow(version: int, n: int, share: float, milliseconds: float = 50.0) -> ArmSums:
    late = round(n * share)
    histogram = {str(bucket_of(5.0)): n - late, str(bucket_of(milliseconds)): late}
    return arm(version, n, latency={bucket: times for bucket, times in histogram.items() if times})


CASES: list[tuple[str, Step, RolloutMeasured | None, float, Loss | None, type[Decided], str]] = [
    # name, step, what was measured, minutes since the step began, loss, action, words of its reason
    ("nothing came", SHADOW, None, 5, RIGHT_OR_WRONG, Continue, "nothing was measured"),
    ("no prediction", SHADOW, shadow(0, 0, 0), 5, RIGHT_OR_WRONG, Continue, "predicted nothing"),
    ("few labels", SHADOW, shadow(499, 30, 5), 5, RIGHT_OR_WRONG, Continue, "499 of at least 500 labelled units"),
    ("better", SHADOW, shadow(500, 40, 10), 5, RIGHT_OR_WRONG, Advance, "right alone on 40, wrong alone on 10 of 500"),
    ("a little better", SHADOW, shadow(500, 20, 12), 5, RIGHT_OR_WRONG, Continue, "not decided on 500 labelled units"),
    ("equal", SHADOW, shadow(2000, 50, 50), 5, RIGHT_OR_WRONG, Continue, "not decided"),
    ("equal at the end", SHADOW, shadow(5000, 50, 50), 5, RIGHT_OR_WRONG, Keep, "5,000 labelled units, the maximum"),
    ("equal rows", SHADOW, shadow(5000, 0, 0), 5, RIGHT_OR_WRONG, Keep, "the maximum"),
    ("better at the end", SHADOW, shadow(5000, 90, 40), 5, RIGHT_OR_WRONG, Advance, "it is better"),
    ("worse", SHADOW, shadow(600, 8, 50), 5, RIGHT_OR_WRONG, Abort, "it is worse: right alone on 8"),
    ("worse before the minimum", SHADOW, shadow(120, 2, 35), 5, RIGHT_OR_WRONG, Abort, "it is worse"),
    ("no loss", SHADOW, shadow(600, 40, 10), 5, None, Keep, "cannot be judged"),
    ("labels never come", SHADOW, shadow(3, 0, 0, units=50_000), 5, RIGHT_OR_WRONG, Keep, "labels do not come: 50,000"),
    ("labels stop", SHADOW, shadow(600, 9, 9, units=50_000), 5, RIGHT_OR_WRONG, Keep, "labels do not come: 50,000"),
    ("labels are late", SHADOW, shadow(3, 0, 0, units=40_000), 5, RIGHT_OR_WRONG, Continue, "3 of at least 500"),
    (
        "smaller loss",
        SHADOW,
        shadow(900, 0, 0, paired=pairs(900, 500, 200, 0.3)),
        5,
        BRIER,
        Advance,
        "loss lower by 0.1",
    ),
    ("larger loss", SHADOW, shadow(200, 0, 0, paired=pairs(200, 40, 140, 0.3)), 5, BRIER, Abort, "it is worse"),
    (
        "worse within the margin",
        LAX,
        shadow(3000, 0, 0, paired=pairs(3000, 50, 70, margin=0.05)),
        5,
        Loss(kind=LossKind.ZERO_ONE, margin=0.05),
        Advance,
        "it is not worse",
    ),
    (
        "worse than the margin",
        LAX,
        shadow(1000, 0, 0, paired=pairs(1000, 20, 180, margin=0.05)),
        5,
        Loss(kind=LossKind.ZERO_ONE, margin=0.05),
        Abort,
        "worse by more than 0.05",
    ),
    (
        "first error in 60",
        SHADOW,
        shadow(60, 5, 5, 1),
        5,
        RIGHT_OR_WRONG,
        Abort,
        "v2 failed on 1 of 60 rows, v1 on 0 of",
    ),
    ("first error in 800", SHADOW, shadow(800, 9, 9, 1), 5, RIGHT_OR_WRONG, Continue, "not decided"),
    ("errors though better", SHADOW, shadow(600, 60, 5, 30), 5, RIGHT_OR_WRONG, Abort, "it fails more often"),
    (
        "the champion fails as often",
        SHADOW,
        measured(arm(1, 630, 30), arm(2, 600, 30), paired=pairs(600, 60, 5), champion_history=10_000),
        5,
        RIGHT_OR_WRONG,
        Advance,
        "it is better",
    ),
    (
        "the champion has always failed as often",
        SHADOW,
        measured(
            arm(1, 630, 30),
            arm(2, 600, 30),
            paired=pairs(600, 60, 5),
            champion_history=10_000,
            champion_history_errors=500,
        ),
        5,
        RIGHT_OR_WRONG,
        Advance,
        "it is better",
    ),
    ("as many errors as are allowed", SHADOW, shadow(4000, 9, 9, 4), 5, RIGHT_OR_WRONG, Continue, "not decided"),
    ("errors alone, done", ERRORS_ONLY, shadow(0, 0, 0, units=500), 0, None, Advance, "no harm was shown on 500"),
    (
        "errors alone, early",
        ERRORS_ONLY,
        shadow(0, 0, 0, units=499),
        0,
        None,
        Continue,
        "499 of at least 500 predictions",
    ),
    ("agrees", AGREES, shadow(0, 0, 0, units=800, compared=800, agreed=770), 5, None, Advance, "labels were not known"),
    (
        "agrees on few",
        AGREES,
        shadow(0, 0, 0, units=90, compared=90, agreed=90),
        5,
        None,
        Continue,
        "90 of at least 500",
    ),
    ("agrees hardly", AGREES, shadow(0, 0, 0, units=900, compared=900, agreed=815), 5, None, Continue, "not decided"),
    ("agreed hardly", AGREES, shadow(0, 0, 0, units=5000, compared=5000, agreed=4510), 5, None, Keep, "the maximum"),
    ("disagrees", AGREES, shadow(0, 0, 0, units=90, compared=90, agreed=50), 5, None, Keep, "agrees too little"),
    ("bakes", BAKE, measured(arm(1, 9000), arm(2, 1000)), 9, None, Continue, "the step takes at least 0:10:00"),
    ("baked", BAKE, measured(arm(1, 9000), arm(2, 1000)), 10, None, Advance, "no harm was shown on 1,000 predictions"),
    ("baked with nothing", BAKE, measured(arm(1, 9), arm(2)), 60, None, Continue, "predicted nothing yet"),
    ("baked with little", BAKE, measured(arm(1, 891), arm(2, 99)), 60, None, Continue, "99 of at least 100"),
    ("unmeasured bake", BAKE, None, 60, None, Continue, "nothing was measured yet"),
    (
        "canary fails",
        BAKE,
        measured(arm(1, 900), arm(2, 100, 5), champion_history=10_000),
        1,
        None,
        Abort,
        "fails more",
    ),
    ("canary fails, young champion", BAKE, measured(arm(1, 900), arm(2, 100, 5)), 1, None, Abort, "fails more often"),
    ("slow", BAKE, measured(slow(1, 900, 0), slow(2, 100, 0.4)), 1, None, Abort, "it is slower: 40 of 100"),
    ("hardly slow", BAKE, measured(slow(1, 900, 0), slow(2, 100, 0.04)), 11, None, Advance, "no harm"),
    ("as slow as the champion", BAKE, measured(slow(1, 900, 0.4), slow(2, 100, 0.4)), 11, None, Advance, "no harm"),
    ("slow by less", BAKE, measured(slow(1, 900, 0), slow(2, 100, 1, 7.0)), 11, None, Advance, "no harm"),
    ("broken routing", BAKE, measured(arm(1, 700), arm(2, 300)), 11, None, Keep, "routing is broken, not the model"),
    (
        "first step is no proof",
        SMALL,
        measured(labelled(1, 9000, 900), labelled(2, 1000, 100)),
        11,
        BRIER,
        Advance,
        "no harm",
    ),
    (
        "harm at the first step",
        SMALL,
        measured(labelled(1, 9000, 900), labelled(2, 1000, 200)),
        1,
        BRIER,
        Abort,
        "worse",
    ),
    (
        "proof at the last step",
        HALF,
        measured(labelled(1, 3000, 400), labelled(2, 3000, 250)),
        11,
        BRIER,
        Advance,
        "better",
    ),
    (
        "no proof yet",
        HALF,
        measured(labelled(1, 3000, 300), labelled(2, 3000, 290)),
        11,
        BRIER,
        Continue,
        "not decided",
    ),
    ("A/B better", AB, measured(labelled(1, 3000, 400), labelled(2, 3000, 250)), 0, BRIER, Advance, "it is better"),
    ("A/B few", AB, measured(labelled(1, 99, 40), labelled(2, 99, 10)), 0, BRIER, Continue, "99 of at least 100"),
    ("A/B few wrong", AB, measured(labelled(1, 900, 19), labelled(2, 900, 1)), 0, BRIER, Continue, "are too few"),
    (
        "A/B at the end",
        AB,
        measured(labelled(1, 10_000, 900), labelled(2, 10_000, 880)),
        0,
        BRIER,
        Keep,
        "20,000 labelled",
    ),
    ("A/B worse", AB, measured(labelled(1, 2000, 200), labelled(2, 2000, 300)), 0, BRIER, Abort, "it is worse"),
    ("watch", WATCH, shadow(900, 9, 9), 5, RIGHT_OR_WRONG, Continue, "no harm was shown"),
    ("unmeasured watch", WATCH, None, 5, RIGHT_OR_WRONG, Continue, "nothing was measured yet"),
    ("watch is over", WATCH, shadow(900, 9, 9), 60, RIGHT_OR_WRONG, Advance, "no harm was shown on 900"),
    ("unmeasured watch is over", WATCH, None, 60, RIGHT_OR_WRONG, Advance, "nothing was measured"),
    ("watch, former one better", WATCH, shadow(300, 50, 5), 5, RIGHT_OR_WRONG, RollBack, "it is worse"),
    ("watch, new one better", WATCH, shadow(300, 5, 50), 5, RIGHT_OR_WRONG, Continue, "no harm"),
    ("watch, errors", WATCH, measured(arm(2, 200, 20), arm(1, 180)), 5, None, RollBack, "v2 failed on 20 of 200"),
    ("watch, former one fails", WATCH, measured(arm(2, 200), arm(1, 200, 20)), 5, None, Continue, "no harm"),
    ("watch, slow", WATCH, measured(slow(2, 400, 0.4), slow(1, 400, 0)), 5, None, RollBack, "it is slower"),
    ("report only", REPORT, shadow(300, 50, 5), 5, RIGHT_OR_WRONG, Continue, "may not roll back"),
    ("report only, over", REPORT, shadow(300, 50, 5), 60, RIGHT_OR_WRONG, Advance, "ended with harm"),
]


@pytest.mark.parametrize(
    ("step", "sums", "minutes", "loss", "action", "words"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_next_action(
    step: Step, sums: RolloutMeasured | None, minutes: float, loss: Loss | None, action: type[Decided], words: str
) -> None:
    found = next_action(step, BEGAN, sums, BEGAN + timedelta(minutes=minutes), loss=loss)
    assert (type(found), words in found.reason) == (action, True), found


def decided(step: Step, sums: RolloutMeasured | None = None, failure: str | None = "r1: out of memory") -> Action:
    return next_action(step, BEGAN, sums, BEGAN, loss=RIGHT_OR_WRONG, load_failure=failure)


def test_a_failed_load_ends_a_trial_and_a_watch_before_anything_is_measured() -> None:
    assert decided(SHADOW) == Abort("a replica failed to load it: r1: out of memory")
    assert decided(WATCH) == RollBack("a replica failed to load it: r1: out of memory")
    reported = decided(REPORT)
    assert isinstance(reported, Continue) and reported.warning == "a replica failed to load it: r1: out of memory"


def test_figures_name_everything_that_the_policy_judges() -> None:
    found = next_action(HALF, BEGAN, measured(labelled(1, 300, 40), labelled(2, 300, 40)), BEGAN, loss=RIGHT_OR_WRONG)
    assert [figure.name for figure in found.figures] == ["metric", "errors", "latency", "sample ratio"]
    metric, errors, _, ratio = found.figures
    assert (metric.observed, metric.bound, metric.n) == (0.0, 0.0, 600)
    assert (errors.observed, errors.bound, errors.n) == (0.0, 0.001, 300)
    assert (ratio.observed, ratio.bound, ratio.n) == (0.5, 0.5, 600)
    assert all(figure.reason for figure in found.figures)


def test_staging_and_approval_are_not_decided_by_what_was_measured() -> None:
    for stage in (Stage.STAGING, Stage.APPROVAL):
        with pytest.raises(ValueError, match=f"{stage.value} is neither"):
            decided(Step(stage))


def test_the_error_rate_of_harm_is_divided_and_spent() -> None:
    for found in (steps("shadow", "canary", "ab"), steps({"shadow": {"on": "errors"}}), (WATCH,), steps("canary")):
        spent = sum(step.alpha_errors + step.alpha_harm * sum(each != "errors" for each in step.on) for step in found)
        assert spent == pytest.approx(0.01)
    first, *later = (step.alpha_errors for step in steps("canary"))
    assert first == pytest.approx(0.0045) and sum(later) == pytest.approx(0.0005)


def test_better_is_shown_at_the_level_of_the_performance_gate() -> None:
    (strict,) = steps("shadow", gates={"performance": {"alpha": 0.001}})
    (without,) = steps("shadow", gates={"performance": False})
    assert (SHADOW.alpha, strict.alpha, without.alpha) == (0.05, 0.001, 0.05)
    sums = shadow(600, 35, 12)
    assert isinstance(decided(SHADOW, sums, None), Advance)
    assert isinstance(decided(strict, sums, None), Continue)
