"""`gauntlet notifications check`: a mistake is named with line and nearest word; a good file is said in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cli import gauntlet, ok

ROOT = Path(__file__).parents[3]
GOOD = """\
targets:
  chat: {apprise: {env: CHAT_URL}}
  pager:
    webhook: https://example.org/hook
    secret: {file: pager-secret}
subscriptions:
  - name: team
    target: chat
    models: ["flights-*"]
    events: [Promoted, GateFailed]
    severity: info
    group: 5m
    quiet_hours: {from: "22:00", to: "07:00", time_zone: Europe/Berlin}
    rate: {messages: 20, per: 1h}
    escalate: {before: 2h, target: pager}
"""


def write(text: str) -> str:
    Path("notifications.yaml").write_text(text)
    return "notifications.yaml"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_good_file_is_said_in_words() -> None:
    out = " ".join(ok("notifications", "check", write(GOOD)).out.split())
    for words in (
        "notifications.yaml is valid",
        "the gatekeeper's environment variable CHAT_URL",
        "posted to https://example.org/hook, signed with the secret in the file pager-secret",
        "chat is told of Promoted, GateFailed of models flights-*.",
        "within 5m come as one message",
        "From 22:00 to 07:00 (Europe/Berlin) messages are held, except critical ones",
        "At most 20 messages in 1h",
        "pager is told 2h before an approval expires",
    ):
        assert words in out
    assert ok("notifications", "check", write(GOOD), "--json").json["settings"]["subscriptions"][0]["name"] == "team"


def test_the_example_and_that_of_the_how_to_are_valid() -> None:
    ok("notifications", "check", str(ROOT / "deploy" / "notifications.example.yaml"))
    page = (ROOT / "docs" / "how-to" / "notifications.md").read_text()
    ok("notifications", "check", write(page.split("```yaml\n")[1].split("```")[0]))


def test_an_empty_file_tells_nobody() -> None:
    assert "Nobody is told anything" in ok("notifications", "check", write("targets: {}\n")).out


@pytest.mark.parametrize(
    ("right", "wrong", "line", "named"),
    [
        ("group: 5m", "grup: 5m", 12, "unknown key; did you mean 'group'?"),
        ("group: 5m", "group: 5", 12, "a duration needs its unit"),
        ("env: CHAT_URL", "envv: CHAT_URL", 2, "did you mean 'env'?"),
        ("env: CHAT_URL", "env: CHAT_URL, file: x", 2, "either env or file"),
        ("[Promoted, GateFailed]", "[Promoted, GateFaild]", 10, "did you mean 'GateFailed'?"),
        ("[Promoted, GateFailed]", "[Promoted, PredictionMade]", 10, "PredictionMade"),
        ("severity: info", "severity: criticl", 11, "did you mean 'critical'?"),
        ("    target: chat", "    target: chta", 8, "no target 'chta'; did you mean 'chat'?"),
        ("target: pager}", "target: pger}", 15, "did you mean 'pager'?"),
        ('from: "22:00"', "from: 22:00", 13, 'expected for example "22:00"'),
        ('to: "07:00"', 'to: "22:00"', 13, "the same time"),
        ("Europe/Berlin", "Europe/Berln", 13, "no time zone 'Europe/Berln'"),
        ("    secret: {file: pager-secret}\n", "", 3, "a webhook needs a secret"),
        ("https://example.org/hook", "ftp://example.org/hook", 3, "https://"),
        ("https://example.org/hook", "https://ann:word@example.org/hook", 3, "no user, password or fragment"),
        ("messages: 20", "messages: 0", 14, "greater than or equal to 1"),
        ("  - name: team", "  - name: team\n    target: chat\n  - name: team", 9, "a second subscription"),
    ],
)
def test_a_mistake_is_named_with_its_line(right: str, wrong: str, line: int, named: str) -> None:
    assert right in GOOD
    ended = gauntlet("notifications", "check", write(GOOD.replace(right, wrong, 1)))
    assert ended.code == 1
    assert f"notifications.yaml:{line}:" in ended.err
    assert named in ended.err
