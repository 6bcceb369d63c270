"""A tournament for people: everybody who was asked, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from gauntlet.tournament_lines import again, ending, print_tournament

DETAILS = {"challenger": 0.81, "champion": 0.75, "difference": 0.06, "lower": 0.0412, "upper": 0.08}
VERDICT: dict[str, Any] = {
    "outcome": "Passed",
    "reason": "better by 0.06",
    "metric": "roc_auc",
    "n": 20000,
    "details": {**DETAILS, "needed_difference": 0.0},
}
PLAYED: dict[str, Any] = {
    "champion_version": 7,
    "winner": 5,
    "reason": "the best of 3",
    "entrants": {
        "5": VERDICT,
        "4": {**VERDICT, "outcome": "Failed", "details": {**DETAILS, "rule": {"delta": 0.1}}},
        "3": {**VERDICT, "outcome": "Inconclusive", "reason": "underpowered: 7 rows", "details": {}},
    },
    "absent": {"2": "only 3 of 9 golden rows are clean [for it]"},
}


def test_everybody_who_was_asked_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_tournament(PLAYED)
    shown = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert shown[0] == "Tournament against champion v7"
    assert shown[2] == "v5 Passed (won) roc_auc 0.81 0.75 0.06 0.0412 0.08 0 20,000 –"
    assert shown[3] == "v4 Failed roc_auc 0.81 0.75 0.06 0.0412 0.08 0.1 20,000 –"
    assert shown[4] == "v3 Inconclusive roc_auc – – – – – – 20,000 underpowered: 7 rows"
    assert shown[5].startswith("v2 not compared") and shown[5].endswith("golden rows are clean [for it]")
    assert shown[6] == "tournament: v5 won: the best of 3"


def test_nobody_may_have_won() -> None:
    assert ending({"winner": None, "reason": "champion v1 stays"}) == "tournament: nobody won: champion v1 stays"


@pytest.mark.parametrize(
    ("then", "now", "unknown", "told"),
    [
        (5, 5, None, "v5 wins, as then"),
        (None, None, None, "nobody wins, as then"),
        (5, None, None, "nobody would win, it was v5: because"),
        (None, 4, None, "v4 would win, it was nobody: because"),
        (5, None, "no answers", "v5 won then, now that is not known: no answers"),
        (5, 4, "older ones", "v5 won then, now that is not known: older ones; as far as that goes, v4 wins"),
    ],
)
def test_a_tournament_that_is_played_again(then: int | None, now: int | None, unknown: str | None, told: str) -> None:
    assert again({"then": then, "now": now, "unknown": unknown, "reason": "because"}) == told
