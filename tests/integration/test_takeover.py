"""This version takes over what an earlier one has left: databases, caches, topics, work under way. One stack for all.

The archive is a stack of version 0.1 with everything it answered: tests/data/README.md. Nothing of its consumer groups'
offsets is kept, so every event it has ever handled comes again.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from chassis.settings import KafkaSettings
from chassis.topics import ensure_topics
from embedded_kafka import EmbeddedKafka
from embedded_kafka.probe import taken
from gauntlet.stack_config import offset_ports
from support.cli import ok
from support.takeover import archive, topics
from support.takeover.answers import Asked
from support.takeover.topics import Kept
from support.waiting import eventually

ARCHIVE = Path(__file__).parents[1] / "data" / "stack-0.1.tar.xz"
FOR_EVER = "100000d"
"""The recorded labels are older than what is waited for, soon enough."""
UNDER_WAY = ("segments", 2)
"""Its gates ran when the stack was stopped."""


@dataclass(frozen=True)
class TakenOver:
    """A stack of this version on what is left of the earlier one; `recorded` is what that one answered."""

    asked: Asked
    data_dir: Path
    bootstrap_servers: str
    prefix: str
    before: tuple[Kept, ...]
    recorded: dict[str, Any]

    def since(self, *names: str) -> list[Kept]:
        """The records on these topics that are not the earlier version's."""
        known = {(each.topic, each.partition, each.offset) for each in self.before}
        found = topics.read(self.bootstrap_servers, self.prefix)
        return [
            each for each in found if (each.topic, each.partition, each.offset) not in known and each.topic in names
        ]

    def answers(self, name: str, version: int, epoch: int) -> bool:
        found = self.asked.loaded("serving").get(name, {})
        return (found.get("model_version"), found.get("epoch")) == (version, epoch)

    def ok(self, *args: str) -> Any:
        return ok(*args, "--data-dir", str(self.data_dir))


@pytest.fixture(scope="module")
def stack(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TakenOver]:
    folder, prefix = tmp_path_factory.mktemp("takeover"), f"t{uuid4().hex[:8]}."
    archive.unpack(ARCHIVE, folder)
    before, data_dir = tuple(archive.topics(folder)), folder / "data"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)  # its own, in the data directory
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "TOPIC_PREFIX": prefix,
            "POLICIES_DIR": str(folder / "policies"),
            "TRAINER_RECIPE_PATH": str(folder / "recipes"),
            "GATEKEEPER_TIMING_SECONDS": "1",
            "DRIFT_PUBLIC_URL": "http://drift.example",
            "DRIFT_LABEL_MATURITY": FOR_EVER,
            "DRIFT_LABEL_RETENTION": FOR_EVER,
        }
        for name, value in settings.items():
            patch.setenv(name, value)
        ensure_topics(KafkaSettings())
        topics.publish(kafka.bootstrap_servers, prefix, before)
        try:
            up = ("up", "--data-dir", str(data_dir), "--port-offset", free_offset(), "--detach")
            started = subprocess.run(
                [sys.executable, "-m", "gauntlet", *up], capture_output=True, text=True, check=False
            )
            assert started.returncode == 0, started.stderr
            parts = ok("status", "--json", "--data-dir", str(data_dir)).json["parts"]
            asked = Asked({part["name"]: part["url"] for part in parts})
            yield TakenOver(asked, data_dir, kafka.bootstrap_servers, prefix, before, archive.recorded(folder))
            asked.close()
        finally:
            down = ("down", "--data-dir", str(data_dir))
            subprocess.run([sys.executable, "-m", "gauntlet", *down], capture_output=True, check=False)


def free_offset() -> str:
    offsets = iter(lambda: random.randrange(1_000, 20_000), 0)
    return str(next(each for each in offsets if not any(taken(port) for port in offset_ports(each).values())))


POLICIES = Path(archive.__file__).parent / "policies"

OF_LATER_BUILDS = {"drift.rollouts", "gatekeeper.benchmarks", "gatekeeper.event-log", "gatekeeper.rollout-measures"}
"""Groups that the old build did not have: of topics of later events, and of the log of all events."""


