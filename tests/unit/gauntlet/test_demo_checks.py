"""What the demo's steps accept, and what they refuse with numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts import (
    Cause,
    Dataset,
    DriftDetected,
    DriftKind,
    DriftWindow,
    FeatureScore,
    GateFailed,
    GatePassed,
    GateVerdict,
    Harm,
    HarmEstimate,
    ModelRegistered,
    Outcome,
    Promoted,
)
from gauntlet.demo import checks
from gauntlet.demo.checks import Process, StepFailed

DIGEST = "sha256:" + 64 * "0"
GATES = ("lineage", "functional", "performance", "latency")


def dataset(window: str) -> Dataset:
    return Dataset(uri="runs:/r/datasets/x.parquet", digest=DIGEST, rows=1000, window=window)


def registered(training: str = "2013-01..2013-02", golden: str = "2013-03") -> ModelRegistered:
    return ModelRegistered(
        model_name="flights-delay",
        model_version=1,
        training=dataset(training),
        evaluation=dataset(golden),
        metrics={"roc_auc": 0.7163, "log_loss": 0.5054},
    )


def verdict(gate: str, outcome: Outcome = Outcome.PASSED, **fields: Any) -> GateVerdict:
    return GateVerdict(gate=gate, outcome=outcome, reason=f"{gate} said so", **fields)


def result(
    kind: type[GatePassed] | type[GateFailed], champion: int | None, *changed: GateVerdict, version: int = 2
) -> GatePassed | GateFailed:
    by_gate = {gate: verdict(gate, n=20_000 if gate == "performance" else None) for gate in GATES}
    by_gate |= {one.gate: one for one in changed}
    return kind(
        model_name="flights-delay",
        model_version=version,
        candidate_id=f"flights-delay-v{version}",
        outcome=Outcome.PASSED if kind is GatePassed else Outcome.FAILED,
        reason="as the gates said",
        artifact_uri="models:/m-1",
        champion_version=champion,
        policy_digest=DIGEST,
        verdicts=tuple(by_gate.values()),
    )


def worse(upper: float = -0.026, outcome: Outcome = Outcome.FAILED) -> GateVerdict:
    details = {"difference": -0.034, "lower": -0.042, "upper": upper}
    return verdict("performance", outcome, observed=0.6415, bound=0.6755, n=20_000, details=details)


def promotion(version: int = 2, previous: int | None = 1, cause: Cause = Cause.GATE, epoch: int = 2) -> Promoted:
    return Promoted(
        model_name="flights-delay",
        model_version=version,
        previous_version=previous,
        epoch=epoch,
        cause=cause,
        artifact_uri="models:/m-1",
        artifact_digest=DIGEST,
        actor="gatekeeper",
    )


def drift(version: int = 1, kind: DriftKind = DriftKind.DATA, is_drifted: bool = True) -> DriftDetected:
    at = datetime(2013, 6, 1, tzinfo=UTC)
    return DriftDetected(
        model_name="flights-delay",
        model_version=version,
        kind=kind,
        window=DriftWindow(id="w1", rows=4000, start=at, end=at),
        scores=(FeatureScore(feature="dest", method="jensenshannon", score=0.12, limit=0.1, drifted=is_drifted),),
        reason="11 of 15 features drifted",
    )


def test_a_version_of_the_windows_that_the_story_says_is_shown_with_its_metrics() -> None:
    seen = checks.trained(registered(), "2013-01..2013-02", "2013-03")
    assert seen == "v1 from 1,000 rows of 2013-01..2013-02; on 2013-03: log_loss 0.5054, roc_auc 0.7163"


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (registered(training="2013-02..2013-03"), "training window is 2013-02..2013-03, expected 2013-01..2013-02"),
        (registered(golden="2013-04"), "evaluation window is 2013-04, expected 2013-03"),
        (ModelRegistered(model_name="m", model_version=1), "training window is None"),
    ],
)
def test_a_version_of_other_windows_is_not_the_storys(event: ModelRegistered, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        checks.trained(event, "2013-01..2013-02", "2013-03")


def test_a_pass_against_the_champion_in_charge_is_shown_with_the_performance_gates_words() -> None:
    assert "performance said so" in checks.passed(result(GatePassed, 1), champion=1)
    assert checks.passed(result(GatePassed, None, version=1), champion=None).startswith("passed lineage, functional")


@pytest.mark.parametrize(
    ("event", "champion", "message"),
    [
        (result(GatePassed, None), 1, "compared with vNone, expected v1"),
        (result(GatePassed, 1), None, "compared with v1, expected no champion"),
        (result(GateFailed, 1, worse()), 1, "did not pass: performance Failed"),
        (result(GatePassed, 1, verdict("performance")), 1, "names no rows"),
    ],
)
def test_what_is_not_a_pass_against_that_champion_is_refused(
    event: GatePassed | GateFailed, champion: int | None, message: str
) -> None:
    with pytest.raises(StepFailed, match=message):
        checks.passed(event, champion)


def test_a_worse_challenger_is_refused_with_its_numbers() -> None:
    assert checks.refused_for_performance(result(GateFailed, 2, worse()), champion=2).startswith("refused: performance")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (result(GatePassed, 2), "passed, though it is worse"),
        (result(GateFailed, 2, worse(), verdict("latency", Outcome.FAILED)), "was to fail performance only"),
        (result(GateFailed, 2, worse(upper=0.002)), "is not shown to be worse"),
        (result(GateFailed, 2, worse(outcome=Outcome.INCONCLUSIVE)), "is not shown to be worse"),
        (result(GateFailed, 1, worse()), "compared with v1, expected v2"),
    ],
)
def test_a_refusal_for_another_reason_is_not_the_storys(event: GatePassed | GateFailed, message: str) -> None:
    with pytest.raises(StepFailed, match=message):
        checks.refused_for_performance(event, champion=2)


def test_a_broken_model_is_refused_by_the_functional_gate_and_by_no_other() -> None:
    broken = verdict("functional", Outcome.FAILED)
    assert "functional said so" in checks.refused_as_broken(result(GateFailed, 2, broken))
    with pytest.raises(StepFailed, match="functional is Passed"):
        checks.refused_as_broken(result(GateFailed, 2, worse()))
    with pytest.raises(StepFailed, match="though it raises on predict"):
        checks.refused_as_broken(result(GatePassed, 2))


@pytest.mark.parametrize(
    "event",
    [promotion(version=3), promotion(previous=None), promotion(cause=Cause.OVERRIDE), promotion(epoch=1)],
)
def test_another_promotion_than_the_expected_one_fails_the_step(event: Promoted) -> None:
    assert checks.promoted(promotion(), version=2, previous=1, cause=Cause.GATE, above_epoch=1)
    with pytest.raises(StepFailed, match="expected v2 after v1, cause gate, an epoch above 1"):
        checks.promoted(event, version=2, previous=1, cause=Cause.GATE, above_epoch=1)


def test_a_drift_must_be_of_the_version_that_answers_and_rest_on_something() -> None:
    assert "11 of 15" in checks.drifted(drift(), version=1, kinds=[DriftKind.DATA])
    with pytest.raises(StepFailed, match="drift of v2, kind data; expected v1"):
        checks.drifted(drift(version=2), version=1, kinds=[DriftKind.DATA])
    with pytest.raises(StepFailed, match="expected v1, performance"):
        checks.drifted(drift(), version=1, kinds=[DriftKind.PERFORMANCE])
    with pytest.raises(StepFailed, match="without a drifted feature"):
        checks.drifted(drift(is_drifted=False), version=1, kinds=[DriftKind.DATA])
    with pytest.raises(StepFailed, match="without its numbers"):
        checks.drifted(drift(kind=DriftKind.PERFORMANCE), version=1, kinds=[DriftKind.PERFORMANCE])


def test_a_drift_shows_its_estimated_harm() -> None:
    harm = HarmEstimate(harm=Harm.BENIGN, reason="dest hardly matters")
    seen = checks.drifted(drift().model_copy(update={"harm": harm}), version=1, kinds=[DriftKind.DATA])
    assert seen.endswith("estimated harm: benign, dest hardly matters")


def test_a_swap_happens_once_and_costs_no_request() -> None:
    seen = checks.swapped([(1, 2)], old=1, new=2, seconds=0.0424, requests=1234, failures=[])
    assert seen == "v2 answered 42 ms after Promoted; 0 of 1,234 requests failed"


@pytest.mark.parametrize(
    ("switches", "failures", "message"),
    [
        ([(1, 2)], ["503: no model"], "1 of 1,234 requests failed; the first: 503"),
        ([(1, 2), (2, 1), (1, 2)], [], "seen: v1→v2, v2→v1, v1→v2"),
        ([], [], "seen: no change of version"),
        ([(1, 3)], [], "from v1 to v2; seen: v1→v3"),
    ],
)
def test_a_failed_request_or_a_flapping_answer_fails_the_step(
    switches: Sequence[tuple[int, int]], failures: Sequence[str], message: str
) -> None:
    with pytest.raises(StepFailed, match=message):
        checks.swapped(switches, old=1, new=2, seconds=0.1, requests=1234, failures=failures)


def test_a_rollback_that_takes_longer_than_a_second_breaks_its_promise() -> None:
    assert checks.answered_within(0.99, 1) == "v1 answered 990 ms after it was asked for"
    with pytest.raises(StepFailed, match=r"after 1\.20 s"):
        checks.answered_within(1.2, 1)


BEFORE = {"serving": Process(10, 1.0), "gatekeeper": Process(11, 1.0)}


def test_processes_are_the_same_by_pid_and_start() -> None:
    assert checks.same_processes(BEFORE, dict(BEFORE)).startswith("serving 10 since ")
    with pytest.raises(StepFailed, match=r"restarted were \['gatekeeper'\], expected none"):
        checks.same_processes(BEFORE, {**BEFORE, "gatekeeper": Process(11, 2.0)})  # the same pid, given again
    with pytest.raises(StepFailed, match=r"restarted were \['serving'\]"):
        checks.same_processes(BEFORE, {"gatekeeper": BEFORE["gatekeeper"]})


def test_only_the_part_that_was_killed_may_be_a_new_process() -> None:
    after = {**BEFORE, "gatekeeper": Process(12, 2.0)}
    assert "gatekeeper" not in checks.same_processes(BEFORE, after, but=["gatekeeper"])
    with pytest.raises(StepFailed, match=r"restarted were none, expected \['gatekeeper'\]"):
        checks.same_processes(BEFORE, BEFORE, but=["gatekeeper"])


def test_one_verdict_and_one_promotion_of_what_passed_is_exactly_once() -> None:
    assert checks.exactly_once(2, [result(GatePassed, 1)], [promotion()]) == (
        "one verdict (Passed), one promotion of v2"
    )
    assert checks.exactly_once(2, [result(GateFailed, 1, worse())], []) == "one verdict (Failed), no promotion of v2"
    aborted = checks.exactly_once(2, [result(GatePassed, 1)], [], proved=False)
    assert aborted == "one verdict (Passed), no promotion of v2"
    with pytest.raises(StepFailed, match="1 promotions, expected 0"):
        checks.exactly_once(2, [result(GatePassed, 1)], [promotion()], proved=False)


@pytest.mark.parametrize(
    ("verdicts", "promotions", "message"),
    [
        ([], [], "0 verdicts on v2"),
        ([result(GatePassed, 1), result(GatePassed, 1)], [promotion()], "2 verdicts on v2"),
        ([result(GatePassed, 1)], [promotion(), promotion(epoch=3)], "2 promotions, expected 1"),
        ([result(GatePassed, 1)], [], "0 promotions, expected 1"),
        ([result(GateFailed, 1, worse())], [promotion()], "1 promotions, expected 0"),
    ],
)
def test_anything_else_is_not_exactly_once(
    verdicts: Sequence[GatePassed | GateFailed], promotions: Sequence[Promoted], message: str
) -> None:
    with pytest.raises(StepFailed, match=message):
        checks.exactly_once(2, verdicts, promotions)


def test_a_kill_after_the_verdict_interrupted_nothing() -> None:
    killed = datetime(2026, 1, 1, tzinfo=UTC)
    checks.judged_after(killed, killed + timedelta(seconds=5), 5)
    with pytest.raises(StepFailed, match=r"out 0\.50 s before the kill"):
        checks.judged_after(killed, killed - timedelta(seconds=0.5), 5)
