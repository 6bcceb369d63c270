"""Rollouts and fleets for people: each step with its figures, what it waits for, and which replica lags."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gauntlet.output import local_time
from gauntlet.rollout_lines import (
    about_rows,
    decided_again,
    figure_rows,
    fleet_headline,
    fleet_rows,
    headline,
    list_row,
    progress_of,
    short,
    standing,
    step_rows,
)

AT = "2026-01-01T12:00:00Z"
NOW = datetime(2026, 1, 1, 12, 30, tzinfo=UTC)
FIGURE = {"name": "errors", "observed": 0.00213, "bound": 0.001, "n": 12_000, "reason": "v2 failed on [26] rows"}
WAITS = "40 of at least 100 predictions of it"


def step(stage: str, state: str, share: float = 0.0, **more: Any) -> dict[str, Any]:
    began = None if state == "to come" else AT
    empty = {"ended_at": None, "reason": None, "figures": []}
    return {"stage": stage, "state": state, "share": share, "began_at": began, **empty, **more}


SHADOW = step("shadow", "done", ended_at="2026-01-01T12:10:00Z", reason="it is better", figures=[FIGURE])
STEPS = [SHADOW, step("canary", "current", 0.1), step("approval", "to come")]


def rollout(**changes: Any) -> dict[str, Any]:
    return {
        "rollout_id": "r1",
        "model_name": "flights",
        "challenger_version": 2,
        "champion_version": 1,
        "champion_epoch": 4,
        "tried_version": 2,
        "stage": "canary",
        "step": 1,
        "share": 0.1,
        "steps": STEPS,
        "began_at": AT,
        "result": None,
        "reason": "it is better",
        "waits_for": WAITS,
        "approvals": [],
        "people_needed": 0,
        "expires_at": None,
        "verdict_digest": "sha256:ab",
        "policy_digest": "sha256:cd",
        "evidence_id": "flights:2",
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "in canary of 10% beside v1, step 2 of 3"),
        ({"stage": "shadow", "step": 0}, "in shadow beside v1, step 1 of 3"),
        ({"stage": "ab", "share": 0.5}, "in A/B test of 50% beside v1, step 2 of 3"),
        ({"stage": "staging", "step": 0}, "in staging, step 1 of 3"),
        ({"stage": "approval", "step": 2, "champion_version": None}, "waits for approval, step 3 of 3"),
        ({"stage": "watch", "step": 2, "tried_version": 1}, "is champion, watched beside v1, step 3 of 3"),
    ],
)
def test_where_a_rollout_stands(changes: dict[str, Any], expected: str) -> None:
    assert standing(rollout(**changes)) == expected
    assert headline(rollout(**changes)) == f"[bold]flights v2[/] {expected}"


def test_how_a_rollout_ended() -> None:
    said = headline(rollout(result="aborted", reason="it fails [more] often"))
    assert said == r"[red]Aborted[/] flights v2: it fails \[more] often"
    assert headline(rollout(result="kept")).startswith("[yellow]Kept[/]")


def test_a_row_a_step() -> None:
    assert step_rows(rollout(), NOW) == [
        (1, "shadow", "done", local_time(AT), "10 min", "it is better"),
        (2, "canary of 10%", "current", local_time(AT), "30 min", WAITS),
        (3, "approval", "to come", None, None, None),
    ]


def test_a_step_that_an_end_came_before_was_not_reached() -> None:
    assert [row[2] for row in step_rows(rollout(result="aborted"), NOW)] == ["done", "current", "not reached"]


def test_figures_are_shown_beside_their_bounds() -> None:
    assert figure_rows(rollout()) == [("shadow", "errors", "0.00213", "0.001", "12,000", "v2 failed on [26] rows")]


def test_who_approved_and_who_is_still_needed() -> None:
    given = {"actor": "ann", "decision": "approved", "reason": "seen", "at": AT, "counts": True}
    former = {**given, "actor": "bob", "counts": False}
    waits = rollout(stage="approval", approvals=[former, given], people_needed=1, expires_at=AT)
    rows = list(about_rows(waits))
    assert rows[0] == ("champion", "v1 (epoch 4)")
    assert rows[1] == ("approved", f"bob, {local_time(AT)}: seen; the evidence has changed since, it does not count")
    assert rows[2] == ("approved", f"ann, {local_time(AT)}: seen")
    assert rows[3] == ("still needed", f"1 person, until {local_time(AT)}")
    assert ("verdict digest", "sha256:ab") in rows and ("rollout", "r1") in rows
    assert ("until", local_time(AT)) in list(about_rows(rollout(stage="watch", expires_at=AT)))


def test_a_list_has_what_each_waits_for_or_why_it_ended() -> None:
    assert list_row(rollout())["reason"] == WAITS and list_row(rollout())["stage"] == "canary of 10%"
    assert list_row(rollout())["against"] == "v1"
    watched = rollout(stage="watch", champion_version=2, tried_version=1)
    assert list_row(watched)["against"] == "v1", "the former champion"
    ended = list_row(rollout(result="kept", waits_for=None))
    assert (ended["stage"], ended["result"], ended["reason"]) == ("ended", "kept", "it is better")
    assert short(rollout()) == "v2 in canary of 10%"


def test_a_follower_sees_each_step_once() -> None:
    before = list(progress_of(rollout(step=0, steps=[step("shadow", "current"), *STEPS[2:]])))
    after = list(progress_of(rollout()))
    assert before == ["flights v2 shadow (step 1 of 2) began"]
    assert after == [
        "flights v2 shadow (step 1 of 3) began",
        "flights v2 shadow is over: it is better",
        "flights v2 canary of 10% (step 2 of 3) began",
    ]


def test_steps_that_were_decided_again() -> None:
    again = {"stage": "shadow", "then": "Advance", "now": "Advance", "differences": []}
    by_people = {**again, "stage": "approval", "now": None}
    same = decided_again({"rollout_id": "r1", "agrees": True, "steps": [again, by_people]})
    assert same == "rollout r1: 1 step decided again, to the last digit of every figure; 1 step not by figures"
    other = {**again, "now": "Continue", "differences": [{"where": "x", "then": 1, "now": 2}]}
    said = decided_again({"rollout_id": "r1", "agrees": False, "steps": [again, other]})
    assert said == "rollout r1: 2 steps decided again; what differs: shadow was Advance and is Continue"


def test_a_fleet_shows_first_who_lags_and_why() -> None:
    good = {
        "replica": "a",
        "role": "production",
        "lagging": False,
        "lag_seconds": None,
        "since": AT,
        "desired_version": 2,
        "desired_epoch": 5,
        "loaded_version": 2,
        "loaded_epoch": 5,
        "tried_version": 3,
        "arm": "split",
        "failed_version": None,
        "failure": None,
    }
    late = {
        **good,
        "replica": "b",
        "lagging": True,
        "lag_seconds": 75.0,
        "loaded_version": 1,
        "loaded_epoch": 4,
        "tried_version": None,
        "failed_version": 2,
        "failure": "digest differs",
    }
    nothing = {**late, "replica": "c", "role": "staging", "loaded_version": None, "lag_seconds": None, "since": None}
    running = {"stage": "canary", "share": 0.1, "tried_version": 3}
    fleet = {"model_name": "m", "champion_version": 2, "champion_epoch": 5, "rollout": running}
    rows = fleet_rows({**fleet, "replicas": [good, nothing, late]})
    at = local_time(AT)
    assert rows == [
        ("b", "production", "v1 (epoch 4)", "v2 (epoch 5)", at, "lags 75 s", None, "v2: digest differs"),
        ("c", "staging", "nothing", "v2 (epoch 5)", None, "lags", None, "v2: digest differs"),
        ("a", "production", "v2 (epoch 5)", "v2 (epoch 5)", at, None, "v3 (split)", None),
    ]
    watched = {**running, "stage": "watch", "share": 0.0, "tried_version": 1}
    assert "v1 in shadow (watch)" in fleet_headline({**fleet, "rollout": watched, "replicas": [good]})
    said = fleet_headline({**fleet, "replicas": [good, late]})
    assert said == "m: champion v2 (epoch 5); v3 in canary of 10%; 1 of 2 replicas lag"
    empty = {**fleet, "champion_version": None, "rollout": None, "replicas": [good]}
    assert fleet_headline(empty) == "m: no champion; 1 replicas, none lags"
