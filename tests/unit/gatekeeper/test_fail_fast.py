"""`fail_fast`: which gates are judged, which are not run, and what the verdict says of it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from chassis.database import Database
from contracts import GateVerdict, ModelRegistered, Outcome, new_envelope, overall
from contracts.policy import ModelPolicy
from gatekeeper.database import queries
from gatekeeper.evaluation.gate_runner import ready, run_gates, summary
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.policy.fail_fast import first_failed, not_run, was_run
from gatekeeper.policy.needs import Need
from gatekeeper.tournaments.eligibility import retained

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE
SLOW = {"dependents": {}, "slices": {"columns": ["a"]}}


def verdicts(*outcomes: Outcome) -> list[GateVerdict]:
    return [GateVerdict(gate=f"gate {n}", outcome=outcome, reason="") for n, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("outcomes", "ends"),
    [
        ([], None),
        ([PASSED, PASSED], None),
        ([PASSED, INCONCLUSIVE], None),
        ([INCONCLUSIVE, FAILED, PASSED], "gate 1"),
        ([FAILED, FAILED], "gate 0"),
    ],
)
def test_the_first_failure_ends_the_run_and_nothing_else_does(outcomes: list[Outcome], ends: str | None) -> None:
    found = first_failed(verdicts(*outcomes))
    assert (found.gate if found else None) == ends


def test_a_gate_that_was_not_run_is_undecided_and_says_why() -> None:
    (failed,) = verdicts(FAILED)
    found = not_run("latency", failed)
    assert (found.gate, found.outcome) == ("latency", INCONCLUSIVE)
    assert "gate 0 failed" in found.reason and "fail_fast" in found.reason
    assert not was_run(found) and was_run(failed)
    assert overall([failed, found]) is FAILED


@pytest.mark.parametrize(
    ("gates", "known", "expected"),
    [
        ({}, (), ["lineage", "integrity"]),
        ({}, (Need.CANDIDATE,), ["lineage", "integrity", "functional"]),
        ({"functional": False}, (Need.CANDIDATE,), ["lineage", "integrity"]),  # leakage is next and needs the champion
        ({"leakage": False, "performance": False}, (Need.CANDIDATE,), ["lineage", "integrity", "functional"]),
        ({"lineage": False}, (), ["integrity"]),
        (
            SLOW,
            tuple(Need),
            ["lineage", "integrity", "functional", "leakage", "performance", "slices", "latency", "dependents"],
        ),
    ],
)
def test_as_far_as_is_known_the_gates_are_judged(gates: dict, known: tuple[Need, ...], expected: list[str]) -> None:
    policy = ModelPolicy.model_validate({"model": "m", "gates": gates})
    assert [gate.name for gate in ready(policy, frozenset(known))] == expected


@pytest.mark.parametrize("fast", [False, True])
def test_without_it_every_gate_is_judged(fast: bool) -> None:
    """A version that is not in MLflow fails lineage; nothing of it could be measured."""
    policy = ModelPolicy.model_validate({"model": "m", "gates": {"fail_fast": fast}})
    found = run_gates(Measurements(ModelRegistered(model_name="m", model_version=1), "binary"), policy)
    assert [verdict.gate for verdict in found][:2] == ["lineage", "integrity"]
    assert [was_run(verdict) for verdict in found] == [True] + [not fast] * (len(found) - 1)
    assert ("not run (fail_fast): integrity, functional, " in summary(overall(found), found)) is fast


def test_a_version_whose_speed_was_not_looked_at_may_play_in_a_tournament(tmp_path: Path) -> None:
    policy = ModelPolicy.model_validate({"model": "m"})
    slow = GateVerdict(gate="latency", outcome=FAILED, reason="")
    worse = GateVerdict(gate="performance", outcome=FAILED, reason="")
    database = Database(f"sqlite:///{tmp_path / 'test.db'}")
    database.migrate("gatekeeper")
    with database.transaction() as session:
        for version, found in ((2, (worse, not_run("latency", worse))), (3, (slow, not_run("dependents", slow)))):
            event = ModelRegistered(model_name="m", model_version=version, artifact_uri="u")
            row = queries.add_candidate(session, new_envelope(event, source="test"))
            assert row is not None
            row.state, row.artifact_digest, row.judged_at = "failed", "sha256:aa", datetime.now(UTC)
            queries.add_verdicts(session, row, found)
        session.flush()
        assert [kept.version.model_version for kept in retained(session, "m", policy, 1)] == [2]
