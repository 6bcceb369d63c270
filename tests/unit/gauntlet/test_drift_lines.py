"""Drift in the terminal, from the answers that the drift service really gives."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from drift.api.views import window_view
from drift.database.tables import WindowRow
from gauntlet.drift_lines import score_row, window_lines, window_row

AT = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
SCORE = {"feature": "spend", "method": "wasserstein", "score": 1.4, "limit": 0.2, "drifted": True}
LIMITS = {
    "assumption": "windows",
    "windows": 40,
    "blocks": False,
    "splits": 400,
    "share": 0.05,
    "size": 2000,
    "reference_rows": 5000,
    "calibrated_at": AT.isoformat(),
    "considered": 41,
    "share_rule": {"share": 0.5, "alarms": 0, "of": 40},
}
HARM = {"harm": "harmful", "reason": "it costs", "metric": "roc_auc", "baseline": 0.8, "estimated": 0.75}
PROXY = {
    "outcome": "Failed",
    "reason": "below its bound",
    "event_id": "shop-v1-w2:proxy",
    "metric": "roc_auc",
    "estimated": 0.75,
    "low": 0.7,
    "high": 0.79,
    "baseline": 0.8,
    "bound": 0.76,
}
PREDICTION = {"outcome": "Passed", "reason": "as before", "method": "wasserstein", "distance": 0.1, "limit": 0.2}


def answer(**columns: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "id": "shop-v1-w2",
        "model_name": "shop",
        "model_version": 1,
        "number": 2,
        "size": 2000,
        "rows": 2000,
        "labelled": 0,
        "state": "scored",
        "opened_at": AT,
        "closed_at": AT,
        "scored_at": AT,
        "scores": [SCORE],
        "data_outcome": "Failed",
        "data_reason": "1 of 3",
        "data_event_id": "e",
        "not_compared": {},
    }
    return window_view(WindowRow(**given | columns), "http://drift").model_dump(mode="json")


def test_a_window_that_has_drifted_is_shown_whole() -> None:
    found = answer(limits=LIMITS, harm=HARM, proxy=PROXY, prediction=PREDICTION)
    lines = "\n".join(window_lines(found))
    assert "harm: harmful. it costs (roc_auc 0.75)" in lines
    assert "below its bound (roc_auc 0.75 (0.7 to 0.79))" in lines
    assert "limits: calibrated on 40 past windows; drift_share 0.5 would have alarmed in 0 of 40 without drift" in lines
    assert window_row(found)[4] == "harmful" and window_row(found)[-1] == "features, estimate"
    assert score_row(found["data"]["scores"][0]) == ("spend", "wasserstein", "1.4", None, "0.2", "drifted")


@pytest.mark.parametrize("part", ["limits", "harm", "proxy", "prediction"])
def test_each_part_may_be_missing(part: str) -> None:
    parts = {"limits": LIMITS, "harm": HARM, "proxy": PROXY, "prediction": PREDICTION} | {part: None}
    found = answer(**parts)
    assert "1 of 3" in "\n".join(window_lines(found)) and window_row(found)[0] == "shop-v1-w2"


def test_a_window_that_is_being_filled() -> None:
    found = answer(state="filling", rows=7, data_outcome=None, data_reason=None, data_event_id=None, scores=[])
    assert "features: not judged yet" in "\n".join(window_lines(found))
    assert window_row(found)[1:4] == ("7/2000", "0", "filling")


def test_limits_of_few_windows_are_said_to_be_wide() -> None:
    few = answer(limits={**LIMITS, "assumption": "iid", "windows": 5})
    assert "400 random splits of the reference and 5 past windows: so few windows make them wide" in "".join(
        window_lines(few)
    )
    none = answer(limits={**LIMITS, "assumption": "iid", "windows": 0})
    assert "random splits of the reference: ordinary day-to-day variation is not in them" in "".join(window_lines(none))
