"""Lineage, functional and latency: tables of facts and the verdicts that follow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from contracts import Outcome
from contracts.gate_settings import Functional, Latency, Lineage
from gatekeeper.policy.gates import functional, latency, lineage
from gatekeeper.policy.measurement_error import ErrorSource, MeasurementError
from gatekeeper.policy.noise import Noise
from gatekeeper.policy.statistics.estimates import Predictions

PASSED, FAILED, INCONCLUSIVE = Outcome.PASSED, Outcome.FAILED, Outcome.INCONCLUSIVE

KNOWN = lineage.Facts(
    version_found=True,
    run_id="r1",
    run_found=True,
    training_digest="sha256:aa",
    code_version="c1",
    has_signature=True,
    artifact_declared="sha256:bb",
    artifact_measured="sha256:bb",
    evaluation_declared="sha256:cc",
    evaluation_measured="sha256:cc",
)


STRICT = Lineage(require=("run", "signature", "data", "code"))
TRACKED = replace(KNOWN, training_digest=None, code_version=None, origin=lineage.Origin(source="train.py"))
"""What MLflow has of a plain `log_model` in a run."""


def test_complete_lineage_passes():
    for settings in (Lineage(), STRICT):
        verdict = lineage.decide(KNOWN, settings)
        assert verdict.outcome is PASSED
        assert verdict.reason == "run, training data, code version and signature are known, and all digests agree"


@pytest.mark.parametrize(
    ("change", "says", "by_default"),
    [
        ({"version_found": False}, "version is not in MLflow", FAILED),
        ({"run_id": None}, "names no run", FAILED),
        ({"run_found": False}, "run r1 is not in MLflow", FAILED),
        (
            {"run_found": False, "origin": lineage.Origin(run_deleted=True)},
            "run r1 is deleted in MLflow (mlflow runs restore --run-id r1)",
            FAILED,
        ),
        ({"training_digest": None}, "training data is unknown", PASSED),
        ({"code_version": None}, "code version is unknown", PASSED),
        ({"has_signature": False}, "no signature", FAILED),
        ({"artifact_measured": "sha256:xx"}, "artifact has digest sha256:xx, but sha256:bb was registered", FAILED),
        ({"evaluation_measured": "sha256:xx"}, "evaluation dataset has digest sha256:xx", FAILED),
        ({"evaluation_problem": "it is gone"}, "it is gone", FAILED),
        ({"artifact_problem": "no MLmodel file"}, "no MLmodel file", FAILED),
    ],
)
def test_a_gap_in_the_lineage_fails_and_is_named(change, says, by_default):
    verdict = lineage.decide(replace(KNOWN, **change), STRICT)
    assert verdict.outcome is FAILED
    assert says in verdict.reason
    verdict = lineage.decide(replace(KNOWN, **change), Lineage())
    assert verdict.outcome is by_default
    assert says in verdict.reason, "what is missing is shown either way"


def test_every_gap_is_named_at_once():
    verdict = lineage.decide(replace(KNOWN, code_version=None, training_digest=None), STRICT)
    assert "code version" in verdict.reason and "training data" in verdict.reason


def test_a_plain_model_of_a_tracked_run_passes_and_what_would_complete_it_is_shown():
    verdict = lineage.decide(TRACKED, Lineage())
    assert verdict.outcome is PASSED and verdict.details["missing"] == ["code", "data"]
    assert "run and signature are known, and all digests agree; not required: the digest of the" in verdict.reason
    assert 'mlflow.log_input(…, context="training")' in verdict.reason and "it names train.py" in verdict.reason
    assert lineage.decide(TRACKED, STRICT).outcome is FAILED
    nothing = replace(TRACKED, run_id=None, run_found=False, has_signature=False)
    verdict = lineage.decide(nothing, Lineage(require=()))
    assert verdict.outcome is PASSED and verdict.reason.startswith("nothing of its origin is known")


def test_a_claimed_commit_is_marked():
    verdict = lineage.decide(replace(KNOWN, origin=lineage.Origin(code_claimed=True)), STRICT)
    assert verdict.outcome is PASSED and verdict.details["code_claimed"] is True
    assert "the code version 'c1' is claimed, not recorded" in verdict.reason


def test_a_digest_that_nobody_declared_is_no_gap():
    assert lineage.decide(replace(KNOWN, artifact_declared=None, evaluation_declared=None), Lineage()).outcome is PASSED


def scores(*values):
    found = np.array(values, dtype=float)
    return Predictions(labels=(found.reshape(len(found), -1)[:, -1] >= 0.5).astype(int), scores=found)


@pytest.mark.parametrize(
    ("problem", "first", "second", "outcome", "says"),
    [
        ("binary", scores(0.1, 0.9), scores(0.1, 0.9), PASSED, "twice alike"),
        ("binary", scores(0.1, 0.9), scores(0.1, 0.8), FAILED, "differently"),
        ("binary", scores(0.1, np.nan), scores(0.1, np.nan), FAILED, "NaN"),
        ("binary", scores(0.1, np.inf), scores(0.1, np.inf), FAILED, "NaN or infinity"),
        ("binary", scores(0.1, 1.2), scores(0.1, 1.2), FAILED, "no probabilities"),
        ("binary", scores(-0.1, 0.2), scores(-0.1, 0.2), FAILED, "no probabilities"),
        ("binary", scores(0.1), scores(0.1), FAILED, "asked 2 rows"),
        ("binary", Predictions(np.array([0, 1])), Predictions(np.array([0, 1])), PASSED, ""),
        ("binary", Predictions(np.array([0, 1])), scores(0.1, 0.9), FAILED, "differently"),
        ("multiclass", scores([0.2, 0.3, 0.5], [1, 0, 0]), scores([0.2, 0.3, 0.5], [1, 0, 0]), PASSED, ""),
        ("multiclass", scores([0.2, 0.3, 0.9], [1, 0, 0]), scores([0.2, 0.3, 0.9], [1, 0, 0]), FAILED, "add up"),
        ("regression", Predictions(np.array([1e9, -3.0])), Predictions(np.array([1e9, -3.0])), PASSED, ""),
        ("regression", Predictions(np.array([1.0, np.nan])), Predictions(np.array([1.0, np.nan])), FAILED, "NaN"),
        ("binary", None, None, INCONCLUSIVE, "neither"),
    ],
)
def test_answers_to_the_input_example(problem, first, second, outcome, says):
    verdict = functional.decide(functional.Facts(problem, rows=2, first=first, second=second), Functional())
    assert verdict.outcome is outcome
    assert says in verdict.reason


@pytest.mark.parametrize(
    ("problem", "alone", "together", "says"),
    [
        ("binary", scores(0.1, 0.9), scores(0.1, 0.9), None),
        ("binary", scores(0.1, 0.9), scores(0.1, 0.90000001), None),
        (
            "binary",
            scores(0.1, 0.9),
            scores(0.1, 0.8),
            "1 of 2 rows are answered otherwise alone than in the b",
        ),
        ("binary", scores(0.5, 0.1), scores(0.5 - 1e-9, 0.1), None),
        ("binary", scores(0.3, 0.1), scores(0.2, 0.4), "(the first: 0.3 alone, 0.2 together, within 1e-05)"),
        ("multiclass", scores([0.2, 0.8], [1, 0]), scores([0.2, 0.8], [0, 1]), "[1, 0] alone, [0, 1] together"),
        ("multiclass", Predictions(np.array([2, 0])), Predictions(np.array([2, 1])), "0 alone, 1 together)"),
        ("regression", Predictions(np.array([1e6, 2.0])), Predictions(np.array([1e6 + 1, 2.0])), None),
        ("regression", Predictions(np.array([3.0, 2.0])), Predictions(np.array([3.1, 2.0])), "3 alone, 3.1 together"),
    ],
)
def test_a_row_is_answered_alone_as_among_others(problem, alone, together, says):
    facts = functional.Facts(problem, None, 2, "input example", alone, alone, {}, alone, together, 9)
    verdict = functional.decide(facts, Functional())
    assert verdict.outcome is (PASSED if says is None else FAILED)
    assert (says or "2 rows alone as together") in verdict.reason


@pytest.mark.parametrize(
    ("measurement_error", "outcome"),
    [
        (MeasurementError(ErrorSource.CANDIDATE, "it hung"), FAILED),
        (MeasurementError(ErrorSource.GATEKEEPER, "no disk space"), INCONCLUSIVE),
        (MeasurementError(ErrorSource.EARLIER, "it did not load"), INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize(("gate", "settings"), [(functional, Functional()), (latency, Latency())])
def test_trouble_fails_a_candidate_only_for_its_own_fault(gate, settings, measurement_error, outcome):
    facts = functional.Facts("binary", measurement_error) if gate is functional else latency.Facts(measurement_error)
    assert gate.decide(facts, settings).outcome is outcome


def timed(*, ms=5.0, calls=100, load=1.0, slow=0):
    return latency.Facts(seconds=(ms / 1000,) * (calls - slow) + (1.0,) * slow, load_seconds=load)


@pytest.mark.parametrize(
    ("facts", "outcome", "says"),
    [
        (timed(), PASSED, "5.00 ms"),
        (timed(ms=21), FAILED, "21.00 ms"),
        (timed(slow=4), PASSED, ""),  # four of a hundred are above the 95th percentile
        (timed(slow=6), FAILED, ""),
        (timed(load=31), FAILED, "loading took 31.00 s"),
        (timed(calls=5), INCONCLUSIVE, "only 5"),
        (timed(calls=5, ms=500), FAILED, "500.00 ms"),
        (latency.Facts(), INCONCLUSIVE, "no prediction was timed"),
        (latency.Facts(seconds=(0.01,)), INCONCLUSIVE, "no prediction was timed"),
        (latency.Facts(seconds=(float("nan"),) * 50, load_seconds=1.0), INCONCLUSIVE, "not finite"),
    ],
)
def test_latency(facts, outcome, says):
    verdict = latency.decide(facts, Latency(p95_ms=20, load_seconds=30))
    assert verdict.outcome is outcome
    assert says in verdict.reason


def batched(*, ms=8.0, calls=40, slow=0, rows=100, champion_ms=8.0, champion_calls=40, **others):
    seconds = (ms / 1000,) * (calls - slow) + (1.0,) * slow
    champion = (champion_ms / 1000,) * champion_calls
    known = {"champion_version": 1, "champion_seconds": (0.005,) * 100, "champion_batch_seconds": champion}
    return replace(timed(), batch_rows=rows, batch_seconds=seconds, **{**known, **others})


UNKNOWN = replace(batched(), batch_rows=None, batch_seconds=None, champion_batch_seconds=())
"""What a version that timed no batches has left."""


@pytest.mark.parametrize(
    ("facts", "settings", "outcome", "says"),
    [
        (batched(), {}, PASSED, "p95 of 40 predictions of 100 rows is 8.00 ms; loaded"),
        (batched(ms=900), {}, PASSED, "900.00 ms; loaded"),  # measured, not bounded
        (batched(calls=3), {}, PASSED, "p95 of 3 predictions of 100 rows"),
        (batched(), {"batch_p95_ms": 10}, PASSED, "is 8.00 ms, 10 ms are allowed"),
        (batched(ms=10.5), {"batch_p95_ms": 10}, FAILED, "p95 of 40 predictions of 100 rows is 10.50 ms, 10 ms"),
        (batched(slow=1), {"batch_p95_ms": 10}, PASSED, ""),  # one of forty is above the 95th percentile
        (batched(slow=3), {"batch_p95_ms": 10}, FAILED, ""),
        (batched(calls=5), {"batch_p95_ms": 10}, INCONCLUSIVE, "only 5 predictions of 100 rows were timed"),
        (batched(calls=5, ms=50), {"batch_p95_ms": 10}, FAILED, "50.00 ms"),
        (batched(calls=0), {"batch_p95_ms": 10}, INCONCLUSIVE, "no batch was timed"),
        (batched(calls=0), {}, PASSED, "one-row"),
        (batched(rows=50), {"batch_p95_ms": 10}, INCONCLUSIVE, "batches of 50 rows were timed, 100 are asked"),
        (batched(rows=50), {}, PASSED, "predictions of 50 rows"),
        (batched(ms=float("nan")), {"batch_p95_ms": 10}, INCONCLUSIVE, "not finite"),
        (batched(), {"times_champion": 1.5}, PASSED, "is 8.00 ms, champion v1 takes 8.00 ms"),
        (batched(ms=13), {"times_champion": 1.5}, FAILED, "13.00 ms, champion v1 takes 8.00 ms: more than 1.5 times"),
        (batched(champion_calls=0), {"times_champion": 1.5}, INCONCLUSIVE, "was not timed beside it (predictions of"),
        (batched(calls=9), {"times_champion": 1.5}, INCONCLUSIVE, "only 9 predictions of 100 rows"),
        (batched(champion_version=None), {"times_champion": 1.5}, PASSED, ""),
        (batched(ms=50, champion_seconds=(0.005,) * 5), {"batch_p95_ms": 10, "times_champion": 2}, FAILED, "50.00 ms"),
        (UNKNOWN, {}, PASSED, "p95 of 100 one-row predictions is 5.00 ms, 20 ms are allowed; loaded in 1.00 s"),
        (UNKNOWN, {"times_champion": 1.5}, PASSED, "champion v1 takes 5.00 ms; loaded"),
        (UNKNOWN, {"batch_p95_ms": 10}, INCONCLUSIVE, "no batch was timed"),
    ],
)
def test_latency_of_batches(facts, settings, outcome, says):
    verdict = latency.decide(facts, Latency(p95_ms=20, **settings))
    assert verdict.outcome is outcome, verdict.reason
    assert says in verdict.reason


def noise(*, cpu_ms=5.0, quiet_ms=5.0, took_ms=5.0, calls=100, share=1.0):
    """Of calls that need `cpu_ms`; the loop of `quiet_ms` takes `took_ms` in a `share` of the cases."""
    slow = int(calls * share)
    loop = (took_ms / 1000,) * slow + (quiet_ms / 1000,) * (calls - slow)
    return Noise((cpu_ms / 1000,) * calls, loop, (quiet_ms / 1000,) * calls)


MIXED = (0.015,) * 90 + (0.022,) * 10
HICCUPS = noise(cpu_ms=15, took_ms=8, share=0.04)
QUIET, BUSY = noise(), noise(took_ms=25, share=0.2)
QUIET_BATCHES, BUSY_BATCHES = noise(calls=40), noise(took_ms=25, share=0.2, calls=40)


@pytest.mark.parametrize(
    ("facts", "settings", "outcome", "says"),
    [
        (replace(timed(), noise=BUSY), {}, PASSED, "5.00 ms, 20 ms are allowed"),  # it only became slower by it
        (replace(timed(ms=21), noise=noise(cpu_ms=21)), {}, FAILED, "21.00 ms, 20 ms are allowed"),
        (
            replace(timed(ms=21), noise=BUSY),
            {},
            INCONCLUSIVE,
            "too busy to tell: a loop of 5.00 ms took 25.00 ms (p95), and was running for 56%",
        ),
        (replace(timed(), seconds=MIXED, noise=BUSY), {}, INCONCLUSIVE, "22.00 ms"),
        (replace(timed(ms=60), noise=BUSY), {}, FAILED, "60.00 ms"),  # every call waits, and the loop hardly does
        (replace(timed(ms=60), noise=noise(cpu_ms=31, took_ms=25)), {}, FAILED, ""),  # its CPU time alone is more
        (replace(timed(ms=60), noise=noise(cpu_ms=0.1, took_ms=25)), {}, FAILED, ""),  # it waits, not for a processor
        (replace(timed(), seconds=MIXED, noise=HICCUPS), {}, INCONCLUSIVE, "22.00 ms"),
        (replace(timed(), seconds=(*MIXED[:90], *(0.024,) * 10), noise=HICCUPS), {}, FAILED, "24.00 ms"),
        (
            replace(timed(), seconds=MIXED, noise=noise(cpu_ms=15), batch_noise=HICCUPS),
            {},
            INCONCLUSIVE,  # one that is seen between batches meets single rows too
            "",
        ),
        (replace(timed(), seconds=MIXED, noise=noise(cpu_ms=15)), {}, FAILED, "22.00 ms"),
        (replace(timed(load=31), noise=QUIET), {}, FAILED, "loading took 31.00 s"),
        (replace(timed(load=31), noise=noise(took_ms=10)), {}, INCONCLUSIVE, "30 s are allowed; the machine was"),
        (replace(timed(load=31), noise=noise(took_ms=10), load_cpu_seconds=30.5), {}, FAILED, "loading took"),
        (replace(timed(load=130), noise=noise(took_ms=10)), {}, FAILED, "loading took 130.00 s"),
        (
            replace(batched(ms=15), batch_noise=BUSY_BATCHES),
            {"batch_p95_ms": 10},
            INCONCLUSIVE,
            "15.00 ms, 10 ms are allowed; the machine",
        ),
        (replace(batched(ms=15), batch_noise=QUIET_BATCHES), {"batch_p95_ms": 10}, FAILED, ""),
        (replace(batched(ms=13), batch_noise=BUSY_BATCHES), {"times_champion": 1.5}, INCONCLUSIVE, "too busy"),
        (replace(batched(ms=13), batch_noise=QUIET_BATCHES), {"times_champion": 1.5}, FAILED, "more than 1.5 times"),
        # The champion was timed on a busy machine: that the challenger keeps up with it proves nothing.
        (
            replace(
                batched(ms=13),
                champion_batch_seconds=(0.005,) * 32 + (0.02,) * 8,
                batch_noise=QUIET_BATCHES,
                champion_batch_noise=BUSY_BATCHES,
            ),
            {"times_champion": 1.5},
            INCONCLUSIVE,
            "champion v1 takes 20.00 ms; the machine was too busy",
        ),
        (
            replace(batched(ms=13, champion_ms=20), batch_noise=QUIET_BATCHES, champion_batch_noise=QUIET_BATCHES),
            {"times_champion": 1.5},
            PASSED,
            "",
        ),
    ],
)
def test_a_busy_machine_fails_no_model(facts, settings, outcome, says):
    verdict = latency.decide(facts, Latency(p95_ms=20, **settings))
    assert verdict.outcome is outcome, verdict.reason
    assert says in verdict.reason
    assert latency.is_too_noisy(facts, Latency(p95_ms=20, **settings)) is (outcome is INCONCLUSIVE)


def test_cpu_time_is_shown_beside_the_time_on_the_clock():
    verdict = latency.decide(replace(timed(), noise=noise(cpu_ms=4)), Latency(p95_ms=20))
    assert verdict.details["cpu_p95_ms"] == pytest.approx(4) and verdict.details["too_busy"] is False
    (table,) = latency.section(verdict).tables
    assert ("one row, p95 of its CPU time, ms", pytest.approx(4), None) in table.rows
    assert "cpu_p95_ms" not in latency.decide(timed(), Latency(p95_ms=20)).details, "as in older verdicts"


def test_the_speed_of_batches_is_shown_with_what_it_is_held_against():
    (table,) = latency.section(latency.decide(batched(champion_ms=7), Latency(p95_ms=20, batch_p95_ms=10))).tables
    shown = {what: (measurements, allowed) for what, measurements, allowed in table.rows}
    assert shown["100 rows, p95, ms"] == (pytest.approx(8), 10)
    assert shown["100 rows, the champion's p95, ms"] == (pytest.approx(7), None)
    (older,) = latency.section(latency.decide(UNKNOWN, Latency(p95_ms=20))).tables
    assert not any("rows" in row[0] for row in older.rows)