class TestTakenOver:
    """In this order: predictions fill windows of drift, and the last ones change something."""

    def test_no_event_has_an_effect_a_second_time(self, stack: TakenOver) -> None:
        """Every one comes again, and the groups are the same as before: a group of another name starts anew, too."""

        def all_read() -> bool:
            behind = topics.groups(stack.bootstrap_servers, stack.prefix)
            assert sorted(behind.keys() - OF_LATER_BUILDS) == stack.recorded["groups"]
            return not any(behind.values())

        eventually(all_read, timeout=60)
        past, now = stack.recorded["past"], stack.asked.past()
        assert now["promotions"] == past["promotions"]
        assert now["trainings"] == past["trainings"]
        drift = _of_the_champion(_with_defaults_of_now(past["drift"]))
        assert _as_then(now["drift"], drift) == drift
        assert _as_then(now["windows"], past["windows"]) == past["windows"]
        again = [row for row in now["audit"] if row["sequence"] <= past["audit_proof"]["rows"]]
        assert again == past["audit"]
        own = {(row["model_name"], row["model_version"]) for row in now["audit"] if row not in again}
        assert own <= {UNDER_WAY}
        emitted = stack.since(
            "drift-detected", "model-registered", "training", "promoted", "gate-passed", "gate-failed"
        )
        assert [each for each in emitted if each.key != UNDER_WAY[0].encode()] == []

    def test_every_model_is_answered_with_its_champion_as_before(self, stack: TakenOver) -> None:
        for name, expected in stack.recorded["predictions"].items():
            assert stack.answers(name, expected["model_version"], expected["epoch"])
        found = stack.asked.predictions()
        assert _flat(found) == pytest.approx(_flat(stack.recorded["predictions"]), abs=1e-9)

    @pytest.mark.parametrize("part", ["serving", "staging"])
    def test_models_are_served_in_the_same_forms(self, stack: TakenOver, part: str) -> None:
        """A form that was written in an older format is not opened, the model is compiled again, and proven again."""
        before = stack.recorded["loaded"][part]
        if part == "staging":
            before = {name: self._in_staging(stack, name, each) for name, each in before.items()}
        same = ("model_version", "epoch", "artifact_digest", "alias", "desired_version", "last_failure")
        forms = {name: each["form"]["name"] for name, each in before.items()}

        def found() -> dict[str, Any]:
            loaded = stack.asked.loaded(part)
            assert {name: each["form"]["name"] for name, each in loaded.items()} == forms
            return loaded

        loaded = eventually(found)
        for name, expected in before.items():
            assert {key: loaded[name][key] for key in same} == {key: expected[key] for key in same}
            parity = loaded[name]["form"]["parity"]
            assert parity["labels_differ"] == 0 and parity["largest_difference"] <= parity["tolerance"]

    def _in_staging(self, stack: TakenOver, name: str, before: dict[str, Any]) -> dict[str, Any]:
        """Then, staging kept a version that passed, whatever was promoted since; now it has the champion then."""
        model = stack.recorded["past"]["models"][name]
        wanted = model["challenger"] or model["champion"]
        if wanted["model_version"] == before["model_version"]:
            return before
        return {**stack.recorded["loaded"]["serving"][name], "alias": before["alias"], "epoch": before["epoch"]}

    def test_what_was_a_dead_letter_is_the_same_dead_letter(self, stack: TakenOver) -> None:
        letters = {each.key for each in stack.before if each.topic == "dead-letters"}
        assert len(letters) == 3
        assert {each.key for each in stack.since("dead-letters")} <= letters
        listed = stack.ok("dead-letters", "list", "--json").json
        assert {each["id"].encode() for each in listed} == letters

    def test_verdicts_are_shown_as_they_were(self, stack: TakenOver) -> None:
        for name, version, expected in _verdicts(stack.recorded):
            path = f"/models/{name}/candidates/{version}"
            assert _as_then(stack.asked.get("gatekeeper", path), expected["shown"]) == expected["shown"]
            assert _content(stack.asked.get("gatekeeper", f"{path}/report")) == _content(expected["page"])

    def test_models_are_as_they_were(self, stack: TakenOver) -> None:
        for name, expected in stack.recorded["past"]["models"].items():
            # A policy has more keys by now, whose defaults are part of its digest.
            news = {"replicas", "policy_digest"} | ({"candidates", "challenger"} if name == UNDER_WAY[0] else set())
            found = _as_then(stack.asked.get("gatekeeper", f"/models/{name}"), expected)
            assert {k: v for k, v in found.items() if k not in news} == {
                k: v for k, v in expected.items() if k not in news
            }

    def test_verdicts_are_reached_again_to_the_last_digit(self, stack: TakenOver) -> None:
        outcomes = set()
        for name, version, expected in _verdicts(stack.recorded):
            found = stack.asked.post("gatekeeper", f"/models/{name}/candidates/{version}/replay", {})
            assert found["agrees"] and found["differences"] == []
            then = _without(expected["replayed"], "versions")
            assert _as_then(_without(found, "versions"), then) == then
            assert found["rollouts"] == []
            outcomes.add(found["now"])
        assert outcomes == {"Passed", "Failed"}

    def test_tournaments_are_played_again_to_the_last_digit(self, stack: TakenOver) -> None:
        expected = stack.recorded["past"]["golden"]
        for name, then in expected.items():  # a view may have more fields than then
            now = zip(stack.asked.golden(name), then, strict=True)
            assert [{field: each[field] for field in recorded} for each, recorded in now] == then
        after_drift = [each for each in expected["loans"] if each["tournament"]]
        on_golden_rows = [each for _, _, each in _verdicts(stack.recorded) if each["replayed"]["tournament"]]
        assert len(after_drift) == 1 and len(on_golden_rows) > 1
        assert all(each["replayed"]["agrees"] for each in after_drift)
        assert "to the last digit" in stack.ok("golden", "replay", "loans", "2").out

    def test_the_audit_trail_goes_on_from_its_head(self, stack: TakenOver) -> None:
        head = stack.recorded["past"]["audit_proof"]
        said = stack.ok("audit", "verify", "--head", head["digest"]).out
        assert f"the head that was noted is row {head['rows']}" in said

    def test_what_was_under_way_comes_to_its_end(self, stack: TakenOver) -> None:
        name, version = UNDER_WAY

        def judged() -> Any:
            found = stack.asked.get("gatekeeper", f"/models/{name}/candidates/{version}")
            return found if found["judged_at"] else None

        assert eventually(judged, timeout=60)["state"] == "inconclusive", "400 rows are too few to tell"
        with closing(sqlite3.connect(stack.data_dir / "databases" / "gatekeeper.db")) as database:
            found = database.execute("SELECT id, state FROM jobs WHERE id IN (?)", stack.recorded["unfinished"])
            assert found.fetchall() == [(f"gate:{name}-v{version}", "done")]
        assert stack.asked.get("gatekeeper", f"/models/{name}")["champion"]["model_version"] == 1, "it is frozen"

    def test_a_rollback_is_followed(self, stack: TakenOver) -> None:
        stack.ok("rollback", "loans", "--reason", "the first season is back", "--actor", "bob")
        eventually(lambda: stack.answers("loans", 2, 4))
        stack.ok("unfreeze", "segments", "--reason", "the year has ended", "--actor", "bob")
        stack.ok("promote", "segments", "2", "--reason", "as good as v1, and newer", "--actor", "bob")
        eventually(lambda: stack.answers("segments", 2, 2))

    def test_a_new_version_is_trained_judged_and_promoted_on_top(self, stack: TakenOver) -> None:
        said = stack.ok("train", "shop", "--window", "w4..w5", "--reason", "customers have changed", "--wait").out
        assert "Passed shop v3" in said
        eventually(lambda: stack.answers("shop", 3, 4))
        (promoted,) = [each for each in stack.since("promoted") if each.key == b"shop"]
        assert json.loads(promoted.value or b"")["previous_version"] == 1
        assert stack.ok("audit", "verify").code == 0
        letters = {each.key for each in stack.before if each.topic == "dead-letters"}
        assert {each.key for each in stack.since("dead-letters")} <= letters


