"""In which order files of tests are run: a long one that begins last has one worker work while the others wait."""

from __future__ import annotations

from pathlib import PurePath

SECONDS: dict[str, int] = {
    "integration/gatekeeper/test_faults.py": 94,
    "integration/test_delivery.py": 88,
    "integration/gatekeeper/test_verdicts.py": 81,
    "integration/gatekeeper/test_tournaments.py": 81,
    "integration/gatekeeper/test_decisions.py": 64,
    "integration/drift/test_faults.py": 62,
    "integration/test_trainer_faults.py": 54,
    "integration/test_embedded_kafka.py": 49,
    "integration/test_tutorial.py": 41,
    "integration/serving/test_start.py": 35,
    "integration/drift/test_service.py": 35,
    "integration/gatekeeper/test_restore.py": 33,
    "integration/serving/test_workers.py": 31,
    "integration/test_cli_bus.py": 30,
    "integration/gatekeeper/test_evidence_api.py": 29,
    "integration/serving/test_openapi_fuzz.py": 29,
    "integration/gatekeeper/test_drift_tournaments.py": 29,
    "integration/serving/test_invocations.py": 28,
    "unit/gatekeeper/test_corpus.py": 25,
    "integration/test_stack.py": 25,
    "integration/serving/test_mlserver_types.py": 23,
    "integration/test_trainer_story.py": 20,
    "integration/test_ended_early.py": 19,
    "integration/test_fork_server.py": 18,
    "unit/gatekeeper/test_sandbox.py": 18,
    "integration/test_services_as_programs.py": 17,
    "unit/gatekeeper/test_many_tests.py": 17,
    "integration/serving/test_predictions.py": 17,
    "integration/drift/test_intake.py": 15,
    "unit/gatekeeper/test_gate_simulation.py": 15,
    "integration/test_cli_lifecycle.py": 15,
    "integration/test_takeover.py": 14,
    "integration/test_cli_verdicts.py": 14,
    "integration/serving/test_feedback.py": 14,
    "integration/serving/test_many_models.py": 13,
    "unit/trainer/test_history.py": 13,
    "integration/test_stack_ends.py": 12,
    "integration/test_cli_backtest.py": 12,
    "unit/serving/test_memory.py": 11,
    "integration/test_topics.py": 11,
    "integration/serving/test_inference_protocol.py": 9,
    "integration/serving/test_feature_source.py": 9,
    "integration/drift/test_housekeeping.py": 9,
    "unit/test_imports.py": 8,
    "unit/examples/test_flights.py": 8,
}
"""How long the longest files take, in `make test` on two cores. Only the order matters."""


def longest_first(path: PurePath) -> tuple[int, str, int]:
    """A key to sort files by, `path` below `tests/`: folders by their seconds, and files of one folder by theirs."""
    return -_seconds_in(path.parent), str(path.parent), -SECONDS.get(path.as_posix(), 0)


def _seconds_in(folder: PurePath) -> int:
    return sum(seconds for path, seconds in SECONDS.items() if PurePath(path).parent == folder)
