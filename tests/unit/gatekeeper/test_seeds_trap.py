"""On the data that this project began with, the gate sees that the champion was judged on its own training rows."""

from __future__ import annotations

import pytest

from contracts import Outcome
from contracts.gate_settings import Leakage, Performance
from gatekeeper.policy.gates import leakage, performance
from support import seeds_trap

pytestmark = pytest.mark.skipif(
    not seeds_trap.ORIGINAL.is_dir(), reason="the StreamFlow data are not here (STREAMFLOW_DATA)"
)


@pytest.fixture(scope="module")
def measurements():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHURN_DATA_DIR", str(seeds_trap.ORIGINAL))
        yield seeds_trap.measurements()


def test_the_trap_is_found_and_both_comparisons_are_shown(measurements) -> None:
    verdict = leakage.decide(leakage.facts(measurements, seeds_trap.POLICY), Leakage())
    assert verdict.outcome is Outcome.PASSED, verdict.reason
    models = verdict.details["models"]
    assert models["champion v1"]["share"] == pytest.approx(0.74, abs=0.03)
    assert models["the candidate"]["trained_on"] == 0
    naive, clean = verdict.details["all_rows"], verdict.details["clean_rows"]
    assert naive["champion v1"] == pytest.approx(0.97, abs=0.015)
    assert naive["the candidate"] == pytest.approx(0.82, abs=0.02)
    assert clean["champion v1"] == pytest.approx(0.82, abs=0.04)
    assert clean["the candidate"] == pytest.approx(0.83, abs=0.04)
    assert abs(clean["champion v1"] - clean["the candidate"]) < 0.03


def test_the_challenger_is_compared_on_the_clean_rows_only(measurements) -> None:
    facts = performance.facts(measurements, seeds_trap.POLICY)
    assert facts.truth is not None and len(facts.truth) < 0.3 * len(measurements.golden.truth)
    fair = performance.decide(facts, Performance())
    trapped = performance.decide(
        performance.facts(measurements, seeds_trap.POLICY.model_copy(update={"gates": WITHOUT})), Performance()
    )
    assert trapped.outcome is Outcome.FAILED, "the usual script rejects every challenger for ever"
    assert fair.outcome is not Outcome.FAILED


WITHOUT = seeds_trap.POLICY.gates.model_copy(update={"leakage": False})