def _content(page: str) -> str:
    """The words and figures of a page; its elements and style may be others by now."""
    return " ".join(re.sub("<style>.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def _verdicts(recorded: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (name, version, each)
        for name, versions in recorded["past"]["verdicts"].items()
        for version, each in versions.items()
    ]


def _as_then(found: Any, then: Any) -> Any:
    """Leave out the fields that a view has gained since."""
    if isinstance(found, dict) and isinstance(then, dict):
        return {key: _as_then(value, then[key]) for key, value in found.items() if key in then}
    if isinstance(found, list) and isinstance(then, list) and len(found) == len(then):
        return [_as_then(one, other) for one, other in zip(found, then, strict=True)]
    return found


def _with_defaults_of_now(drift: dict[str, Any]) -> dict[str, Any]:
    """Where the policy does not say when data have drifted, and how much worse a metric must be, defaults changed."""
    changed = {"drift_share": (0.5, None), "metric_drop": (0.05, {"relative": 0.05})}
    found = {}
    for name, model in drift.items():
        written = yaml.safe_load((POLICIES / f"{name}.yaml").read_text()).get("drift", {})
        rules = {
            key: changed[key][1] if key in changed and key not in written and value == changed[key][0] else value
            for key, value in model["rules"].items()
        }
        found[name] = model | {"rules": rules}
    return found


def _of_the_champion(drift: dict[str, Any]) -> dict[str, Any]:
    """Then, the newest verdict of a model was of whichever version had one; now it is of the champion alone."""
    found = {}
    for name, model in drift.items():
        judged, champion = model["newest_verdict"], model["champion"]
        of_another = judged and champion and judged["model_version"] != champion["model_version"]
        found[name] = model | ({"newest_verdict": None} if of_another else {})
    return found


def _without(found: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != name}


def _flat(found: Any, where: str = "") -> dict[str, Any]:
    """By the path to each value."""
    pairs = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    if not isinstance(found, dict | list):
        return {where: found}
    return {path: value for key, each in pairs for path, value in _flat(each, f"{where}.{key}").items()}
