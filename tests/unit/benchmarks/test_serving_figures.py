from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.serving import protocols
from benchmarks.serving.environments import PEERS
from benchmarks.serving.table import Load, table, targets
from benchmarks.serving.targets import COMPILABLE_TARGETS, ECHO, MLFLOW, OURS, PYFUNC_TARGETS
from benchmarks.serving.wrk import Measured, parse, typical

ROOT = Path(__file__).parents[3]
SHARED = {"scikit-learn", "numpy", "scipy", "pandas", "joblib", "cloudpickle", "mlflow"}

OUTPUT = """\
Running 2s test @ http://127.0.0.1:1/predict
  1 threads and 16 connections
RESULT {"requests":1010,"microseconds":2000000,"p50":1500,"p99":30250,"status":10,"socket":2,"timeout":1}
"""


def test_good_answers_a_second_leave_out_those_with_an_error_status() -> None:
    assert parse(OUTPUT) == Measured(rate=500, p50=1.5, p99=30.25, failed=13)


@pytest.mark.parametrize("output", ["Running 2s test\n", OUTPUT.replace('"requests":1010', '"requests":0')])
def test_output_without_a_result_is_an_error_and_not_a_figure(output: str) -> None:
    with pytest.raises(RuntimeError):
        parse(output)


def test_rounds_become_the_median_of_each_figure_and_all_failures() -> None:
    rounds = [Measured(10, 1, 9, 1), Measured(30, 2, 7, 0), Measured(20, 3, 8, 2)]
    assert typical(rounds) == Measured(20, 2, 8, 3)


ONE, MANY = Load(1, 64), Load(100, 16)
RESULTS = {
    (OURS, ONE): Measured(7000, 5, 20, 0),
    (OURS, MANY): Measured(900.4, 5, 120, 3),
    (MLFLOW, ONE): Measured(64, 900, 1000, 0),
    ("LitServe", ONE): Measured(1580, 30, 40, 0),
    ("MLServer", ONE): Measured(450, 90, 500, 0),
    ("BentoML", ONE): Measured(400, 90, 500, 0),
    ("FastAPI, idiomatic", ONE): Measured(197, 300, 700, 0),
    (ECHO, ONE): Measured(14000, 3, 6, 0),
}


def test_a_table_has_a_line_a_server_and_dashes_where_nothing_was_measured() -> None:
    lines = list(table(RESULTS, [ONE, MANY]))
    assert lines[2] == f"| {OURS} | 7,000 | 5.00 | 20.0 | 900 | 5.00 | 120 | 3 |"
    assert lines[3] == f"| {MLFLOW} | 64.0 | 900 | 1000 | – | – | – | 0 |"
    assert len({line.count("|") for line in lines}) == 1


def test_targets_say_reached_or_by_what_factor_missed() -> None:
    said = {line.split(" | ")[0]: line for line in targets(RESULTS, ONE, COMPILABLE_TARGETS)}
    assert said["| req/s, ours ÷ mlflow models serve"].endswith("| ≥ 100 | 109 | reached |")
    assert said["| req/s, ours ÷ the best peer"].endswith("| ≥ 5 | 4.43 | missed by a factor of 1.13 |")
    assert said["| req/s, ours ÷ FastAPI echo"].endswith("| ≥ 0.6 | 0.5 | missed by a factor of 1.2 |")
    assert said["| p99, ours ÷ the lowest of a peer"].endswith("| ≤ 1 | 0.5 | reached |")
    assert said["| req/s with PredictionMade ÷ without"].endswith("| – | not measured |")


def test_the_best_peer_is_not_named_when_one_was_left_out() -> None:
    without = {key: measured for key, measured in RESULTS.items() if key[0] != "BentoML"}
    said = [line for line in targets(without, ONE, COMPILABLE_TARGETS) if "peer" in line]
    assert len(said) == 2
    assert all(line.endswith("| – | not measured |") for line in said)


def test_a_p99_above_that_of_the_best_peer_is_missed() -> None:
    slower = RESULTS | {(OURS, ONE): Measured(7000, 5, 60, 0)}
    assert any("| ≤ 1 | 1.5 | missed by a factor of 1.5 |" in line for line in targets(slower, ONE, COMPILABLE_TARGETS))


def test_the_plain_pyfunc_is_compared_with_mlflow_alone() -> None:
    lines = list(targets(RESULTS, ONE, PYFUNC_TARGETS))
    assert lines[2:] == ["| req/s, ours ÷ mlflow models serve, plain pyfunc | ≥ 3 | 109 | reached |"]


def test_a_v2_request_has_a_tensor_a_column_with_a_value_a_row() -> None:
    body = protocols.V2.body([{"a": 1.0, "c": "x"}, {"a": 2.0, "c": "y"}])
    assert [(each["name"], each["datatype"], each["shape"], each["data"]) for each in body["inputs"]] == [
        ("a", "FP64", [2, 1], [1.0, 2.0]),
        ("c", "BYTES", [2, 1], ["x", "y"]),
    ]


@pytest.mark.parametrize("peer", sorted(path.parent.name for path in PEERS.glob("*/requirements.txt")))
def test_a_peer_unpickles_the_model_with_the_versions_that_made_it(peer: str) -> None:
    """Those of requirements.lock; where it has several by Python's version, one of them."""
    locked = {line.split()[0] for line in (ROOT / "requirements.lock").read_text().splitlines() if "==" in line}
    pinned = (PEERS / peer / "requirements.txt").read_text().splitlines()
    shared = {line.split()[0] for line in pinned if line.split("==")[0] in SHARED}
    assert shared <= locked
    assert peer == "echo" or len(shared) >= len(SHARED) - 1
