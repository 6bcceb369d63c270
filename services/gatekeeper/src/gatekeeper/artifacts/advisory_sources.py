"""Where advisories come from: OSV's export as a zip, a folder of files, one file, or the JSON that pip-audit prints."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from gatekeeper.artifacts import advisory_store
from gatekeeper.artifacts.advisories import LARGEST, SUFFIXES, of_file, parse
from gatekeeper.artifacts.advisory_store import State

ECOSYSTEM = "PyPI"
KEPT = ("id", "aliases", "summary", "details", "modified")
MOST_FILES = 500_000


class NoAdvisories(Exception):
    """There are none in the source; the message says what was found instead."""


@dataclass(frozen=True)
class Collected:
    advisories: tuple[Mapping[str, Any], ...]
    state: State


def collect(path: Path, source: str) -> Collected:
    """Read a source. `source`: what it is called. Raises NoAdvisories and OSError."""
    if path.is_dir():
        return _database(_of_folder(path), source)
    if zipfile.is_zipfile(path):
        return _database(_of_zip(path), source)
    text = path.read_text(errors="replace")
    try:
        said = json.loads(text) if not path.name.endswith((".yaml", ".yml")) else None
    except ValueError as error:
        raise NoAdvisories(f"{source} is neither a zip of OSV's export nor JSON: {error}") from error
    if isinstance(said, dict) and isinstance(said.get("dependencies"), list):
        return _audit(said["dependencies"], source, datetime.fromtimestamp(path.stat().st_mtime, UTC))
    texts = [json.dumps(each) for each in said] if isinstance(said, list) else [text]
    name = "advisory.json" if said is not None else path.name
    return _database((found for each in texts for found in parse(each, name)), source)


def _of_folder(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.rglob("*")):
        yield from of_file(path)


def _of_zip(path: Path) -> Iterator[Mapping[str, Any]]:
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist()[:MOST_FILES]:
            if entry.filename.endswith(SUFFIXES) and entry.file_size <= LARGEST:
                yield from parse(archive.read(entry).decode(errors="replace"), entry.filename)


def _database(found: Iterator[Mapping[str, Any]], source: str) -> Collected:
    kept = [each for each in map(_of_ecosystem, found) if each is not None]
    if not kept:
        raise NoAdvisories(
            f"{source} has no advisory of {ECOSYSTEM} in the OSV format; expected OSV's export of {ECOSYSTEM}"
            " (all.zip), a folder of its files, or what `pip-audit --format json` prints"
        )
    newest = max(str(each.get("modified") or "") for each in kept)
    packages = {affected["package"]["name"] for each in kept for affected in each["affected"]}
    as_of = _iso(newest) or advisory_store.now()
    return Collected(tuple(kept), State(source, advisory_store.now(), as_of, len(kept), len(packages)))


def _of_ecosystem(advisory: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what is looked up of an advisory; None for one about other packages."""
    affected = [
        {"package": {"ecosystem": ECOSYSTEM, "name": str(each["package"].get("name"))}}
        | {key: each[key] for key in ("ranges", "versions") if each.get(key)}
        for each in advisory["affected"]
        if isinstance(each, dict)
        and isinstance(each.get("package"), dict)
        and each["package"].get("ecosystem") == ECOSYSTEM
    ]
    if not affected:
        return None
    kept = {key: advisory[key] for key in KEPT if advisory.get(key)}
    if kept.get("summary"):
        kept.pop("details", None)
    return {**kept, "affected": affected}


def _audit(dependencies: list[Any], source: str, at: datetime) -> Collected:
    """Read what pip-audit found: about these versions of these packages, and nothing about others."""
    covers: dict[str, list[str]] = {}
    found: list[Mapping[str, Any]] = []
    skipped = []
    for each in dependencies:
        name = canonicalize_name(str(each.get("name")))
        if "version" not in each:
            skipped.append(name)
            continue
        covers.setdefault(name, []).append(str(each["version"]))
        for vuln in each.get("vulns") or ():
            package = {"package": {"ecosystem": ECOSYSTEM, "name": name}, "versions": [str(each["version"])]}
            said = {"id": vuln.get("id"), "aliases": vuln.get("aliases"), "details": vuln.get("description")}
            found.append({**said, "affected": [package]})
    if not covers:
        raise NoAdvisories(
            f"{source} is of pip-audit, and it could look up none of {len(skipped)} packages; the index that it"
            " asked serves no vulnerabilities"
        )
    stated = at.isoformat(timespec="seconds")
    return Collected(tuple(found), State(source, advisory_store.now(), stated, len(found), len(covers), covers))


def _iso(text: str) -> str | None:
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat(timespec="seconds")
