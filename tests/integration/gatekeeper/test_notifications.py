"""A gatekeeper tells people: from an event on Kafka to a receiver, and what the command line shows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from contracts import TrainingFailed
from support.bus_client import BusClient
from support.cli import gauntlet, ok
from support.databases import on_sqlite
from support.gatekeepers import Gatekeepers
from support.notifying import SECRET, Receiver, receiving
from support.waiting import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def write(folder: Path, receiver: Receiver, **subscription: Any) -> None:
    (folder / "secret").write_text(SECRET)
    content = {
        "targets": {
            "hook": {"webhook": receiver.url("/hook"), "secret": {"file": "secret"}},
            "chat": {"apprise": {"env": "TEAM_CHAT_URL"}},
        },
        "subscriptions": [{"name": "team", "target": "hook", **subscription}],
    }
    (folder / "notifications.yaml").write_text(yaml.safe_dump(content))


@on_sqlite
def test_from_an_event_to_a_message(gatekeepers: Gatekeepers, own_bus: BusClient, receiver: Receiver) -> None:
    """The file lies beside the folder of policies; it is taken up when it comes, and again when it changes."""
    chat = f"json://127.0.0.1:{receiver.port}/very-secret-token"
    gatekeepers.start_ready(TEAM_CHAT_URL=chat, GATEKEEPER_PUBLIC_URL="https://gauntlet.example/")
    here = ("--gatekeeper", gatekeepers.url())
    assert "holds none" in ok("notifications", "list", *here).out

    write(gatekeepers.folder, receiver, events=["TrainingFailed"], models=["team-*"])
    eventually(lambda: ok("notifications", "list", "--json", *here).json["targets"], timeout=20)
    own_bus.publish(TrainingFailed(model_name="other", job_id="j1", reason="not for them"))
    number = 0

    def told() -> list[Any]:
        nonlocal number  # an event from before the subscription's begin is not told, and nobody sees when that was
        number += 1
        own_bus.publish(TrainingFailed(model_name="team-flights", job_id=f"j{number}", reason="no rows"))
        return receiver.at("/hook")

    eventually(told, timeout=30)
    first = receiver.at("/hook")[0]
    assert first.is_signed()
    assert first.json["title"] == "[warning] team-flights: a training failed"
    assert first.json["link"] == "https://gauntlet.example/console/operations"
    listed = ok("notifications", "list", "--json", *here).json
    assert {each["model_name"] for each in listed["notifications"]} == {"team-flights"}
    assert "team-flights: a training failed" in ok("notifications", "list", "--state", "sent", *here).out

    assert "chat has taken it: JSON: taken" in ok("notifications", "test", "chat", *here).out
    assert "test of the target chat" in receiver.at("/very-secret-token")[0].json["title"]
    receiver.status["/hook"] = 503
    refused = gauntlet("notifications", "test", "hook", *here)
    assert (refused.code, "503" in refused.err) == (1, True)
    unknown = gauntlet("notifications", "test", "pager", *here)
    assert "known: chat, hook" in unknown.err

    told()

    def waiting() -> list[Any]:
        found: list[Any] = ok("notifications", "list", "--state", "waiting", "--json", *here).json["notifications"]
        return [each for each in found if each["last_reply"]]

    (late, *_) = eventually(waiting, timeout=20)
    assert "503" in late["last_reply"]
    receiver.status.clear()
    assert "is sent to hook again" in ok("notifications", "retry", late["id"], *here).out
    eventually(lambda: any(each.id == late["id"] and each.json for each in receiver.at("/hook")[-3:]), timeout=20)
    shown = eventually(lambda: _sent(gatekeepers, late["id"]), timeout=20)
    assert [each["delivered"] for each in shown["log"]][-1] is True
    assert "already sent" in gauntlet("notifications", "retry", late["id"], *here).err
    assert "no such notification" in gauntlet("notifications", "retry", "msg_none", *here).err

    def metrics() -> str:
        return gatekeepers.client.get(f"{gatekeepers.url()}/metrics").text

    eventually(lambda: 'gauntlet_notifications_waiting{target="hook"} 0.0' in metrics(), timeout=20)
    assert 'gauntlet_notifications_sent_total{target="hook"}' in metrics()
    assert 'gauntlet_notifications_attempts_failed_total{target="hook"} ' in metrics()

    (gatekeepers.folder / "notifications.yaml").write_text("targets: {hook: {webhok: x}}")
    broken = eventually(lambda: ok("notifications", "list", "--json", *here).json["problem"], timeout=20)
    assert "notifications.yaml:1" in broken
    assert "did you mean 'webhook'?" in broken
    assert "not in force" in gauntlet("notifications", "list", *here).err
    everything = gatekeepers.log() + json.dumps(ok("notifications", "list", "--json", *here).json)
    assert "very-secret-token" not in everything


def _sent(gatekeepers: Gatekeepers, message_id: str) -> Any:
    shown = gatekeepers.get(f"/notifications/{message_id}")
    return shown if shown["state"] == "sent" else None
