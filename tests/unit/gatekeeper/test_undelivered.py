"""Messages that were not handled, and messages that did not reach people, as items of the first page."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from gatekeeper.policy.attention import Kind, Severity
from gatekeeper.policy.undelivered import LONGEST_REASON, MOST, GivenUp, Letter, letters, notifications

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(hours=1)
LETTER = Letter("m", "drift", "predictions", NOW, "ValueError: no rows\n  in it")
MESSAGE = GivenUp("chat", "m v3 was promoted", critical=False, at=NOW, reply="HTTP status 500")


def test_nothing_is_nothing() -> None:
    assert letters([]) == [] and notifications([]) == []


def test_letters_are_an_item_a_model_with_the_newest_reason() -> None:
    found = letters([LETTER, replace(LETTER, model_name=None), replace(LETTER, at=EARLIER, error="older")])
    assert {(item.kind, item.severity, item.at) for item in found} == {(Kind.DEAD_LETTERS, Severity.DECIDE, NOW)}
    assert [(item.model_name, item.reason) for item in found] == [
        ("m", "2 messages could not be handled, the last by drift, from predictions: ValueError: no rows in it"),
        ("", "1 message could not be handled, the last by drift, from predictions: ValueError: no rows in it"),
    ]


def test_messages_are_an_item_a_target_and_a_critical_one_waits_for_a_person() -> None:
    other = replace(MESSAGE, target="mail", reply=None)
    found = notifications([MESSAGE, other, replace(MESSAGE, critical=True, at=EARLIER)])
    assert {item.kind for item in found} == {Kind.NOTIFICATIONS}
    assert [(item.subject, item.severity, item.reason) for item in found] == [
        ("chat", Severity.DECIDE, "2 messages did not reach chat, the last “m v3 was promoted”: HTTP status 500"),
        ("mail", Severity.LOOK, "1 message did not reach mail, the last “m v3 was promoted”: no reply"),
    ]


def test_what_was_cut_says_so() -> None:
    (item,) = letters([replace(LETTER, error="x" * 1000)] * MOST)
    assert item.reason.startswith(f"at least {MOST} messages could not be handled")
    assert item.reason.endswith("x…") and len(item.reason) < LONGEST_REASON + 150
