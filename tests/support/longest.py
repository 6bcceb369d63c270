"""In which order files of tests are run: a long one that begins last has one worker work while the others wait."""

from __future__ import annotations

from pathlib import PurePath

SECONDS: dict[str, int] = {
    "integration/gatekeeper/test_registered_again.py": 139,
    "integration/test_models_elsewhere.py": 100,
    "integration/gatekeeper/test_verdicts.py": 99,
    "integration/test_delivery.py": 92,
    "integration/gatekeeper/test_faults.py": 91,
    "integration/gatekeeper/test_decisions.py": 78,
    "integration/gatekeeper/test_tournaments.py": 70,
    "integration/serving/test_trials.py": 65,
    "integration/drift/test_faults.py": 62,
    "integration/drift/test_service.py": 61,
    "integration/drift/test_rollout_faults.py": 60,
    "integration/test_trainer_faults.py": 55,
    "integration/gatekeeper/test_restore.py": 53,
    "integration/drift/test_rollouts.py": 50,
    "integration/test_policies_live.py": 43,
    "integration/serving/test_start.py": 43,
    "integration/serving/test_isolated_trials.py": 43,
    "integration/test_embedded_kafka.py": 42,
    "integration/test_tutorial.py": 41,
    "integration/serving/test_workers.py": 37,
    "unit/serving/test_isolated_trials.py": 36,
    "integration/serving/test_trial_swaps.py": 35,
    "integration/gatekeeper/test_evidence_api.py": 34,
    "integration/test_cli_bus.py": 29,
    "unit/gatekeeper/test_corpus.py": 27,
    "integration/test_stack.py": 23,
    "integration/gatekeeper/test_drift_tournaments.py": 23,
    "integration/test_trainer_story.py": 21,
    "integration/test_ended_early.py": 20,
    "integration/test_cli_verdicts.py": 19,
    "integration/test_takeover.py": 19,
    "unit/gatekeeper/test_sandbox.py": 18,
    "integration/test_fork_server.py": 18,
    "integration/drift/test_intake.py": 17,
    "integration/serving/test_own_code.py": 15,
    "integration/gatekeeper/test_golden_sources.py": 14,
    "integration/test_hung_part.py": 14,
    "integration/test_stack_ends.py": 14,
    "unit/gatekeeper/test_gate_simulation.py": 14,
    "integration/serving/test_predictions.py": 13,
    "unit/gatekeeper/test_judged_as_served.py": 13,
    "integration/test_cli_lifecycle.py": 13,
    "unit/serving/test_hosted_model.py": 13,
    "integration/serving/test_feedback.py": 12,
    "integration/test_topics.py": 12,
    "unit/gauntlet/test_supervisor.py": 12,
    "integration/test_services_as_programs.py": 12,
    "unit/serving/test_memory.py": 12,
    "integration/serving/test_openapi_fuzz.py": 11,
    "unit/gatekeeper/test_waiting_versions.py": 11,
    "integration/serving/test_invocations.py": 10,
    "unit/gatekeeper/test_evaluator.py": 10,
    "integration/test_try.py": 10,
    "integration/drift/test_housekeeping.py": 9,
    "unit/gatekeeper/test_evidence.py": 9,
    "integration/serving/test_returned_types.py": 9,
    "unit/drift/test_report.py": 8,
    "integration/serving/test_mlserver_types.py": 8,
    "integration/test_sasl.py": 8,
}
"""How long the longest files take, in `make test` on two cores. Only the order matters."""


def longest_first(path: PurePath) -> tuple[int, str, int]:
    """A key to sort files by, `path` below `tests/`: folders by their seconds, and files of one folder by theirs."""
    return -_seconds_in(path.parent), str(path.parent), -SECONDS.get(path.as_posix(), 0)


def _seconds_in(folder: PurePath) -> int:
    return sum(seconds for path, seconds in SECONDS.items() if PurePath(path).parent == folder)
