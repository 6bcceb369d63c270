"""Notifications reach real receivers: at least once, never twice unless the target failed, and none delays another."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from chassis.processes.launcher import Process
from contracts import Cause, Promoted
from gatekeeper.database import notifications as stored
from gatekeeper.database.event_log import EventLogRow
from gatekeeper.database.notification_tables import NotificationMessageRow, NotificationRow
from support.databases import on_postgres, on_sqlite, taking_turns
from support.mail import mail_server
from support.notifier import POINTS
from support.notifying import SECRET, Notifying, Received, Receiver, drift, receiving
from support.processes import end, free_port, spawn
from support.waiting import eventually

TESTS = Path(__file__).parents[2]


@pytest.fixture
def notifying(database_url: str, tmp_path: Path) -> Iterator[Notifying]:
    found = Notifying(database_url, tmp_path)
    yield found
    found.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def messages(notifying: Notifying) -> list[NotificationMessageRow]:
    with notifying.database.reading() as session:
        return list(stored.newest(session, None, None, 1000))


def sent(notifying: Notifying, number: int = 1) -> list[NotificationMessageRow]:
    """The messages, once so many of them are sent."""

    def found() -> list[NotificationMessageRow]:
        return [each for each in messages(notifying) if each.state == "sent"]

    eventually(lambda: len(found()) >= number, timeout=30)
    return found()


def told(received: list[Received]) -> Counter[str]:
    """How often each event was told, by its id; a message that came again (the same id) counts once."""
    once = {each.id: each for each in received}
    return Counter(event["id"] for each in once.values() for event in each.json["events"])


def promoted(**changes: Any) -> Promoted:
    fields = {"model_version": 2, "epoch": 5, "artifact_uri": "u", "artifact_digest": "d", "actor": "ann"}
    return Promoted.model_validate({"model_name": "flights", "cause": Cause.ROLLBACK, **fields, **changes})


@contextmanager
def notifier(notifying: Notifying, owner: str, point: str | None = None) -> Iterator[Process]:
    url = notifying.database.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "support.notifier", url, str(notifying.path), owner, *([point] if point else [])]
    process = spawn(command, {"PYTHONPATH": str(TESTS)}, notifying.folder / "notifier.log")
    try:
        yield process
    finally:
        if process.poll() is None:
            end(process)


@on_sqlite
def test_a_webhook_is_signed_and_says_what_happened(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write({"hook": receiver.url("/hook?key=value")}, {"target": "hook"})
    planner = notifying.planner()
    notifying.emit(promoted(reason="it harms", previous_version=3))
    assert planner.once() == 1
    with notifying.sending():
        (message,) = sent(notifying)
    (received,) = receiver.received
    assert received.path == "/hook?key=value"
    assert received.is_signed()
    assert not received.is_signed(b"another key")
    assert received.id == received.json["id"] == message.id
    assert abs(int(received.headers["webhook-timestamp"]) - datetime.now(UTC).timestamp()) < 60
    body = received.json
    assert (body["severity"], body["model_name"], body["model_version"], body["count"]) == ("critical", "flights", 2, 1)
    assert body["title"] == "[critical] flights v2 is champion again: v3 was rolled back"
    assert "it harms" in body["text"]
    assert body["link"] == "https://gauntlet.example/console/models/flights"
    (event,) = body["events"]
    assert (event["type"], event["source"], event["reason"]) == ("Promoted", "test", "it harms")
    assert (message.attempts, message.last_reply) == (1, "200 OK ok")


@on_sqlite
def test_both_keys_sign_while_a_secret_is_changed(notifying: Notifying, receiver: Receiver) -> None:
    new = f"whsec_{'A' * 43}="
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    (notifying.folder / "secret").write_text(f"{new}\n{SECRET}\n")
    planner = notifying.planner()
    notifying.emit(drift())
    planner.once()
    with notifying.sending():
        sent(notifying)
    assert receiver.received[0].is_signed()
    assert receiver.received[0].is_signed(bytes(32))


@on_sqlite
def test_apprise_takes_it_and_shows_no_secret(
    notifying: Notifying, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAT_URL", f"json://ann:hunter2secret@127.0.0.1:{receiver.port}/tokenpart/chat")
    (notifying.folder / "refusing").write_text(f"json://127.0.0.1:{receiver.port}/othertoken/refusing\n")
    receiver.status["/othertoken/refusing"] = 500
    notifying.write(
        {"chat": {"apprise": {"env": "CHAT_URL"}}, "refusing": {"apprise": {"file": "refusing"}}},
        {"target": "chat"},
        {"target": "refusing"},
    )
    planner = notifying.planner()
    notifying.emit(drift(reason="a <b>reason</b>"))
    assert planner.once() == 2
    with notifying.sending():
        sent(notifying)
        eventually(lambda: any(each.last_reply and each.target == "refusing" for each in messages(notifying)))
    (received,) = receiver.at("/tokenpart/chat")
    assert received.json["title"] == "[warning] flights v3: drift of its data"
    assert "a <b>reason</b>" in received.json["message"]
    assert "https://gauntlet.example/console/models/flights/drift" in received.json["message"]
    failed = next(each for each in messages(notifying) if each.target == "refusing")
    assert failed.state == "waiting"
    assert "JSON" in (failed.last_reply or "")
    captured = capfd.readouterr()
    for shown in (*(each.last_reply or "" for each in messages(notifying)), captured.out, captured.err):
        assert "hunter2secret" not in shown
        assert "token" not in shown


@on_sqlite
def test_a_mail_is_html_in_which_foreign_text_is_text(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    with mail_server() as server:
        monkeypatch.setenv(
            "MAIL_URL", f"mailto://127.0.0.1:{server.port}?from=gauntlet@example.org&to=team@example.org"
        )
        notifying.write({"mail": {"apprise": {"env": "MAIL_URL"}}}, {"target": "mail"})
        planner = notifying.planner()
        notifying.emit(drift(reason="<b>not bold</b> & more"))
        planner.once()
        with notifying.sending():
            sent(notifying)
    (mail,) = server.mails
    assert mail["Subject"] == "[warning] flights v3: drift of its data"
    assert mail["To"] == "team@example.org"
    body = mail.get_body(("html",))
    assert body is not None
    html = body.get_content()
    assert "&lt;b&gt;not bold&lt;/b&gt; &amp; more" in html
    assert '<a href="https://gauntlet.example/console/models/flights/drift">' in html


@on_sqlite
def test_a_target_that_was_down_gets_everything_once(
    notifying: Notifying, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gatekeeper.policy.notifications.retrying.FIRST", timedelta(seconds=0.2))
    monkeypatch.setattr("gatekeeper.policy.notifications.retrying.LONGEST", timedelta(seconds=0.4))
    port = free_port()
    notifying.write(
        {"down": f"http://127.0.0.1:{port}/x", "up": receiver.url("/up")}, {"target": "down"}, {"target": "up"}
    )
    planner = notifying.planner()
    notifying.emit(*(drift(number) for number in range(5)))
    assert planner.once() == 10
    with notifying.sending():
        eventually(lambda: len(receiver.at("/up")) == 5, timeout=20)
        eventually(lambda: any(each.attempts > 1 for each in messages(notifying)), timeout=20)
        with receiving(port) as later:
            sent(notifying, 10)
    assert set(told(later.received).values()) == {1}
    assert len(later.received) == 5
    with notifying.database.reading() as session:
        tried = [stored.attempts_of(session, each.id) for each in messages(notifying) if each.target == "down"]
    assert any(len(each) > 1 for each in tried)
    assert all([log.delivered for log in each] == [False] * (len(each) - 1) + [True] for each in tried)


@on_sqlite
def test_a_target_that_hangs_is_cut_off_and_delays_no_other(
    notifying: Notifying, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By webhook and by apprise, whose thread cannot be ended: no second one is made beside it."""
    monkeypatch.setenv("HANGING", f"json://127.0.0.1:{receiver.port}/hangs-too?rto=50&cto=50")
    monkeypatch.setattr("gatekeeper.policy.notifications.retrying.FIRST", timedelta(seconds=0.2))
    receiver.hangs |= {"/hangs", "/hangs-too"}
    notifying.write(
        {"hook": receiver.url("/hangs"), "chat": {"apprise": {"env": "HANGING"}}, "good": receiver.url("/good")},
        {"target": "hook"},
        {"target": "chat"},
        {"target": "good"},
    )
    planner = notifying.planner()
    notifying.emit(*(drift(number) for number in range(20)))
    assert planner.once() == 60

    def replies() -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        with notifying.database.reading() as session:
            for each in messages(notifying):
                found.setdefault(each.target, set()).update(log.reply for log in stored.attempts_of(session, each.id))
        return found

    def both_cut_off() -> bool:
        found = replies()
        return "no reply within 1 s" in found["hook"] and any("has not ended" in each for each in found["chat"])

    with notifying.sending(timeout=1):
        eventually(lambda: len(receiver.at("/good")) == 20, timeout=20)
        eventually(both_cut_off, timeout=30)
        assert len(receiver.at("/hangs-too")) == 1
        receiver.hangs.clear()
        receiver.release.set()
        eventually(lambda: len([each for each in messages(notifying) if each.state == "sent"]) == 60, timeout=60)
    assert set(told(receiver.at("/hangs")).values()) == {1}


