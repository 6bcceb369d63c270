"""What came of a version, or what it waits for: a table of what the gatekeeper can show; and how long is waited."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gauntlet_client import ClientError, ServiceError, Unavailable, Unreachable, WaitTimeout
from gauntlet_client.results import Model, Rollout, Verdict, Waited
from gauntlet_client.steps import Pause, Response, Send
from gauntlet_client.waiting import SILENCE_SECONDS, Goal, Seen, look, wait

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENT = "e2"


def verdict(state: str = "passed", **more: Any) -> Verdict:
    return Verdict.model_validate(
        {
            "id": "c",
            "model_name": "m",
            "model_version": 2,
            "state": state,
            "reason": "why" if state != "passed" else None,
            "judgement": 1,
            "champion_version": 1,
            "metrics": {},
            "registered_at": NOW,
            "judged_at": NOW,
            "epochs": [],
            "policy_digest": None,
            "verdicts": [],
            "evidence": {},
            "registrations": [{"event_id": "e1", "at": NOW, "judgement": 1, "kept": None}],
            **more,
        }
    )


def again(judgement: int | None = None, kept: str | None = None) -> dict[str, Any]:
    newer = {"event_id": EVENT, "at": NOW + timedelta(hours=1), "judgement": judgement, "kept": kept}
    return {"registrations": [newer, {"event_id": "e1", "at": NOW, "judgement": 1, "kept": None}]}


def rollout(version: int = 2, **more: Any) -> Rollout:
    return Rollout.model_validate(
        {
            "rollout_id": "r",
            "model_name": "m",
            "challenger_version": version,
            "champion_version": 1,
            "stage": "canary",
            "step": 1,
            "steps": [{}, {}, {}],
            "share": 0.1,
            "began_at": NOW,
            "ended_at": None,
            "result": None,
            "reason": "",
            "verdict_digest": "sha256:1",
            "waits_for": "90 of 1,000 entities",
            "people_needed": 0,
            "expires_at": None,
            **more,
        }
    )


def ended(result: str, **more: Any) -> Rollout:
    return rollout(stage="ended", ended_at=NOW + timedelta(minutes=1), result=result, reason=f"so {result}", **more)


def model(champion: int | None = 1, frozen: bool = False) -> Model:
    promotion = {
        "model_name": "m",
        "model_version": champion,
        "epoch": 4,
        "previous_version": None,
        "cause": "gate",
        "actor": "gatekeeper",
        "reason": "better",
        "promoted_at": NOW,
    }
    return Model.model_validate(
        {
            "model_name": "m",
            "champion": promotion if champion else None,
            "challenger": None,
            "frozen": frozen,
            "frozen_by": "ann" if frozen else None,
            "frozen_reason": "fair" if frozen else None,
            "policy_digest": None,
            "candidates": {},
            "replicas": [],
        }
    )


WAITS = "waits"
CASES: list[tuple[str, Goal, Seen, str | None, str, str]] = [
    ("registered", "verdict", Seen(verdict("registered", reason=None)), None, WAITS, "m v2 is registered"),
    (
        "for golden rows",
        "verdict",
        Seen(verdict("waiting", reason="waiting for rows")),
        None,
        WAITS,
        "waiting for rows",
    ),
    ("passed", "verdict", Seen(verdict()), None, "passed", ""),
    ("failed", "verdict", Seen(verdict("failed")), None, "failed", "why"),
    ("too few rows", "verdict", Seen(verdict("inconclusive")), None, "inconclusive", "why"),
    ("replaced", "verdict", Seen(verdict("superseded")), None, "superseded", "why"),
    ("judged again", "verdict", Seen(verdict("failed", **again())), None, WAITS, "judged again; its last verdict was"),
    ("judged again, done", "verdict", Seen(verdict("passed", **again(2))), None, "passed", ""),
    ("own event not there", "verdict", Seen(verdict()), EVENT, WAITS, "has not taken up event e2"),
    ("own event undecided", "verdict", Seen(verdict("failed", **again())), EVENT, WAITS, "to be judged again"),
    ("own event decided", "verdict", Seen(verdict("failed", **again(2))), EVENT, "failed", "why"),
    ("verdict stands", "verdict", Seen(verdict("failed", **again(kept="stands"))), EVENT, "failed", "why"),
    ("champion", "promotion", Seen(verdict(epochs=[4]), [ended("promoted")], model(2)), None, "promoted", "better"),
    ("champion by override", "promotion", Seen(verdict("failed"), [], model(2)), None, "promoted", "better"),
    ("champion, watched", "promotion", Seen(verdict(), [rollout(stage="watch")], model(2)), None, "promoted", ""),
    (
        "was champion",
        "promotion",
        Seen(verdict(epochs=[2]), [ended("promoted")], model(3)),
        None,
        "promoted",
        "epoch 2",
    ),
    ("failed", "promotion", Seen(verdict("failed"), [], model()), None, "failed", "why"),
    ("inconclusive", "promotion", Seen(verdict("inconclusive"), [], model()), None, "inconclusive", "why"),
    ("in canary", "promotion", Seen(verdict(), [rollout()], model()), None, WAITS, "canary, step 2 of 3: 90 of 1,000"),
    (
        "approval",
        "promotion",
        Seen(verdict(), [rollout(stage="approval", people_needed=2, expires_at=NOW)], model()),
        None,
        WAITS,
        "approval of 2 people until 2026-01-01T00:00+00:00: gauntlet approve m",
    ),
    (
        "aborted",
        "promotion",
        Seen(verdict(quarantine="aborted: slow"), [ended("aborted")], model()),
        None,
        "aborted",
        "slow",
    ),
    (
        "refused",
        "promotion",
        Seen(verdict(quarantine="refused"), [ended("refused")], model()),
        None,
        "refused",
        "refused",
    ),
    ("kept", "promotion", Seen(verdict(), [ended("kept")], model()), None, "kept", "so kept"),
    ("expired", "promotion", Seen(verdict(), [ended("expired")], model()), None, "expired", "so expired"),
    (
        "rolled back",
        "promotion",
        Seen(verdict(epochs=[4], quarantine="harm"), [ended("rolled back")], model()),
        None,
        "rolled back",
        "harm",
    ),
    ("quarantined", "promotion", Seen(verdict(quarantine="aborted"), [], model()), None, "quarantined", "aborted"),
    (
        "rollout of its last judgement",
        "promotion",
        Seen(verdict(judged_at=NOW + timedelta(hours=2), **again(2)), [ended("kept")], model()),
        None,
        WAITS,
        "not champion yet",
    ),
    (
        "another one rolls out",
        "promotion",
        Seen(verdict(), [rollout(version=3)], model()),
        None,
        WAITS,
        "waits for the end of the rollout of v3",
    ),
    ("frozen", "promotion", Seen(verdict(), [], model(frozen=True)), None, WAITS, "frozen by ann (fair)"),
]


@pytest.mark.parametrize(
    ("goal", "seen", "event_id", "outcome", "words"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_look(goal: Goal, seen: Seen, event_id: str | None, outcome: str, words: str) -> None:
    found = look(seen, goal, event_id)
    if outcome == WAITS:
        assert isinstance(found, str)
        assert words in found
    else:
        assert isinstance(found, Waited)
        assert found.outcome == outcome
        assert words in (found.reason or "")
        assert found.ok == (outcome in ("passed", "promoted"))


def test_that_a_verdict_stands_is_said() -> None:
    found = look(Seen(verdict("failed", **again(kept="nothing has changed"))), "verdict", EVENT)
    assert isinstance(found, Waited)
    assert found.kept == "nothing has changed"


class World:
    """A gatekeeper, a clock, and somebody who waits: answers are what it says, one after another, the last for ever."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.answers, self.now, self.said = list(answers), 0.0, list[str]()

    def wait(self, timeout: float = 10.0, goal: Goal = "verdict") -> Waited:
        steps = wait("m", 2, goal, timeout, None, self.said.append, lambda: self.now)
        try:
            step = next(steps)
            while True:
                if isinstance(step, Pause):
                    self.now += step.seconds
                    step = steps.send(None)
                    continue
                assert isinstance(step, Send)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                step = steps.throw(answer) if isinstance(answer, Exception) else steps.send(answer)
        except StopIteration as end:
            found: Waited = end.value
            return found


