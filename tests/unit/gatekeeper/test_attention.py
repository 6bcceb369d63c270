"""What of a model needs somebody: the table of cases, and the order of the first page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contracts import Result
from gatekeeper.policy.attention import (
    LOADING,
    RECENT,
    SOON,
    TRAINING,
    Approval,
    Drift,
    EndedRollout,
    FailedJob,
    FailedTraining,
    Item,
    Kind,
    Loaded,
    Passed,
    Quarantined,
    Severity,
    Standing,
    needs,
    ranked,
)

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
HOUR, DAY, SECOND = timedelta(hours=1), timedelta(days=1), timedelta(seconds=1)
QUIET = Standing("m", champion_version=3, epoch=2, champion_since=NOW - DAY)
HAS_IT = Loaded("a", production=True, epoch=2, loaded_at=NOW - DAY)
LACKS_IT = Loaded("b", production=True, epoch=1, loaded_at=NOW - 3 * DAY)
COULD_NOT = replace(LACKS_IT, failed_version=3, failed_at=NOW - HOUR, failure="no space left")
WAITS = Approval("r", 4, NOW - HOUR, NOW + DAY, people=2, given=1)
ABORTED = EndedRollout("r", 4, Result.ABORTED, NOW - HOUR, "it failed on 31 of 400 rows")
FAILED = FailedTraining("j", NOW - HOUR, "ValueError: no rows", "2026-10")
DRIFTED = Drift(NOW - HOUR, 3, "data", "8 of 20 columns have drifted")
OUT = Quarantined(4, NOW - HOUR, "it was aborted")
JOB = FailedJob("g", "gate", NOW - HOUR, "no such version")


@pytest.mark.parametrize(
    ("model", "kind", "severity"),
    [
        (QUIET, None, None),
        (replace(QUIET, replicas=(HAS_IT,)), None, None),
        (replace(QUIET, replicas=(HAS_IT, LACKS_IT)), Kind.LAGGING, Severity.NOW),
        (replace(QUIET, replicas=(LACKS_IT,), champion_since=NOW - LOADING + SECOND), None, None),
        (replace(QUIET, replicas=(COULD_NOT,), champion_since=NOW - SECOND), Kind.LOAD_FAILED, Severity.NOW),
        (replace(QUIET, replicas=(replace(COULD_NOT, failed_version=2),)), Kind.LAGGING, Severity.NOW),
        (replace(QUIET, replicas=(replace(LACKS_IT, production=False),)), None, None),
        (replace(QUIET, champion_version=None, champion_since=None, epoch=0, replicas=(LACKS_IT,)), None, None),
        (replace(QUIET, approval=WAITS), Kind.APPROVAL, Severity.DECIDE),
        (replace(QUIET, approval=replace(WAITS, expires_at=NOW + SOON - SECOND)), Kind.APPROVAL, Severity.NOW),
        (replace(QUIET, ended=ABORTED), Kind.ROLLOUT, Severity.LOOK),
        (replace(QUIET, ended=replace(ABORTED, result=Result.EXPIRED)), Kind.ROLLOUT, Severity.LOOK),
        (replace(QUIET, ended=replace(ABORTED, result=Result.REFUSED)), Kind.ROLLOUT, Severity.LOOK),
        (replace(QUIET, ended=replace(ABORTED, result=Result.KEPT)), None, None),
        (replace(QUIET, ended=replace(ABORTED, ended_at=NOW - RECENT - SECOND)), None, None),
        (replace(QUIET, ended=ABORTED, champion_since=NOW), None, None),
        (
            replace(QUIET, ended=replace(ABORTED, result=Result.ROLLED_BACK), champion_since=NOW),
            Kind.ROLLOUT,
            Severity.LOOK,
        ),
        (replace(QUIET, training=FAILED), Kind.TRAINING, Severity.LOOK),
        (replace(QUIET, training=FAILED, registered_at=NOW - 2 * HOUR), Kind.TRAINING, Severity.LOOK),
        (replace(QUIET, training=FAILED, registered_at=NOW), None, None),
        (replace(QUIET, training=replace(FAILED, at=NOW - RECENT - SECOND)), None, None),
        (replace(QUIET, drift=DRIFTED), Kind.DRIFT, Severity.LOOK),
        (replace(QUIET, drift=replace(DRIFTED, harm="benign")), None, None),
        (replace(QUIET, drift=replace(DRIFTED, model_version=2)), None, None),
        (replace(QUIET, drift=DRIFTED, registered_at=NOW), None, None),
        (replace(QUIET, drift=replace(DRIFTED, at=NOW - 2 * HOUR), training=FAILED), Kind.TRAINING, Severity.LOOK),
        (replace(QUIET, drift=replace(DRIFTED, trains=True)), None, None),
        (replace(QUIET, drift=replace(DRIFTED, trains=True, at=NOW - TRAINING)), Kind.DRIFT, Severity.LOOK),
        (replace(QUIET, drift=replace(DRIFTED, at=NOW - RECENT - SECOND)), None, None),
        (replace(QUIET, passed=Passed(4, NOW)), None, None),
        (replace(QUIET, passed=Passed(4, NOW), frozen=True), Kind.HELD, Severity.DECIDE),
        (replace(QUIET, passed=Passed(4, NOW), frozen=True, rollout_of=4), None, None),
        (replace(QUIET, quarantined=OUT), Kind.HELD, Severity.LOOK),
        (replace(QUIET, quarantined=replace(OUT, model_version=2)), None, None),
        (replace(QUIET, quarantined=replace(OUT, since=NOW - RECENT - SECOND)), None, None),
        (replace(QUIET, quarantined=OUT, ended=ABORTED), Kind.ROLLOUT, Severity.LOOK),
        (replace(QUIET, jobs=(JOB,)), Kind.JOB, Severity.LOOK),
        (replace(QUIET, jobs=(replace(JOB, at=NOW - RECENT - SECOND),)), None, None),
    ],
)
def test_what_needs_somebody(model: Standing, kind: Kind | None, severity: Severity | None) -> None:
    found = [(item.kind, item.severity) for item in needs(model, NOW)]
    assert found == ([] if kind is None else [(kind, severity)])


def test_an_item_says_what_happened_with_its_figures() -> None:
    model = replace(QUIET, replicas=(HAS_IT, COULD_NOT), approval=WAITS, ended=ABORTED, training=FAILED, jobs=(JOB,))
    assert [item.reason for item in needs(model, NOW)] == [
        "1 of 2 production replicas do not have v3 (epoch 2); b could not load it: no space left",
        "v4 has proved itself and waits for 1 of 2 people",
        "the rollout of v4 was aborted: it failed on 31 of 400 rows",
        "the training on 2026-10 failed: ValueError: no rows",
        "the job gate failed: no such version",
    ]


def test_what_is_urgent_and_then_what_expires_comes_first() -> None:
    def item(name: str, severity: Severity, at: datetime = NOW, expires_at: datetime | None = None) -> Item:
        return Item(Kind.ROLLOUT, severity, name, 1, at, "because", expires_at=expires_at)

    order = [
        item("expires now", Severity.NOW, expires_at=NOW + HOUR),
        item("lags", Severity.NOW),
        item("expires tomorrow", Severity.DECIDE, NOW - DAY, NOW + DAY),
        item("expires later", Severity.DECIDE, expires_at=NOW + 2 * DAY),
        item("held", Severity.DECIDE),
        item("newer", Severity.LOOK),
        item("a older", Severity.LOOK, NOW - HOUR),
        item("b older", Severity.LOOK, NOW - HOUR),
    ]
    assert list(ranked(reversed(order))) == order
