"""A story as a tree with times: who caused what, where time went, and the way to the swap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from contracts.event_summaries import elapsed
from gatekeeper.policy.story import DecisionFact, EventFact, JobFact, Kind, Spent, Story, tell

T0 = datetime(2026, 3, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def event(name: str, when: float, cause: str | None = None, source: str = "gatekeeper", **more: Any) -> EventFact:
    fields = {"id": name, "model_name": "m", "model_version": 2, "source": source, "cause": cause, "at": at(when)}
    return EventFact(name=name, **(fields | more))


def job(kind: str, cause: str, created: float, started: float | None, ended: float | None, **more: Any) -> JobFact:
    times = {"created_at": at(created), "started_at": None if started is None else at(started)}
    state = "queued" if started is None else "running" if ended is None else "done"
    fields = {"service": "gatekeeper", "model_name": "m", "cause": cause, "state": state}
    ends = None if ended is None else at(ended)
    return JobFact(**({"id": kind, "kind": kind, "ended_at": ends} | times | fields | more))


FROM_DRIFT_TO_SWAP = (
    [
        event("DriftDetected", 0, source="drift", model_version=1),
        event("ModelRegistered", 100, "DriftDetected", "trainer"),
        event("GatePassed", 160.01, "ModelRegistered"),
        event("Promoted", 160.02, "GatePassed", actor="gatekeeper"),
        event("ModelLoaded", 163, "Promoted", "serving/r1", seconds=2.5, is_swap=True),
    ],
    [
        job("train", "DriftDetected", 1, 5, 100, service="trainer"),
        job("gate", "ModelRegistered", 101, 120, 160),
        job("mirror", "Promoted", 160.02, 161, 162),
    ],
)


def told(events: Any, jobs: Any = (), decisions: Any = (), now: float = 10_000) -> Story:
    story = tell(events, jobs, decisions, now=at(now))
    assert story is not None
    return story


def parents(story: Story) -> dict[str, str | None]:
    return {step.id: step.parent for step in story.steps}


def test_one_drift_is_followed_to_the_swap() -> None:
    story = told(*FROM_DRIFT_TO_SWAP)
    assert story.path == (
        "DriftDetected",
        "job:train",
        "ModelRegistered",
        "job:gate",
        "GatePassed",
        "Promoted",
        "ModelLoaded",
    )
    assert story.swapped and story.path_seconds == pytest.approx(163) and story.seconds == 163
    spent = {name.value: round(seconds, 2) for name, seconds in story.spent.items()}
    assert spent == {"publishing": 2.5, "queued": 23.0, "running": 135.0, "loading": 2.5}
    assert [step.depth for step in story.steps] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert [step.id for step in story.steps if not step.on_path] == ["job:mirror"]


def test_what_a_person_decides_waits_for_people_and_has_a_name() -> None:
    rollout = {"rollout_id": "r"}
    events = [
        event("GatePassed", 0),
        event("RolloutChanged", 0.1, "GatePassed", **rollout),
        event("ApprovalRequested", 3600, **rollout),
        event("ApprovalGiven", 7200, actor="ada", **rollout),
        event("Promoted", 7201, actor="gatekeeper"),
    ]
    decisions = [
        DecisionFact(4, "approved", "ada", at(7200.1), "m", 2, "seen", rollout_id="r"),
        DecisionFact(5, "promoted", "gatekeeper", at(7201), "m", 2, "it is better", event_id="Promoted"),
        DecisionFact(6, "frozen", "bob", at(8000), "m", None, "holidays"),
    ]
    story = told(events, (), decisions)
    spent = {name.value: round(seconds, 1) for name, seconds in story.spent.items()}
    assert spent == {"publishing": 1.1, "live traffic": 3599.9, "people": 3600.0}
    by_id = {step.id: step for step in story.steps}
    assert by_id["ApprovalGiven"].audit == (4,) and by_id["ApprovalGiven"].who == "ada"
    assert by_id["Promoted"].audit == (5,) and by_id["Promoted"].inferred
    assert (by_id["audit:6"].kind, by_id["audit:6"].who, by_id["audit:6"].parent) == (
        Kind.DECISION,
        "bob",
        "GatePassed",
    )
    assert not story.swapped and story.path[-1] == "Promoted"


@pytest.mark.parametrize(
    ("jobs", "name", "running"),
    [
        ([job("gate", "ModelRegistered", 1, None, None)], "queued", ("job:gate",)),
        ([job("gate", "ModelRegistered", 1, 2, None)], "running", ("job:gate",)),
        ([job("gate", "ModelRegistered", 1, 2, 3, error="killed")], "killed", ()),
        ([job("gate", "ModelRegistered", 1, 2, 3, attempts=3)], "attempt 3: done", ()),
    ],
)
def test_a_job_shows_where_it_stands(jobs: list[JobFact], name: str, running: tuple[str, ...]) -> None:
    story = told([event("ModelRegistered", 0)], jobs, now=60)
    assert name in story.steps[-1].text and story.running == running
    assert story.ends == (at(60) if running else at(3)) and story.steps[-1].failed == (name == "killed")


def test_without_the_trainers_jobs_its_time_is_one() -> None:
    events, jobs = FROM_DRIFT_TO_SWAP
    story = told(events, [each for each in jobs if each.kind != "train"])
    assert story.path[:2] == ("DriftDetected", "ModelRegistered") and story.path_seconds == pytest.approx(163)
    assert story.spent[Spent.RUNNING] == pytest.approx(140)


def test_events_that_contradict_each_other_end_in_a_tree() -> None:
    circle = [event("A", 0, "C"), event("B", 1, "A"), event("C", 2, "B"), event("D", 3, "D"), event("E", 4, "nowhere")]
    found = parents(told([EventFact(**{**vars(each), "model_version": None}) for each in circle]))
    assert len(found) == 5 and found["D"] is None and found["E"] is None
    for name in found:
        seen: list[str] = []
        place: str | None = name
        while place is not None:
            assert place not in seen
            seen.append(place)
            place = found[place]
    assert tell([], [], [], now=T0) is None


def test_whatever_the_facts_are_the_parts_of_the_path_add_up() -> None:
    chance = Random(1)
    names = ("DriftDetected", "ModelRegistered", "GatePassed", "Promoted", "ModelLoaded", "RolloutChanged")
    for _ in range(300):
        events = [
            event(
                chance.choice(names),
                chance.uniform(0, 100),
                chance.choice([None, *(f"e{other}" for other in range(8))]),
                id=f"e{number}",
                seconds=chance.choice([None, 3.0]),
                is_swap=chance.random() < 0.2,
                rollout_id=chance.choice([None, "r"]),
            )
            for number in range(8)
        ]
        jobs = [
            job("gate", f"e{number}", number, number + 1, chance.choice([None, 90.0]), id=f"j{number}")
            for number in range(2)
        ]
        story = told(events, jobs)
        assert {step.id for step in story.steps} == {f"e{each}" for each in range(8)} | {"job:j0", "job:j1"}
        by_id = {step.id: step for step in story.steps}
        end = max((by_id[each].ends or at(10_000)) for each in story.path)
        begin = by_id[story.path[0]].begins
        assert story.path_seconds == pytest.approx((end - begin).total_seconds(), abs=1e-3)
        order = [step.id for step in story.steps]
        assert all(step.parent is None or order.index(step.parent) < order.index(step.id) for step in story.steps)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"),
        (0.0, "0.00 s"),
        (9.994, "9.99 s"),
        (9.999, "10.0 s"),
        (59.99, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3660.4, "1 h 1 min"),
        (187_200, "2 d 4 h"),
        (86_460, "1 d"),
    ],
)
def test_durations_are_two_units(seconds: float | None, words: str) -> None:
    assert elapsed(seconds) == words