@on_sqlite
def test_a_redirect_is_not_followed_and_gone_is_given_up(notifying: Notifying, receiver: Receiver) -> None:
    receiver.status |= {"/moved": 307, "/gone": 410}
    receiver.location = receiver.url("/elsewhere")
    notifying.write(
        {"moved": receiver.url("/moved"), "gone": receiver.url("/gone")}, {"target": "moved"}, {"target": "gone"}
    )
    planner = notifying.planner()
    notifying.emit(drift())
    planner.once()
    with notifying.sending():
        eventually(lambda: all(each.last_reply for each in messages(notifying)))
    moved, gone = sorted(messages(notifying), key=lambda each: each.target, reverse=True)
    assert (moved.state, gone.state) == ("waiting", "failed")
    assert "not followed" in (moved.last_reply or "")
    assert not receiver.at("/elsewhere")


@on_sqlite
def test_what_is_given_up_is_shown_and_sent_again_on_request(notifying: Notifying, receiver: Receiver) -> None:
    receiver.status["/hook"] = 500
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    planner = notifying.planner()
    notifying.emit(drift())
    planner.once()
    with notifying.database.transaction() as session:
        session.execute(update(NotificationMessageRow).values(attempts=13))  # the last attempt follows
    with notifying.sending():
        eventually(lambda: messages(notifying)[0].state == "failed")
        with notifying.database.reading() as session:
            (failed,) = stored.failed_messages(session)
        receiver.status.clear()
        with notifying.database.transaction() as session:
            assert stored.send_again(session, failed.id, datetime.now(UTC)) is not None
        (again,) = sent(notifying)
    assert [each.id for each in receiver.received] == [again.id, again.id]
    with notifying.database.transaction() as session:
        assert stored.send_again(session, again.id, datetime.now(UTC)) is None


