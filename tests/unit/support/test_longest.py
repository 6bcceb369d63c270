"""The table of how long files take, from what pytest writes of a run."""

from __future__ import annotations

from collections import Counter

from support.longest import measured, table


def test_cases_are_summed_by_file_and_short_files_are_left_out() -> None:
    seconds = measured(
        [
            ("tests.unit.drift.test_report", 1.5),
            ("tests.integration.test_takeover.TestTakenOver", 20.0),
            ("tests.integration.test_takeover", 5.4),
            ("tests.integration.drift.test_faults", 79.0),
        ]
    )
    assert seconds == Counter(
        {
            "integration/drift/test_faults.py": 79.0,
            "integration/test_takeover.py": 25.4,
            "unit/drift/test_report.py": 1.5,
        }
    )
    assert table(seconds).splitlines() == [
        "SECONDS: dict[str, int] = {",
        '    "integration/drift/test_faults.py": 79,',
        '    "integration/test_takeover.py": 25,',
        "}",
    ]