def response(status: int, body: str) -> Response:
    return Response(status, {}, body.encode())


JUDGED = response(200, verdict("failed").model_dump_json())
GATING = response(200, verdict("gating", reason=None).model_dump_json())
UNKNOWN = response(404, '{"title": "no such candidate"}')
AWAY = Unreachable("no answer")


def test_a_version_that_is_not_registered_yet_and_a_restart_are_waited_for_and_each_change_is_said_once() -> None:
    world = World(UNKNOWN, UNKNOWN, GATING, AWAY, AWAY, AWAY, response(503, "{}"), GATING, JUDGED)
    assert world.wait().outcome == "failed"
    assert world.said == ["the gatekeeper does not know m v2 yet", "m v2 is gating"]


def test_the_end_of_patience_says_what_it_waited_for() -> None:
    world = World(GATING)
    with pytest.raises(WaitTimeout, match="no end within 10 s: m v2 is gating") as error:
        world.wait(10)
    assert error.value.waits_for == "m v2 is gating"
    assert 10 <= world.now < 11


@pytest.mark.parametrize(
    ("answer", "error", "least"),
    [
        (AWAY, Unreachable, SILENCE_SECONDS),
        (response(503, "{}"), Unavailable, SILENCE_SECONDS),
        (response(401, '{"title": "no token"}'), ServiceError, 0),
        (response(200, "<html>"), ClientError, 0),
    ],
)
def test_silence_is_borne_for_a_while_and_a_refusal_is_not(
    answer: Response | Exception, error: type[Exception], least: float
) -> None:
    world = World(answer)
    with pytest.raises(error):
        world.wait(3600)
    assert least <= world.now <= least + 5


def test_a_goal_that_there_is_not_is_refused() -> None:
    """Otherwise a slip of the pen waits for a promotion, perhaps for days."""
    with pytest.raises(ClientError, match="goal is 'verdcit'"):
        next(wait("m", 2, "verdcit", 10.0, None, None))  # type: ignore[arg-type]
