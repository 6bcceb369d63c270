"""Evidence of rollouts, in every format that was ever written: each step is decided again as it was then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.database.rollouts import EVIDENCE_FORMAT
from gatekeeper.rollout.replay import replay_rollout

DOCUMENTS = sorted((Path(__file__).parent / "rollout_documents").glob("format-*.json"))


def row_of(document: dict[str, Any]) -> RolloutRow:
    return RolloutRow(id="m-v2-1", model_name="m", plan=document["plan"], history=document["history"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_step_is_reached_again(path: Path) -> None:
    found = replay_rollout(row_of(json.loads(path.read_text())))
    assert found.agrees, found
    assert [step.now for step in found.steps] == ["Advance", "Advance", "Advance", "RollBack"]


def test_a_changed_sum_is_noticed() -> None:
    document = json.loads(DOCUMENTS[-1].read_text())
    document["history"][0]["measured"]["paired"]["sum_d"] -= 1
    assert not replay_rollout(row_of(document)).agrees
    document["history"][0]["measured"] = None
    assert replay_rollout(row_of(document)).steps[0].now == "Continue"


def test_there_is_a_document_of_the_format_that_is_written() -> None:
    newest = json.loads(DOCUMENTS[-1].read_text())["history"]
    assert {entry["format"] for entry in newest} == {EVIDENCE_FORMAT}
    assert DOCUMENTS[-1].stem == f"format-{EVIDENCE_FORMAT}"
