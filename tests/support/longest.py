"""In which order files of tests are run: a long one that begins last has one worker work while the others wait.

`make timings` runs them all and prints the table below as it is now; `python -m support.longest JUNIT_XML` prints it
from the results of `pytest --junitxml`, with the sum of all files on standard error.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import PurePath
from xml.etree import ElementTree

SHORTEST = 8
"""Seconds: files that take less are not in the table."""

SECONDS: dict[str, int] = {
    "integration/console/test_decisions.py": 114,
    "integration/gatekeeper/test_faults.py": 106,
    "integration/console/test_screens.py": 104,
    "integration/test_secured_stack.py": 102,
    "integration/gatekeeper/test_rollout_faults.py": 92,
    "integration/drift/test_faults.py": 82,
    "integration/gatekeeper/test_verdicts.py": 71,
    "integration/serving/test_forged_decisions.py": 69,
    "integration/gatekeeper/test_registered_again.py": 66,
    "integration/test_delivery.py": 65,
    "integration/console/test_model_screens.py": 63,
    "integration/drift/test_service.py": 62,
    "integration/gatekeeper/test_signed_decisions.py": 60,
    "integration/drift/test_rollout_faults.py": 59,
    "integration/test_models_elsewhere.py": 58,
    "integration/serving/test_authentication.py": 58,
    "integration/client/test_events.py": 57,
    "integration/drift/test_intake.py": 55,
    "integration/gatekeeper/test_restore.py": 54,
    "integration/test_trainer_faults.py": 47,
    "integration/test_trainer_story.py": 47,
    "integration/gatekeeper/test_audit.py": 45,
    "integration/gatekeeper/test_tournaments.py": 43,
    "integration/test_embedded_kafka.py": 43,
    "integration/test_tutorial.py": 42,
    "integration/serving/test_workers.py": 42,
    "integration/console/test_story.py": 42,
    "integration/test_policies_live.py": 41,
    "integration/console/test_delivery_screens.py": 41,
    "integration/serving/test_start.py": 38,
    "integration/console/test_api_pages.py": 38,
    "integration/gatekeeper/test_benchmarks.py": 37,
    "integration/drift/test_rollouts.py": 37,
    "integration/serving/test_trials.py": 36,
    "integration/serving/test_rollouts_under_load.py": 35,
    "integration/gatekeeper/test_decisions.py": 35,
    "integration/test_ci_examples.py": 35,
    "integration/serving/test_bad_challengers.py": 32,
    "integration/test_stack.py": 31,
    "unit/gatekeeper/test_corpus.py": 29,
    "integration/serving/test_isolated_trials.py": 28,
    "integration/drift/test_benchmarks.py": 28,
    "integration/drift/test_housekeeping.py": 27,
    "integration/test_kafka_refusals.py": 27,
    "integration/test_cli_bus.py": 26,
    "unit/serving/test_isolated_trials.py": 26,
    "integration/gatekeeper/test_waiting_versions.py": 26,
    "integration/gatekeeper/test_python_client.py": 25,
    "integration/drift/test_several_processes.py": 23,
    "integration/gatekeeper/test_rollout_commands.py": 22,
    "integration/test_ended_early.py": 22,
    "integration/test_stack_with_tokens.py": 22,
    "integration/serving/test_matrices.py": 22,
    "unit/gatekeeper/test_sandbox.py": 21,
    "integration/drift/test_drawings.py": 21,
    "integration/test_fork_server.py": 19,
    "integration/gatekeeper/test_rollouts.py": 19,
    "integration/serving/test_trial_swaps.py": 18,
    "integration/test_takeover.py": 18,
    "integration/serving/test_predictions.py": 18,
    "unit/gatekeeper/test_gate_simulation.py": 17,
    "integration/serving/test_swap.py": 17,
    "integration/test_cli_verdicts.py": 16,
    "integration/test_try.py": 16,
    "unit/gatekeeper/test_judged_as_served.py": 16,
    "integration/gatekeeper/test_evidence_api.py": 16,
    "integration/gatekeeper/test_notification_delivery.py": 16,
    "integration/test_services_as_programs.py": 15,
    "integration/serving/test_divided_requests.py": 15,
    "integration/test_hung_part.py": 14,
    "integration/test_stack_ends.py": 14,
    "integration/gatekeeper/test_drift_tournaments.py": 14,
    "integration/test_locations.py": 14,
    "integration/serving/test_inference_protocol.py": 14,
    "integration/serving/test_many_models.py": 14,
    "integration/serving/test_own_code.py": 13,
    "unit/serving/test_hosted_model.py": 13,
    "unit/gatekeeper/test_evaluator.py": 13,
    "unit/gatekeeper/test_many_tests.py": 13,
    "integration/serving/test_invocations.py": 12,
    "integration/serving/test_returned_types.py": 12,
    "unit/serving/test_memory.py": 12,
    "integration/console/test_logging_in.py": 12,
    "integration/test_topics.py": 11,
    "integration/serving/test_feedback.py": 11,
    "integration/test_cli_lifecycle.py": 11,
    "unit/gauntlet/test_tournament_lines.py": 11,
    "unit/gatekeeper/test_evidence.py": 11,
    "integration/test_embedded_kafka_security.py": 11,
    "integration/drift/test_pages.py": 10,
    "unit/drift/test_report.py": 10,
    "integration/gatekeeper/test_golden_sources.py": 10,
    "integration/drift/test_performance.py": 10,
    "integration/gatekeeper/test_event_log.py": 10,
    "integration/gatekeeper/test_identity.py": 10,
    "integration/gatekeeper/test_notifications.py": 10,
    "integration/test_stack_refusals.py": 10,
    "unit/test_imports.py": 9,
    "integration/serving/test_openapi_fuzz.py": 9,
    "unit/serving/test_trials.py": 9,
    "unit/gatekeeper/test_audit_trail.py": 9,
    "integration/serving/test_mlserver_types.py": 9,
    "unit/serving/test_parsers_fuzz.py": 8,
    "integration/test_database.py": 8,
    "integration/test_tracing.py": 8,
}
"""How long the longest files take, in `make test` on two cores. Only the order matters."""


def longest_first(path: PurePath) -> tuple[int, str, int]:
    """A key to sort files by, `path` below `tests/`: folders by their seconds, and files of one folder by theirs."""
    return -_seconds_in(path.parent), str(path.parent), -SECONDS.get(path.as_posix(), 0)


@cache
def _seconds_in(folder: PurePath) -> int:
    return sum(seconds for path, seconds in SECONDS.items() if PurePath(path).parent == folder)


def measured(cases: Iterable[tuple[str, float]]) -> Counter[str]:
    """Seconds by file, of cases as JUnit names them: `tests.integration.drift.test_faults[.TestClass]`."""
    found: Counter[str] = Counter()
    for name, seconds in cases:
        parts = name.split(".")
        end = next((place for place, part in enumerate(parts) if part.startswith("test_")), len(parts) - 1)
        found["/".join(parts[parts[0] == "tests" : end + 1]) + ".py"] += seconds
    return found


def table(seconds: Counter[str]) -> str:
    """As it stands above."""
    lines = [f'    "{path}": {taken:.0f},' for path, taken in seconds.most_common() if taken >= SHORTEST]
    return "\n".join(["SECONDS: dict[str, int] = {", *lines, "}"])


if __name__ == "__main__":
    results = ElementTree.parse(sys.argv[1]).iter("testcase")
    all_of_them = measured((case.get("classname", ""), float(case.get("time", 0))) for case in results)
    sys.stdout.write(table(all_of_them) + "\n")
    sys.stderr.write(f"{sum(all_of_them.values()):.0f} s in {len(all_of_them)} files\n")
