"""An event in one line, and the names by which types are asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from chassis.topics import DEAD_LETTERS
from contracts import (
    EVENTS,
    Cause,
    DriftDetected,
    DriftKind,
    DriftWindow,
    Event,
    GateFailed,
    GatePassed,
    GroundTruthReceived,
    ModelLoaded,
    ModelLoadFailed,
    ModelRegistered,
    Outcome,
    Output,
    PredictionMade,
    Promoted,
    TrainingFailed,
    TrainingRequested,
    Trigger,
)
from gauntlet.errors import CliError
from gauntlet.event_lines import WORDS, summary, topics_of

M = "flights"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
VERDICT = {"model_name": M, "model_version": 2, "candidate_id": "c", "artifact_uri": "u", "policy_digest": "d"}
LOAD = {"model_name": M, "model_version": 2, "replica": "r1", "role": "production", "seconds": 0.25}

CASES: list[tuple[Event, str]] = [
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
    assert "predictions" not in topics
    assert "ground-truth" not in topics
    assert DEAD_LETTERS in topics
    assert "Promoted" in names


@pytest.mark.parametrize("name", ["PredictionMade", "predictionmade", "gauntlet.PredictionMade.v1"])
def test_a_type_may_be_named_either_way(name: str) -> None:
    assert topics_of([name]) == (["predictions"], {"PredictionMade"})


def test_an_unknown_type_is_named_with_the_nearest_one() -> None:
    with pytest.raises(CliError, match=r"'promotd'; did you mean Promoted\?"):
        topics_of(["promotd"])
