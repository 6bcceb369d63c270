"""How the demo tells its story: steps, rows, requests; without a stack."""

from __future__ import annotations

import io
import json
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from gauntlet.broker import Broker
from gauntlet.demo import churn
from gauntlet.demo.checks import StepFailed
from gauntlet.demo.feed import Feed
from gauntlet.demo.site import Site, own_config
from gauntlet.demo.story import Skipped, Step, Story
from gauntlet.demo.traffic import Pace, Tally, Traffic, versions_of
from gauntlet.errors import CliError
from support.cli import gauntlet

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def fails() -> str:
    raise StepFailed("seen 2, expected 1")


def skips() -> str:
    raise Skipped("out of reach")


def story() -> tuple[Story, io.StringIO]:
    out = io.StringIO()
    return Story(Console(file=out, width=200)), out


def test_a_true_story_shows_what_was_seen_and_a_skipped_step_why() -> None:
    told, out = story()
    assert told.play([Step("the first", lambda: "seen 1"), Step("the second", skips)])
    assert [played.state for played in told.played] == ["done", "skipped"]
    assert "seen 1" in out.getvalue()
    assert "not played: out of reach" in out.getvalue()


def test_a_step_that_is_not_true_ends_the_story() -> None:
    told, out = story()
    assert not told.play([Step("the first", fails), Step("the second", lambda: "never")])
    assert [played.state for played in told.played] == ["failed"]
    assert "seen 2, expected 1" in out.getvalue()


def test_an_error_of_the_command_line_fails_the_step_with_its_hint() -> None:
    def away() -> str:
        raise CliError("no answer", "start it")

    told, out = story()
    assert not told.play([Step("the first", away)])
    assert "no answer start it" in out.getvalue()


def test_the_summary_has_a_line_a_step() -> None:
    told, out = story()
    told.play([Step("the first", lambda: "seen [1]"), Step("the second", fails)])
    Console(file=out, width=200).print(told.summary())
    assert out.getvalue().count("seen [1]") == 2  # markup of a value is not interpreted


def test_a_tally_knows_when_answers_changed_their_version() -> None:
    tally = Tally()
    for second, version in enumerate([1, 1, 2, 2]):
        tally.answered([version] * 4, NOW + timedelta(seconds=second))
    tally.failed("503", expected=False)
    tally.failed("504", expected=True)
    assert (tally.requests, tally.rows, tally.failures, tally.expected) == (6, 16, ["503"], ["504"])
    assert tally.rows_by_version == {1: 8, 2: 8}
    assert tally.switches == [(1, 2, NOW + timedelta(seconds=2))]


def test_an_answer_of_several_versions_is_no_switch() -> None:
    tally = Tally()
    for second, versions in enumerate([[1, 1], [1, 2], [2, 1], [1, 1], [2, 2]]):
        tally.answered(versions, NOW + timedelta(seconds=second))
    assert tally.rows_by_version == {1: 6, 2: 4}
    assert tally.switches == [(1, 2, NOW + timedelta(seconds=4))]


def test_the_version_of_a_row_is_its_own_or_that_of_the_response() -> None:
    assert versions_of({"model_version": 1, "predictions": [{"label": 0}, {"label": 1, "model_version": 2}]}) == [1, 2]


def test_a_key_of_the_demos_own_policy_is_replaced_with_its_lines(tmp_path: Path) -> None:
    policy = tmp_path / "m.yaml"
    policy.write_text("model: m\nstrategy:\n  - shadow: {}\n  - canary: {}\n# watched\nwatch: on\n")
    site = Site({}, "", cast(Broker, None), tmp_path, policies=tmp_path)
    site.set_policy("m", "strategy", "{canary: {bake: 5s}}")
    site.set_policy("m", "watch", "off")
    assert policy.read_text().split() == ["model:", "m", "strategy:", "{canary:", "{bake:", "5s}}", "watch:", "off"]
    with pytest.raises(Skipped):
        Site({}, "", cast(Broker, None), tmp_path).set_policy("m", "strategy", "direct")


@pytest.fixture
def feed(tmp_path: Path) -> Feed:
    """Five rows, printed by another program in the place of examples.rows."""
    made = Feed("flights", "2013-06", {})
    program = "import json\nfor n in range(5): print(json.dumps({'row': {'n': n}, 'label': n % 2}))"
    made._command = [sys.executable, "-c", program]
    made.start()
    return made


