"""Signed heads of a real gatekeeper's audit trail, and exported evidence: what others hold finds what was changed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from chassis.signing.keys import read_public_keys
from embedded_kafka import EmbeddedKafka
from gatekeeper.offline import evidence
from gatekeeper.offline.files import Fault, verify_files
from support import rewriting
from support.audited import Audited, audited, key_pair
from support.candidates import Candidates
from support.cli import gauntlet, ok
from support.exported import bom_schema, resealed
from support.mlflow_server import MlflowServer
from support.waiting import eventually

MODEL, JUDGED = "audited", "judged"


@pytest.fixture(scope="module")
def trail(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Audited]:
    """With heads at rows 10, 20 and 30, at least."""
    folder = tmp_path_factory.mktemp("audited")
    with audited(kafka.bootstrap_servers, mlflow_server.uri, folder, MODEL, JUDGED) as found:
        for rows in (10, 20, 30):
            found.freeze(MODEL, rows - found.rows())
            eventually(lambda rows=rows: rows in found.heads())
        yield found


@pytest.fixture
def untouched(trail: Audited, tmp_path: Path) -> Iterator[Audited]:
    """The same, put back afterwards."""
    kept = tmp_path / "kept.db"
    rewriting.copy(trail.database, kept)
    yield trail
    rewriting.copy(kept, trail.database)


def verify(trail: Audited, *options: str) -> Any:
    return gauntlet("audit", "verify", "--keys", str(trail.keys), *options)


def test_heads_are_published_signed_listed_and_kept(trail: Audited, tmp_path: Path) -> None:
    found = ok("audit", "heads", "--json", "--keys", str(trail.keys)).json
    assert found[-1]["rows"] == 30 and {each["problem"] for each in found} == {None}
    assert found[-1]["key_id"].startswith("ed25519:")
    assert [each["previous"]["count"] for each in found[1:]] == [each["rows"] for each in found[:-1]]
    file = tmp_path / "heads.jsonl"
    assert f"{len(found)} of them new" in ok("audit", "heads", "--output", str(file)).err
    assert "0 of them new" in ok("audit", "heads", "--output", str(file)).err, "it keeps those that it has"
    for options in (["--heads"], ["--heads-file", str(file)], ["--heads", "--heads-file", str(file)]):
        said = verify(trail, *options)
        assert said.code == 0, said.err
        assert f"{len(found)} signed heads are in it: 30 rows are as they were written" in said.out
    assert "was not verified: --keys" in ok("audit", "verify", "--heads").out


def test_who_recomputes_the_whole_chain_is_found_by_heads_and_by_a_kept_export(
    untouched: Audited, tmp_path: Path
) -> None:
    file, export = tmp_path / "heads.jsonl", tmp_path / "export.jsonl"
    ok("audit", "heads", "--output", str(file))
    assert "has 30 rows" in ok("audit", "export", "--output", str(export)).err
    again = gauntlet("audit", "export", "--output", str(export))
    assert again.code == 1 and "exists" in again.err
    assert f"every row of {export} is in it, unchanged" in verify(untouched, "--kept", str(export)).out

    rewriting.rewrite(untouched.database, 15, reason="nothing happened")
    assert "30 rows are as they were written" in ok("audit", "verify").out, "the chain alone is consistent"
    for options in (["--heads"], ["--heads-file", str(file)]):
        said = verify(untouched, *options)
        assert said.code == 1
        assert "written anew (rewritten)" in said.err
        found = verify(untouched, *options, "--json").json["heads"]["rewritten"]
        assert 11 <= found["first"] <= 15 <= found["last"] <= 20
    said = verify(untouched, "--kept", str(export))
    assert said.code == 1 and "row 15 differs from the one kept: reason; reason was" in said.err
    assert "is 'nothing happened'" in said.err

    before = untouched.heads()
    eventually(lambda: "audit trail not signed" in untouched.gatekeeper.log())
    text = untouched.gatekeeper.client.get(f"{untouched.gatekeeper.url()}/metrics").text
    untouched.freeze(MODEL)
    assert untouched.heads() == before, "the gatekeeper signs no trail that lacks the head it published last"
    assert "gauntlet_audit_head_contradicted 1.0" in text


def test_a_trail_that_was_cut_off_is_found(untouched: Audited) -> None:
    rewriting.cut(untouched.database, 20)
    assert "20 rows are as they were written" in ok("audit", "verify").out
    said = verify(untouched, "--heads")
    assert said.code == 1 and "which has 20 rows" in said.err and "(truncated)" in said.err


def test_a_head_of_another_key_and_what_is_none_are_refused(trail: Audited, tmp_path: Path) -> None:
    folder = tmp_path / "others"
    key_pair(tmp_path / "private", folder)
    said = gauntlet("audit", "verify", "--heads", "--keys", str(folder))
    assert said.code == 1 and "not believed" in said.err and "no trusted key made the signature" in said.err
    listed = gauntlet("audit", "heads", "--keys", str(folder))
    assert listed.code == 1 and "is not believed" in listed.err
    file = tmp_path / "heads.jsonl"
    ok("audit", "heads", "--output", str(file))
    file.write_text(file.read_text() + "no record\n")
    broken = gauntlet("audit", "verify", "--heads-file", str(file))
    assert broken.code == 1 and f"{file}, line " in broken.err and "no record of a topic" in broken.err


@pytest.fixture(scope="module")
def exported(trail: Audited, candidates: Candidates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of v2, which replaced v1, and of v3, which failed, in folders of that name."""
    for version, kind in enumerate(("fair", "good", "worse"), 1):
        trail.bus.publish(candidates.version(JUDGED, kind))
        trail.gatekeeper.judged(JUDGED, version)
    rows = trail.rows()
    eventually(lambda: rows in trail.heads())
    folder = tmp_path_factory.mktemp("exported")
    for version in (2, 3):
        assert "files; verify them" in ok("evidence", JUDGED, str(version), "--output", str(folder / f"v{version}")).err
    return folder


