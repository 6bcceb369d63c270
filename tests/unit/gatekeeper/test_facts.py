"""From what a probe found to each gate's verdict: whose fault a failure is, and that gates fail closed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from chassis.mlmodel import MLmodel
from contracts import ModelRegistered, Outcome, overall
from contracts.policy import ModelPolicy
from gatekeeper.evaluation.gate_runner import run_gates, summary
from gatekeeper.evaluation.golden_rows import GoldenRows
from gatekeeper.evaluation.measurements import Champion, Measurements
from gatekeeper.policy.gates import integrity, latency
from gatekeeper.policy.gates.leakage import Overlap
from gatekeeper.policy.stage import Stage
from gatekeeper.policy.statistics.estimates import Predictions
from gatekeeper.sandbox.probe import Fault, Probe

POLICY = ModelPolicy(model="m")
EVENT = ModelRegistered(model_name="m", model_version=2, run_id="r", code_version="c")
TRUTH = (np.arange(2000) % 3 == 0).astype(np.int64)
SCORES = np.clip(0.3 + 0.4 * TRUTH + 0.2 * np.sin(np.arange(2000)), 0, 1)
ROWS = GoldenRows(pd.DataFrame({"a": SCORES}), TRUTH, (0, 1), "late", 2000, 0, frozenset())
GOOD = Probe(
    load_seconds=1.0,
    example_rows=3,
    first=SCORES[:3],
    second=SCORES[:3],
    golden=SCORES,
    seconds=(0.001,) * 50,
)
CHAMPION = Champion(1, 1, "runs:/r/old", "sha256:bb")


def measurements(**changes) -> Measurements:
    known = {
        "version_found": True,
        "run_found": True,
        "training_digest": "sha256:aa",
        "integrity": integrity.Facts(),
        "overlap": Overlap(),
        "champion_overlap": Overlap(),
        "artifact_digest": "sha256:cc",
        "description": MLmodel(has_signature=True, classes=(0, 1)),
        "evaluation_digest": "sha256:dd",
        "golden": ROWS,
        "probe": GOOD,
    }
    return Measurements(EVENT, "binary", **{**known, **changes})


def faulty(stage: Stage, what: str = "raised KeyError: 'x'") -> Probe:
    later = {
        "first": SCORES[:3] if stage.order > Stage.EXAMPLE.order else None,
        "second": SCORES[:3] if stage.order > Stage.EXAMPLE.order else None,
        "golden": SCORES if stage.order > Stage.GOLDEN.order else None,
    }
    return Probe(Fault(stage, what), load_seconds=1.0, example_rows=3, **later)


def outcomes(found: Measurements, champion: Champion | None = None, policy: ModelPolicy = POLICY) -> dict[str, str]:
    found.champion = champion
    return {verdict.gate: verdict.outcome.value[0] for verdict in run_gates(found, policy)}


@pytest.mark.parametrize(
    ("changes", "champion", "letters"),
    [
        ({}, None, "PPPPPP"),
        ({"champion_answers": Predictions((SCORES > 0.5).astype(int), SCORES)}, CHAMPION, "PPPPPP"),
        ({"champion_problem": "it is gone"}, CHAMPION, "PPPIIP"),
        ({}, CHAMPION, "PPPPIP"),  # the champion was not asked
        ({"golden": None, "golden_problem": "no rows"}, None, "PPPIIP"),
        ({"probe": faulty(Stage.LOADING)}, None, "PPFIII"),
        ({"probe": faulty(Stage.EXAMPLE)}, None, "PPFIII"),
        ({"probe": faulty(Stage.GOLDEN)}, None, "PPPIFI"),
        ({"probe": faulty(Stage.TIMING)}, None, "PPPPPF"),
        ({"probe": faulty(Stage.STARTING)}, None, "PPIIII"),  # our own sandbox
        ({"probe": None, "integrity": None, "artifact_problem": "no MLmodel file"}, None, "FIIIII"),
        ({"evaluation_problem": "gone", "golden": None, "golden_problem": "gone"}, None, "FPPIIP"),
    ],
)
def test_each_gate_fails_for_its_own_reason_only(changes, champion, letters):
    """P, F, I: lineage, integrity, functional, leakage, performance, latency."""
    assert "".join(outcomes(measurements(**changes), champion).values()) == letters


def test_a_gate_that_breaks_is_inconclusive(monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(latency, "decide", broken)
    *_, last = run_gates(measurements(), POLICY)
    assert (last.outcome, last.gate) == (Outcome.INCONCLUSIVE, "latency")
    assert "the gate itself failed: ZeroDivisionError: ours" in last.reason


def test_a_gate_that_the_policy_leaves_out_does_not_run():
    policy = ModelPolicy.model_validate(
        {"model": "m", "gates": {"latency": False, "performance": False, "leakage": False}}
    )
    assert list(outcomes(measurements(), policy=policy)) == ["lineage", "integrity", "functional"]


def test_a_policy_without_gates_passes_nothing():
    policy = ModelPolicy.model_validate(
        {
            "model": "m",
            "gates": dict.fromkeys(("lineage", "integrity", "functional", "leakage", "performance", "latency"), False),
        }
    )
    verdicts = run_gates(measurements(), policy)
    assert overall(verdicts) is Outcome.INCONCLUSIVE
    assert "no gate" in summary(Outcome.INCONCLUSIVE, verdicts)


def test_the_summary_names_what_stood_in_the_way():
    verdicts = run_gates(measurements(probe=faulty(Stage.GOLDEN)), POLICY)
    said = summary(Outcome.FAILED, verdicts)
    assert said == "performance: the model raised KeyError: 'x' while answering the golden rows"
