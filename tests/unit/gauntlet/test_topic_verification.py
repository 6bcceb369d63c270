"""`gauntlet verify-topic --from FILE`: what is counted and named, and when the exit code is 1."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from chassis.record_files import to_line
from chassis.signing.keys import SigningKey
from contracts import Cause, Promoted
from contracts.cloudevents import Record
from support.cli import Ended, gauntlet
from support.signed_topics import signed_by, write_keys

DIGEST = f"sha256:{1:064x}"


def promoted(epoch: int, model_name: str = "flights", **more: Any) -> Promoted:
    given = {"model_version": epoch, "artifact_uri": "models:/m/1", "cause": Cause.GATE, "actor": "gatekeeper", **more}
    return Promoted(model_name=model_name, epoch=epoch, artifact_digest=DIGEST, **given)


@dataclass
class File:
    """A file of records as `gauntlet events export` writes it."""

    keys: dict[str, SigningKey] = field(default_factory=lambda: write_keys(Path("keys"), "ours", "foreign"))
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (Path("keys") / "trusted" / "foreign.pem").unlink()

    def add(self, event: Promoted, *keys: str, key: bytes | None = None, **more: Any) -> None:
        made = signed_by(event, *(self.keys[name] for name in keys), **more)
        self.raw(Record(event.topic, key or made.key, made.value, made.headers))

    def raw(self, record: Record) -> None:
        at = {"partition": 2, "offset": 10 + len(self.lines)}
        self.lines.append(json.dumps({**json.loads(to_line(record)), **at}))

    def verified(self, *options: str) -> Ended:
        Path("topic.jsonl").write_text("".join(f"{line}\n" for line in self.lines))
        return gauntlet("verify-topic", "--from", "topic.jsonl", "--keys", "keys/trusted", *options)

    def report(self, *options: str) -> Any:
        return self.verified("--json", *options).json


@pytest.fixture
def file(nowhere: None) -> File:
    return File()


def orders(report: Any) -> Sequence[str]:
    return [line for model in report["models"] for line in model["order"]]


def test_a_topic_of_signed_decisions_is_good(file: File) -> None:
    for epoch in (1, 2, 3):
        file.add(promoted(epoch), "ours")
    file.add(promoted(1, "churn"), "ours")
    ended = file.verified()
    assert ended.code == 0 and "4 signed, 0 not" in ended.out and ended.err == ""
    report = file.report()
    found = [(each["model_name"], each["signed"], each["newest"], each["key_id"]) for each in report["models"]]
    assert report["good"] and found == [
        ("churn", 1, 1, file.keys["ours"].key_id),
        ("flights", 3, 3, file.keys["ours"].key_id),
    ]


def test_each_bad_record_is_named_with_its_place_and_reason(file: File) -> None:
    file.add(promoted(1), "ours")
    file.add(promoted(2))
    file.add(promoted(2), "foreign")
    file.add(promoted(2), "ours", key=b"churn")
    file.raw(Record("promoted", b"flights", None, ()))
    file.raw(Record("promoted", b"flights", b"no event", ()))
    file.add(promoted(2), "ours")
    ended = file.verified()
    assert ended.code == 1 and "2 signed, 5 not" in ended.out
    report = file.report()
    named = [(bad["place"], bad["model_name"], bad["state"]) for bad in report["bad"]]
    assert named == [
        ("promoted:2:11", "flights", "unsigned"),
        ("promoted:2:12", "flights", "wrong"),
        ("promoted:2:13", "churn", "wrong"),
        ("promoted:2:14", "flights", "unsigned"),
        ("promoted:2:15", "flights", "unsigned"),
    ]
    reasons = [bad["reason"] for bad in report["bad"]]
    for reason, part in zip(
        reasons, ["no header", "no trusted key", "key b'churn'", "tombstone", "ce_type"], strict=True
    ):
        assert part in reason
        assert part in ended.err
    [churn, flights] = report["models"]
    assert churn["problem"] and flights["problem"] is None
    assert (flights["signed"], flights["unsigned"], flights["wrong"]) == (2, 3, 1)


def test_what_compaction_would_leave_is_looked_at_alone(file: File) -> None:
    file.add(promoted(1))
    file.add(promoted(2), "ours")
    assert file.verified().code == 1 and file.verified("--newest").code == 0
    file.add(promoted(3))
    ended = file.verified("--newest")
    assert ended.code == 1 and "the last record is unsigned" in ended.out


def test_the_order_is_reported_and_an_older_decision_as_the_last_is_a_fault(file: File) -> None:
    for epoch in (1, 2, 5):
        file.add(promoted(epoch), "ours", event_id=f"id-{epoch}")
    file.add(promoted(5), "ours", event_id="id-5")
    report = file.report()
    assert report["good"] and orders(report) == ["promoted:2:12: 5 after 2; what was between is missing, or compacted"]
    file.add(promoted(5, model_version=1), "ours", event_id="another")
    assert orders(file.report())[1:] == ["promoted:2:14: a second decision with number 5"]
    file.add(promoted(2), "ours", event_id="id-2")
    report = file.report()
    assert orders(report)[2:] == ["promoted:2:15: 2 after 5"]
    assert not report["good"] and report["bad"] == [] and file.verified().code == 1
    file.add(promoted(5), "ours", event_id="another")
    assert file.report()["good"], "what is in force was published again"


def test_a_file_that_is_none_and_a_folder_without_keys_are_named(file: File) -> None:
    file.lines = ["{}"]
    ended = file.verified()
    assert ended.code == 1 and "topic.jsonl, line 1" in ended.err
    Path("empty").mkdir()
    ended = gauntlet("verify-topic", "--from", "topic.jsonl", "--keys", "empty")
    assert ended.code == 1 and "no public key (*.pem) in empty" in ended.err


def test_a_topic_of_which_nothing_is_signed_is_named() -> None:
    Path("keys").mkdir()
    write_keys(Path("keys"), "ours")
    ended = gauntlet("verify-topic", "--topic", "drift", "--keys", "keys/trusted")
    assert ended.code == 1 and "promoted" in ended.err
