"""Signed heads of a real gatekeeper's audit trail: who rewrites the whole chain is found by what others hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded_kafka import EmbeddedKafka
from support import rewriting
from support.audited import Audited, audited, key_pair
from support.cli import gauntlet, ok
from support.mlflow_server import MlflowServer
from support.waiting import eventually

MODEL = "audited"


@pytest.fixture(scope="module")
def trail(
    kafka: EmbeddedKafka, mlflow_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Audited]:
    """With heads at rows 10, 20 and 30, at least."""
    folder = tmp_path_factory.mktemp("audited")
    with audited(kafka.bootstrap_servers, mlflow_server.uri, folder, MODEL) as found:
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


def test_the_last_head_is_published_when_the_gatekeeper_stops(trail: Audited) -> None:
    """Last of this module."""
    service = trail.gatekeeper
    trail.freeze(MODEL)
    rows = trail.rows()
    service.processes[-1].terminate()
    assert service.processes[-1].wait(30) in (0, -15), service.log()
    assert trail.heads()[-1] == max(trail.heads()) == rows