def test_rows_come_in_order_and_begin_again_when_they_are_used_up(feed: Feed) -> None:
    assert [row.sent["n"] for row in feed.peek(2)] == [0, 1]
    assert [row.sent["n"] for row in feed.take(3)] == [0, 1, 2]
    assert [row.sent["n"] for row in feed.take(3)] == [3, 4]
    assert feed.rounds == 0
    assert [(row.sent["n"], row.label) for row in feed.take(2)] == [(0, 0), (1, 1)]
    assert feed.rounds == 1
    feed.stop()


def test_a_window_that_is_not_there_fails_with_the_examples_own_words() -> None:
    feed = Feed("flights", "2014-01", {})
    feed.start()
    with pytest.raises(StepFailed, match="no window '2014-01'"):
        feed.take(1)
    feed.stop()


class Endpoint(BaseHTTPRequestHandler):
    """Answers with version 1 twice, refuses once, then answers with version 2."""

    count = 0

    def do_POST(self) -> None:
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["rows"]
        Endpoint.count += 1
        refused = Endpoint.count == 3
        version = 1 if Endpoint.count < 3 else 2
        body: dict[str, Any] = {"model_version": version, "request_id": f"r{Endpoint.count}"}
        body["predictions"] = [{"label": 0}] * len(rows)
        payload = json.dumps({"title": "too much load"} if refused else body).encode()
        self.send_response(503 if refused else 200)
        self.send_header("content-length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: object) -> None:
        return


def test_traffic_counts_every_request_and_the_truth_follows_each_answer(feed: Feed) -> None:
    server = HTTPServer(("127.0.0.1", 0), Endpoint)
    Thread(target=server.serve_forever, daemon=True).start()
    truths: list[tuple[str, list[int]]] = []
    truth: Any = SimpleNamespace(follows=lambda request, labels: truths.append((request, labels)))
    traffic = Traffic(feed, f"http://127.0.0.1:{server.server_port}", "m", truth)
    traffic.pace = Pace(rows=2, per_second=100)
    began = datetime.now(UTC)
    try:
        traffic.start()
        first = traffic.first_answer(2, began, seconds=10)
        assert began <= first <= datetime.now(UTC)
        assert traffic.switches(began) == [(1, 2)]
        assert len(traffic.failures) == 1
        assert "answered 503: too much load" in traffic.failures[0]
        with pytest.raises(StepFailed, match="v3 did not answer within"):
            traffic.first_answer(3, began, seconds=0.1)
    finally:
        traffic.stop()
        server.shutdown()
        server.server_close()
        feed.stop()
    assert truths[:2] == [("r1", [0, 1]), ("r2", [0, 1])]
    assert "r3" not in dict(truths)


def test_the_demo_does_not_empty_a_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("mine")
    with pytest.raises(CliError, match="is not empty and was not made by `gauntlet demo`"):
        own_config(tmp_path / "demo", tmp_path, {})
    assert (tmp_path / "demo" / "thesis.txt").exists()


def test_the_demo_begins_with_an_empty_folder_of_its_own(tmp_path: Path) -> None:
    own_config(tmp_path / "demo", tmp_path, {})
    (tmp_path / "demo" / "left.over").touch()
    config = own_config(tmp_path / "demo", tmp_path, {"CHURN_DATA_DIR": "x"})
    assert not (tmp_path / "demo" / "left.over").exists()
    assert config.environment["CHURN_DATA_DIR"] == "x"
    assert len(set(config.ports.values())) == 7


def test_snapshots_are_found_in_order_and_their_absence_is_explained(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="holds no snapshot"):
        churn.snapshots(tmp_path)
    with pytest.raises(CliError, match="is not a folder"):
        churn.snapshots(tmp_path / "nowhere")
    for name in ("month_001", "month_000", "other"):
        (tmp_path / name).mkdir()
    assert churn.snapshots(tmp_path) == ["month_000", "month_001"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "x"], "--data is for --example churn"),
        (["--keep", "--stack"], "--keep is for the demo's own stack"),
        (["--example", "churn", "--data", "nowhere"], "nowhere is not a folder"),
        (["--example", "trains"], "'trains' is not one of"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_starts(arguments: list[str], message: str) -> None:
    ended = gauntlet("demo", *arguments)
    assert ended.code != 0
    assert message in ended.err.replace("\n", " ")


def test_a_stack_that_does_not_answer_is_an_error_that_names_its_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    ended = gauntlet("demo", "--stack", "--data-dir", str(tmp_path))
    assert ended.code == 1
    assert "127.0.0.1:1" in ended.out
