"""An event in one line, and the names by which types are asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chassis.topics import DEAD_LETTERS
from contracts import (
    EVENTS,
    ApprovalGiven,
    ApprovalRefused,
    ApprovalRequested,
    ArmSums,
    BenchmarkCompleted,
    BenchmarkDue,
    Cause,
    Dataset,
    DriftDetected,
    DriftKind,
    DriftWindow,
    Event,
    GateFailed,
    GatePassed,
    GroundTruthReceived,
    Harm,
    HarmEstimate,
    Mode,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Outcome,
    Output,
    PairedSums,
    PredictionMade,
    Promoted,
    Result,
    RolloutChanged,
    RolloutMeasured,
    Stage,
    TrainingFailed,
    TrainingRequested,
    TriedVersion,
    Trigger,
)
from contracts.event_summaries import WORDS, summary
from gauntlet.errors import CliError
from gauntlet.event_lines import topics_of

M = "flights"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERDICT = {"model_name": M, "model_version": 2, "candidate_id": "c", "artifact_uri": "u", "policy_digest": "d"}
TRIED = TriedVersion(model_version=2, artifact_uri="u", artifact_digest="d")
ROLLOUT = {"model_name": M, "rollout_id": "r", "revision": 3, "champion_version": 1, "champion_epoch": 4}
APPROVAL = {"model_name": M, "model_version": 2, "rollout_id": "r", "verdict_digest": "sha256:1"}
BENCHMARK = {"model_name": M, "model_version": 3, "benchmark_id": "b1"}
BENCHMARK |= {"rows": Dataset(uri="runs:/r/b1/rows.parquet", digest="sha256:" + "1" * 64, rows=500)}
LOAD = {"model_name": M, "model_version": 2, "replica": "r1", "role": "production", "seconds": 0.25}


def rollout(**changes: Any) -> RolloutChanged:
    fields = {**ROLLOUT, "tried": TRIED, "began_at": NOW, "actor": "gatekeeper", **changes}
    return RolloutChanged(**fields)


CASES: list[tuple[Event, str]] = [
    (
        BenchmarkDue(**BENCHMARK, label="late", start=NOW, end=NOW, reason="now", requested_by="ann"),
        "b1 on 500 labelled rows by ann: now",
    ),
    (
        BenchmarkCompleted(**BENCHMARK, outcome=Outcome.PASSED, reason="better", beats_baseline=True, winner=3),
        "Passed, v3 wins, b1: better",
    ),
    (
        BenchmarkCompleted(**BENCHMARK, outcome=Outcome.FAILED, reason="not better", beats_baseline=False),
        "ALERT, Failed, b1: not better",
    ),
    (TrainingRequested(model_name=M, window="a..b", requested_by="ann"), "window a..b by ann: requested"),
    (TrainingRequested(model_name=M, from_run="r7", reason="again"), "register run r7 again: again"),
    (TrainingFailed(model_name=M, job_id="j", reason="no such window"), "job j: no such window"),
    (
        ModelRegistered(model_name=M, model_version=1, metrics={"roc_auc": 0.71234}, trigger=Trigger(kind="drift")),
        "roc_auc 0.7123, because of drift",
    ),
    (
        GatePassed(**VERDICT, outcome=Outcome.PASSED, reason="all gates", champion_version=1),
        "Passed against v1: all gates",
    ),
    (GateFailed(**VERDICT, outcome=Outcome.INCONCLUSIVE, reason="too few rows"), "Inconclusive: too few rows"),
    (
        Promoted(
            model_name=M,
            model_version=1,
            epoch=3,
            artifact_uri="u",
            artifact_digest="d",
            previous_version=2,
            cause=Cause.ROLLBACK,
            actor="ann",
            reason="slow",
        ),
        "epoch 3, was v2, by rollback (ann) slow",
    ),
    (ModelLoaded(**LOAD, epoch=3, artifact_digest="d"), "r1 (production) in 0.25 s, epoch 3"),
    (ModelLoadFailed(**LOAD, reason="digest differs"), "r1 (production) after 0.25 s: digest differs"),
    (
        PredictionMade(
            model_name=M,
            request_id="q",
            row=1,
            features={},
            champion=Output(model_version=1, score=0.5),
            latency_ms=2.0,
        ),
        "0.5 in 2.0 ms, request q row 1",
    ),
    (GroundTruthReceived(model_name=M, request_id="q", label=1), "1 for request q row 0"),
    (
        DriftDetected(
            model_name=M,
            model_version=1,
            kind=DriftKind.DATA,
            window=DriftWindow(id="w", rows=400, start=NOW, end=NOW),
            drift_share=0.75,
            reason="12 of 16 columns",
        ),
        "data over 400 rows, 75% of columns: 12 of 16 columns",
    ),
    (
        DriftDetected(
            model_name=M,
            model_version=1,
            kind=DriftKind.DATA,
            window=DriftWindow(id="w", rows=400, start=NOW, end=NOW),
            harm=HarmEstimate(harm=Harm.UNKNOWN, reason="no importance is known"),
            reason="age moved",
        ),
        "data over 400 rows, harm unknown: age moved",
    ),
    (
        DriftDetected(
            model_name=M,
            model_version=1,
            kind=DriftKind.DATA,
            window=DriftWindow(id="w", rows=400, start=NOW, end=NOW),
            harm=HarmEstimate(harm=Harm.BENIGN, reason="age has no importance"),
            reason="age moved",
        ),
        "data over 400 rows, benign: age moved",
    ),
    (
        DriftDetected(
            model_name=M,
            model_version=1,
            kind=DriftKind.PROXY,
            window=DriftWindow(id="w", rows=400, start=NOW, end=NOW),
            metric="roc_auc",
            observed=0.71234,
            low=0.68,
            high=0.74,
            proxy=True,
            reason="below its bound",
        ),
        "proxy (estimated without labels) over 400 rows, roc_auc 0.7123 (0.68 to 0.74): below its bound",
    ),
    (
        rollout(stage=Stage.SHADOW, step=1, mode=Mode.SHADOW, reason="v2 passed its gates"),
        "step 2, shadow: v2 in shadow of v1 (gatekeeper): v2 passed its gates",
    ),
    (
        rollout(stage=Stage.CANARY, step=2, mode=Mode.SPLIT, share=0.1, reason="no harm in shadow"),
        "step 3, canary: v2 serves 10% of the entities, v1 the others (gatekeeper): no harm in shadow",
    ),
    (
        rollout(stage=Stage.APPROVAL, step=3, mode=Mode.OFF, reason="proved"),
        "step 4, approval: v2 (gatekeeper): proved",
    ),
    (
        rollout(stage=Stage.ENDED, step=3, mode=Mode.OFF, result=Result.ABORTED, actor="ann", reason="too slow"),
        "v2 aborted (ann): too slow",
    ),
    (
        RolloutMeasured(
            model_name=M,
            rollout_id="r",
            step=2,
            champion=ArmSums(model_version=1, predictions=900, labelled=400),
            tried=ArmSums(model_version=2, predictions=100, errors=3, labelled=40),
            paired=PairedSums(n=40, wins=5, losses=4),
            counted_from=NOW,
            measured_at=NOW,
        ),
        "step 3: v2 100 rows, 3 errors, 40 labels; v1 900 rows, 0 errors, 400 labels; 40 pairs, 5 better, 4 worse",
    ),
    (
        ApprovalRequested(**APPROVAL, people=2, expires_at=NOW, reason="better in shadow"),
        "by 2 people until 2026-01-01 00:00 UTC: better in shadow",
    ),
    (ApprovalGiven(**APPROVAL, actor="ann", missing=1), "by ann, 1 more needed"),
    (ApprovalGiven(**APPROVAL, actor="bob", missing=0, reason="seen"), "by bob: seen"),
    (ApprovalRefused(**APPROVAL, actor="bob", reason="not in December"), "by bob: not in December"),
]


@pytest.mark.parametrize(("event", "expected"), CASES)
def test_a_line_says_what_matters(event: Event, expected: str) -> None:
    assert summary(event) == expected


def test_every_type_has_words() -> None:
    assert set(WORDS) == set(EVENTS)


def test_a_reason_of_many_lines_stays_on_one() -> None:
    line = summary(TrainingFailed(model_name=M, job_id="j", reason="first\nsecond " + "x" * 500))
    assert "\n" not in line
    assert len(line) <= 200
    assert line.endswith("…")


def test_without_a_type_the_streams_are_left_out() -> None:
    topics, names = topics_of([])
    assert not {"predictions", "ground-truth", "rollout-measures"} & set(topics)
    assert {"rollouts", "approvals"} <= set(topics)
    assert DEAD_LETTERS in topics
    assert "Promoted" in names


@pytest.mark.parametrize("name", ["PredictionMade", "predictionmade", "gauntlet.PredictionMade.v1"])
def test_a_type_may_be_named_either_way(name: str) -> None:
    assert topics_of([name]) == (["predictions"], {"PredictionMade"})


def test_an_unknown_type_is_named_with_the_nearest_one() -> None:
    with pytest.raises(CliError, match=r"'promotd'; did you mean Promoted\?"):
        topics_of(["promotd"])