@on_sqlite
def test_fifty_windows_are_one_message(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook", "group": "1s"})
    planner = notifying.planner()
    notifying.emit(*(drift(number, ratio=1 + number % 30) for number in range(50)), promoted())
    assert planner.once() == 51
    with notifying.sending():
        sent(notifying, 2)
    critical, group = sorted(receiver.received, key=lambda each: each.json["severity"])
    assert critical.json["count"] == 1
    assert (group.json["count"], len(group.json["events"])) == (50, 50)
    assert group.json["title"].startswith("[warning] flights: 50 events")
    assert "temp: 3 (limit 0.1)" in group.json["text"], "the figures of the worst"


@on_sqlite
def test_what_quiet_hours_held_comes_as_one_message_and_critical_at_once(
    notifying: Notifying, receiver: Receiver
) -> None:
    night = {"from": "22:00", "to": "07:00", "time_zone": "Europe/Berlin"}
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook", "quiet_hours": night})
    now = datetime(2026, 3, 28, 22, tzinfo=UTC)  # 23:00 in Berlin; in this night the clocks go forward
    planner = notifying.planner(clock=lambda: now)
    notifying.emit(drift(1), drift(2, model_name="churn"), promoted(), time=now + timedelta(seconds=1))
    assert planner.once() == 3
    with notifying.sending():
        sent(notifying, 2)  # by this machine's clock, the morning is over
    held = next(each for each in messages(notifying) if each.group == "held")
    assert (held.due_at, held.events, held.model_name) == (datetime(2026, 3, 29, 5, tzinfo=UTC), 2, None)
    at_once = next(each for each in messages(notifying) if each.critical)
    assert at_once.due_at == now
    together = next(each for each in receiver.received if each.id == held.id)
    assert {event["model_name"] for event in together.json["events"]} == {"flights", "churn"}


@on_sqlite
def test_the_past_is_not_told(notifying: Notifying, receiver: Receiver) -> None:
    notifying.emit(drift(1), time=datetime.now(UTC) - timedelta(minutes=1))
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    planner = notifying.planner()
    notifying.emit(drift(2), time=datetime.now(UTC) - timedelta(minutes=1))  # as when the log is filled from the topics
    assert planner.once() == 0
    notifying.emit(drift(3))
    assert planner.once() == 1
    notifying.write({"hook": receiver.url("/hook")}, {"name": "later", "target": "hook"})
    later = notifying.planner()
    notifying.emit(drift(4))
    assert later.once() == 1


@on_sqlite
def test_a_log_that_is_emptied_and_filled_again_tells_nothing_twice(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    planner = notifying.planner()
    notifying.emit(drift(1), event_id="one")
    notifying.emit(drift(2), event_id="two")
    assert planner.once() == 2
    with notifying.database.transaction() as session:
        for row in session.scalars(select(EventLogRow)):
            session.delete(row)
    planner.once()
    notifying.emit(drift(1), event_id="one")
    notifying.emit(drift(3), event_id="three")
    assert planner.once() == 1


@on_sqlite
def test_a_file_that_is_taken_away_begins_anew(notifying: Notifying, receiver: Receiver) -> None:
    """Notifications were off: what happened meanwhile is the past."""
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    notifying.planner()
    notifying.path.unlink()
    assert notifying.planner().once() == 0
    notifying.emit(drift())
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    assert notifying.planner().once() == 0


@taking_turns("point", *POINTS)
def test_a_gatekeeper_that_is_killed_tells_everything(notifying: Notifying, receiver: Receiver, point: str) -> None:
    """A message may come a second time only if it was taken and that could not be recorded, and with the same id."""
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    notifying.planner()
    notifying.emit(*(drift(number) for number in range(3)))
    with notifier(notifying, "first", point) as process:
        eventually(lambda: process.poll() == -9, timeout=30)
    with notifier(notifying, "second"):
        sent(notifying, 3)
    assert set(told(receiver.received).values()) == {1}
    assert len(told(receiver.received)) == 3
    times = Counter(each.id for each in receiver.received)
    assert sorted(times.values()) == ([1, 1, 2] if point == "after_sending" else [1, 1, 1])


@on_postgres
def test_two_gatekeepers_tell_each_event_once(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write({"a": receiver.url("/a"), "b": receiver.url("/b")}, {"target": "a"}, {"target": "b"})
    notifying.planner()
    with (
        notifying.sending(owner="one", planning=True),
        notifying.sending(owner="two", planning=True),
    ):
        threads = [
            threading.Thread(target=lambda: [notifying.emit(drift(number)) for number in range(20)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        sent(notifying, 160)
    assert len(receiver.at("/a")) == len(receiver.at("/b")) == 80
    assert set(told(receiver.at("/a")).values()) == {1}
    with notifying.database.reading() as session:
        assert len(list(session.scalars(select(NotificationRow.id)))) == 160


@on_sqlite
def test_an_event_this_build_cannot_read_does_not_stop_the_others(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write({"hook": receiver.url("/hook")}, {"target": "hook"})
    planner = notifying.planner()
    notifying.emit(drift(1))
    with notifying.database.transaction() as session:
        session.execute(update(EventLogRow).values(data={"model_name": "flights", "kind": "data"}))
    notifying.emit(drift(2))
    assert planner.once() == 1


@on_sqlite
def test_a_secret_that_is_missing_is_named_and_not_shown(notifying: Notifying, receiver: Receiver) -> None:
    notifying.write(
        {"a": {"apprise": {"env": "NOT_SET_HERE"}}, "b": {"webhook": receiver.url("/b"), "secret": {"file": "wrong"}}},
        {"target": "a"},
        {"target": "b"},
    )
    (notifying.folder / "wrong").write_text("plain-text-key")
    planner = notifying.planner()
    notifying.emit(drift())
    planner.once()
    with notifying.sending():
        eventually(lambda: all(each.last_reply for each in messages(notifying)))
    replies = {each.target: each.last_reply or "" for each in messages(notifying)}
    assert "NOT_SET_HERE" in replies["a"]
    assert "whsec_" in replies["b"]
    assert "plain-text-key" not in replies["b"]
    assert not receiver.received
