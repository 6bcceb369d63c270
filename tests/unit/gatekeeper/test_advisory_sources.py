"""Advisories from every kind of source, stored, read again, and looked up; an audit knows only what it audited."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gatekeeper.artifacts import advisory_store
from gatekeeper.artifacts.advisories import Advisories
from gatekeeper.artifacts.advisory_sources import NoAdvisories, collect


def advisory(name: str, package: str, fixed: str, ecosystem: str = "PyPI", **more: Any) -> dict[str, Any]:
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = {
        "package": {"ecosystem": ecosystem, "name": package},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return {
        "id": name,
        "summary": f"{package} is open",
        "modified": "2026-11-01T10:00:00Z",
        "affected": [affected],
        **more,
    }


FILES = {
    "PYSEC-1.json": advisory("PYSEC-1", "Spam_Eggs", "2.0"),
    "GHSA-2.json": advisory("GHSA-2", "ham", "1.5", modified="2026-11-20T00:00:00Z", aliases=["CVE-2"]),
    "withdrawn.json": advisory("PYSEC-3", "ham", "9", withdrawn="2026-11-02T00:00:00Z"),
    "npm.json": advisory("GHSA-4", "ham", "9", ecosystem="npm"),
}
YAML = """\
id: PYSEC-5
modified: "2026-10-01T00:00:00Z"
details: |
  First line.
  Second line.
affected:
- package: {ecosystem: PyPI, name: ham}
  versions: ["1.0"]
"""
VERSIONS = {"spam-eggs": "1.9", "ham": "1.0", "toast": "3.0"}


def as_folder(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    for name, content in FILES.items():
        (folder / "deep" / name).write_text(json.dumps(content))
    (folder / "PYSEC-5.yaml").write_text(YAML)
    (folder / "README.md").write_text("nothing")
    (folder / "broken.json").write_text("{")
    return folder


def as_zip(folder: Path) -> Path:
    files = as_folder(folder / "files")
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files.rglob("*.*"):
            archive.write(path, path.name)
    return folder / "all.zip"


def as_list(folder: Path) -> Path:
    folder.mkdir()
    (folder / "list.json").write_text(json.dumps([*FILES.values(), advisory("PYSEC-5", "ham", "1.1")]))
    return folder / "list.json"


@pytest.mark.parametrize("source", [as_folder, as_zip, as_list])
def test_a_database_is_stored_and_looked_up(tmp_path: Path, source: Any) -> None:
    found = collect(source(tmp_path / "given"), "given")
    store = tmp_path / "store"
    advisory_store.write(store, found.advisories, found.state)
    state = advisory_store.read_state(store)
    assert state is not None and (state.advisories, state.packages, state.covers) == (3, 2, None)
    assert state.as_of == "2026-11-20T00:00:00+00:00" and state.source == "given"
    count, vulnerable = Advisories(store).look_up(VERSIONS)
    assert count == 3
    expected = [("ham", "GHSA-2"), ("ham", "PYSEC-5"), ("spam-eggs", "PYSEC-1")]
    assert sorted((item.package, item.advisory) for item in vulnerable) == expected
    assert Advisories(store).look_up({"spam-eggs": "2.0", "ham": "1.5"}) == (3, ())


def test_one_file_of_yaml_is_a_source(tmp_path: Path) -> None:
    (tmp_path / "PYSEC-5.yaml").write_text(YAML)
    found = collect(tmp_path / "PYSEC-5.yaml", "one")
    advisory_store.write(tmp_path / "store", found.advisories, found.state)
    _, (only,) = Advisories(tmp_path / "store").look_up(VERSIONS)
    assert (only.advisory, only.summary) == ("PYSEC-5", "First line.")


AUDIT = {
    "dependencies": [
        {"name": "Spam_Eggs", "version": "1.9", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2.0"], "aliases": []}]},
        {"name": "ham", "version": "1.5", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found"},
    ],
    "fixes": [],
}


def test_an_audit_answers_for_the_versions_that_it_looked_up_and_no_others(tmp_path: Path) -> None:
    """No news of another package is no news: the verdict has to say that it was not checked."""
    (tmp_path / "audit.json").write_text(json.dumps(AUDIT))
    found = collect(tmp_path / "audit.json", "pip-audit")
    advisory_store.write(tmp_path / "store", found.advisories, found.state)
    known = Advisories(tmp_path / "store")
    count, (only,) = known.look_up({"spam-eggs": "1.9", "ham": "1.5"})
    assert (count, only.advisory) == (1, "PYSEC-1")
    for others in ({"ours": "1"}, {"ham": "1.4"}, {"toast": "1"}):
        count, (only,) = known.look_up({"spam-eggs": "1.9", **others})
        assert (count, only.advisory) == (None, "PYSEC-1"), others
    nothing = {"dependencies": [{"name": "ham", "version": "1.5", "vulns": []}]}
    (tmp_path / "audit.json").write_text(json.dumps(nothing))
    found = collect(tmp_path / "audit.json", "pip-audit")
    advisory_store.write(tmp_path / "store", found.advisories, found.state)
    assert known.look_up({"ham": "1.5"}) == (0, ()), "read again, and an audit that found nothing is a check"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", json.dumps({"dependencies": [{"name": "ham", "skip_reason": "not found"}]}), "none of 1 packages"),
        ("a.json", json.dumps([FILES["npm.json"]]), "no advisory of PyPI"),
        ("a.json", "<html>", "neither a zip"),
        ("a.yaml", "a: 1", "no advisory of PyPI"),
    ],
)
def test_a_source_without_advisories_says_so_and_what_was_expected(
    tmp_path: Path, name: str, content: str, says: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(NoAdvisories, match=says):
        collect(tmp_path / name, "given")


def test_old_ones_are_said_to_be_old(tmp_path: Path) -> None:
    state = collect(as_folder(tmp_path / "given"), "given").state
    newest = datetime(2026, 11, 20, tzinfo=UTC)
    assert state.problem(newest + timedelta(days=30)) is None
    assert state.problem(newest + timedelta(days=31)) == (
        "the newest is of 2026-11-20, 31 days ago: gauntlet advisories update"
    )


def test_a_folder_that_something_else_filled_is_read_as_before(tmp_path: Path) -> None:
    assert Advisories(as_folder(tmp_path / "given")).look_up(VERSIONS)[0] == 4  # one is of another ecosystem
    assert Advisories(tmp_path / "nowhere", expected=False).look_up(VERSIONS) == (None, ())