def test_exported_evidence_verifies_without_a_service(
    trail: Audited, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("GATEKEEPER_URL", "KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI", "DATABASE_URL"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9/nothing")
    for version, outcome in ((2, "Passed"), (3, "Failed")):
        found = ok("evidence", "verify", str(exported / f"v{version}"), "--keys", str(trail.keys), "--json").json
        assert (found["outcome"], found["replayed"], found["notes"]) == (outcome, True, [])
        assert found["key_id"].startswith("ed25519:") and found["audit_head"] >= 30 and found["audit_rows"] >= 1
    said = ok("evidence", "verify", str(exported / "v2")).out
    assert f"{JUDGED} v2: Passed, reached again from its measurements" in said
    assert "note: signatures were not verified: --keys DIR" in said


def test_what_is_exported(trail: Audited, exported: Path) -> None:
    folder = exported / "v2"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names >= {"manifest.json", "manifest.dsse.json", "verdict.json", "evidence.json", "policy.json"}
    assert names >= {"decisions.json", "events.jsonl", "audit.jsonl", "audit-head.jsonl", "model-files.json"}
    assert names >= {"model-card.json", "model-card.md", "bom.cdx.json", "datasets.json"}
    candidate = trail.gatekeeper.candidate(JUDGED, 2)
    card = json.loads((folder / "model-card.json").read_text())
    assert card["what"]["artifact_digest"] == candidate["artifact_digest"] and card["what"]["task"]
    assert card["data"]["golden"]["digest"] == candidate["evidence"]["golden"]["digest"]
    assert {each["gate"] for each in card["gates"]} == {each["gate"] for each in candidate["verdicts"]}
    assert "The gate latency is switched off in the policy." in card["limits"]
    text = (folder / "model-card.md").read_text()
    assert f"# {JUDGED} v2" in text and "| performance | Passed |" in text and "intended use" in text
    events = [json.loads(line)["topic"] for line in (folder / "events.jsonl").read_text().splitlines()]
    assert events == ["gate-passed", "promoted"]
    actions = [json.loads(line)["action"] for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert "judged" in actions and "promoted" in actions


def test_the_bill_of_materials_is_valid_and_names_every_file_and_requirement(exported: Path) -> None:
    schema = bom_schema()
    for version in (3, 2):
        bom = json.loads((exported / f"v{version}" / "bom.cdx.json").read_text())
        problems = [f"{error.instance_path}: {error.message}" for error in schema.iter_errors(bom)]
        assert problems == []
        model = bom["metadata"]["component"]
        assert (model["type"], model["name"], model["version"]) == ("machine-learning-model", JUDGED, str(version))
        assert "MLmodel" in {each["name"] for each in model["components"]}
        assert all(len(each["hashes"][0]["content"]) == 64 for each in model["components"])
        assert model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    purls = {each["purl"].partition("@")[0] for each in bom["components"] if "purl" in each}
    declared = json.loads((exported / "v2" / "model-files.json").read_text())["requirements"]
    assert "pkg:pypi/scikit-learn" in purls and len(purls) == len(declared)
    bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"][0]["value"] = 0.5
    assert not schema.is_valid(bom), "a number: the schema wants text"


def test_every_changed_byte_is_noticed(trail: Audited, exported: Path, tmp_path: Path) -> None:
    folder, keys = tmp_path / "copy", read_public_keys(trail.keys)
    shutil.copytree(exported / "v3", folder)
    verify_files(folder, keys)
    random = Random(7)
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        most = 400 if path.name.startswith("manifest") else 12
        places = {0, len(content) - 1, *(random.randrange(len(content)) for _ in range(most))} if content else set()
        for place in places:
            changed = bytearray(content)
            changed[place] ^= 1 << random.randrange(8)
            path.write_bytes(changed)
            with pytest.raises(Fault):
                verify_files(folder, keys)
        for changed in (content[:-1], content + b"\n", b""):
            if changed != content:
                path.write_bytes(changed)
                with pytest.raises(Fault):
                    verify_files(folder, keys)
        path.unlink()
        with pytest.raises(Fault):
            verify_files(folder, keys)
        path.write_bytes(content)
    (folder / "objects" / "more").write_text("")
    with pytest.raises(Fault, match="was added"):
        verify_files(folder, keys)


CHANGES: dict[str, tuple[str, Callable[[str], str], str]] = {
    "state": ("verdict.json", lambda text: text.replace('"state": "failed"', '"state": "passed"'), "together Failed"),
    "gates": ("verdict.json", lambda text: text.replace('"outcome": "Failed"', '"outcome": "Passed"'), "together"),
    "reason": ("verdict.json", lambda text: text.replace('"reason": "', '"reason": "no ', 1), "event with the verdict"),
    "measured": ("evidence.json", lambda text: text.replace('"k": 2', '"k": 1', 1), "does not follow"),
    "audit": ("audit.jsonl", lambda text: text.replace('"reason":"', '"reason":"no ', 1), "digest was computed"),
    "files": (
        "model-files.json",
        lambda text: re.sub('"sha256": "..', '"sha256": "00', text, count=1),
        "verdict is on",
    ),
    "policy": ("policy.json", lambda text: text.replace('"roc_auc": 0.6', '"roc_auc": 0.5', 1), "is not the policy"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_who_makes_the_manifest_fit_is_found_by_what_the_files_say_of_each_other(
    name: str, trail: Audited, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported / "v3", folder)
    file, change, expected = CHANGES[name]
    resealed(folder, file, change)
    with pytest.raises(Fault, match=expected):
        evidence.verify(folder, None)
    with pytest.raises(Fault, match="is not signed"):
        evidence.verify(folder, read_public_keys(trail.keys))


def test_a_verdict_that_no_event_contradicts_is_reached_again_from_the_measurements(
    exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported / "v3", folder)
    resealed(folder, "events.jsonl", lambda _: "")
    assert "no event with the verdict was kept" in str(evidence.verify(folder, None)["notes"])
    resealed(folder, "verdict.json", lambda text: text.replace('"Failed"', '"Passed"').replace('"failed"', '"passed"'))
    with pytest.raises(Fault, match=r"does not follow from the kept measurements: performance\.outcome is .*Failed"):
        evidence.verify(folder, None)


def test_evidence_without_golden_rows_says_what_was_not_verified(
    trail: Audited, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "without"
    ok("evidence", JUDGED, "3", "--output", str(folder), "--without-rows")
    said = ok("evidence", "verify", str(folder), "--keys", str(trail.keys))
    assert "Failed, not reached again" in said.out and "--golden FILE" in said.out
    digest = json.loads((folder / "datasets.json").read_text())["golden"]["digest"]
    golden = exported / "v3" / "objects" / f"{digest.removeprefix('sha256:')}.parquet"
    again = ok("evidence", "verify", str(folder), "--keys", str(trail.keys), "--golden", str(golden))
    assert "reached again from its measurements" in again.out


def test_wrong_input_of_an_export_says_what_to_do(trail: Audited, exported: Path, tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        ended = gauntlet("evidence", *arguments)
        assert ended.code == 1
        return ended.err

    new = str(tmp_path / "new")
    assert f"{JUDGED} v9 was never registered" in refused(JUDGED, "9", "--output", new)
    assert "nobodys" in refused("nobodys", "1", "--output", new)
    assert "exists and is not empty" in refused(JUDGED, "3", "--output", str(exported / "v3"))
    silent = refused(JUDGED, "3", "--output", new, "--gatekeeper", "http://127.0.0.1:9")
    assert "127.0.0.1:9" in silent
    assert not (tmp_path / "new").exists() and list(tmp_path.iterdir()) == []
    (tmp_path / "other").mkdir()
    assert "manifest.json cannot be read" in refused("verify", str(tmp_path / "other"))
    others = tmp_path / "keys"
    key_pair(tmp_path / "private", others)
    assert "no trusted key made the signature" in refused("verify", str(exported / "v3"), "--keys", str(others))


def test_the_last_head_is_published_when_the_gatekeeper_stops(trail: Audited) -> None:
    """Last of this module."""
    service = trail.gatekeeper
    trail.freeze(MODEL)
    rows = trail.rows()
    service.processes[-1].terminate()
    assert service.processes[-1].wait(30) in (0, -15), service.log()
    assert trail.heads()[-1] == max(trail.heads()) == rows
