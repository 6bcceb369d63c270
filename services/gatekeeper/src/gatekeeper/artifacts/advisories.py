"""Known vulnerabilities, from a folder of advisories in the OSV format (JSON or YAML); no network is used.

`gauntlet advisories update` fills such a folder. A clone of https://github.com/pypa/advisory-database is one, too, and
so is the PyPI export of https://osv.dev, unpacked.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from chassis.telemetry import get_logger
from gatekeeper.artifacts import advisory_store
from gatekeeper.policy.gates.integrity import Vulnerability

LARGEST = 1024 * 1024
SUFFIXES = (".json", ".yaml", ".yml")

log = get_logger(__name__)

Covers = Mapping[str, Collection[str]]


@dataclass(frozen=True)
class _Advisory:
    id: str
    summary: str
    versions: frozenset[str]
    events: tuple[Mapping[str, str], ...]

    def concerns(self, version: str) -> bool:
        """Is the version affected: listed, or within a range? See https://ossf.github.io/osv-schema/#evaluation."""
        if version in self.versions:
            return True
        try:
            return any(_within(Version(version), item) for item in _spans(self.events))
        except InvalidVersion:
            return False


class Advisories:
    """Read on first use, and again when the folder has changed. Thread-safe."""

    def __init__(self, folder: Path, *, expected: bool = True) -> None:
        """`expected`: whether it is an error that the folder does not exist."""
        self._folder = folder
        self._expected = expected
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._by_package: dict[str, list[_Advisory]] = {}
        self._count = 0
        self._covers: Covers | None = None

    def look_up(self, versions: Mapping[str, str]) -> tuple[int | None, tuple[Vulnerability, ...]]:
        """Return how many advisories were searched (None: there are none), and those that apply.

        None also where the source is an audit of single packages, of which one of `versions` is none: then it is not
        known that there are no others.
        """
        with self._lock:
            self._refresh()
            if not self._count and self._covers is None:
                return None, ()
            found = [
                Vulnerability(package, version, advisory.id, advisory.summary)
                for package, version in sorted(versions.items())
                for advisory in self._by_package.get(canonicalize_name(package), ())
                if advisory.concerns(version)
            ]
            return None if self._uncovered(versions) else self._count, tuple(found)

    def _uncovered(self, versions: Mapping[str, str]) -> list[str]:
        if self._covers is None:
            return []
        covers = self._covers
        missing = [name for name, found in versions.items() if found not in covers.get(canonicalize_name(name), ())]
        if missing:
            log.warning("vulnerabilities not checked: the audit does not cover these packages", packages=missing[:20])
        return missing

    def _refresh(self) -> None:
        try:
            changed_at = self._folder.stat().st_mtime
        except OSError as error:
            if self._expected:
                log.error("no advisories: vulnerabilities are not checked", folder=str(self._folder), error=str(error))
            self._by_package, self._count, self._read_at, self._covers = {}, 0, None, None
            return
        if changed_at == self._read_at:
            return
        by_package: dict[str, list[_Advisory]] = {}
        count = 0
        for content in _contents(self._folder):
            count += 1
            for package, advisory in _of(content):
                by_package.setdefault(package, []).append(advisory)
        self._by_package, self._count, self._read_at = by_package, count, changed_at
        state = advisory_store.read_state(self._folder)
        self._covers = state.covers if state else None
        log.info("advisories read", folder=str(self._folder), advisories=count)
        if state is not None and (problem := state.problem(datetime.now(UTC))):
            log.warning("advisories are old", folder=str(self._folder), reason=problem)


def _contents(folder: Path) -> Iterator[Mapping[str, Any]]:
    for path in sorted(folder.rglob("*")):
        if path.name == advisory_store.FILE:
            yield from advisory_store.read(path)
        else:
            yield from of_file(path)


def of_file(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the advisory in a file, if it is one."""
    if path.suffix in SUFFIXES and path.is_file() and path.stat().st_size <= LARGEST:
        yield from parse(path.read_text(errors="replace"), path.name)


def parse(text: str, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the advisory in a file of this name, if it is one and was not withdrawn."""
    try:
        content = json.loads(text) if name.endswith(".json") else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        log.warning("not an advisory", file=name, error=" ".join(str(error).split())[:200])
        return
    if isinstance(content, dict) and isinstance(content.get("affected"), list) and not content.get("withdrawn"):
        yield content


def _of(content: Mapping[str, Any]) -> Iterator[tuple[str, _Advisory]]:
    names = [str(content.get("id", "?")), *(str(alias) for alias in content.get("aliases") or ())]
    summary = str(content.get("summary") or content.get("details") or "").strip().split("\n")[0][:200]
    for affected in content["affected"]:
        package = affected.get("package") or {}
        if package.get("ecosystem") != "PyPI":
            continue
        ranges: Iterable[Mapping[str, Any]] = affected.get("ranges") or ()
        events = [event for item in ranges if item.get("type") == "ECOSYSTEM" for event in item.get("events") or ()]
        versions = frozenset(str(version) for version in affected.get("versions") or ())
        yield canonicalize_name(str(package.get("name"))), _Advisory(names[0], summary, versions, tuple(events))


def _spans(events: Iterable[Mapping[str, str]]) -> Iterator[tuple[Version, Version | None, bool]]:
    """(from, to, to included); to is None while there is no fix."""
    start: Version | None = None
    for event in events:
        if "introduced" in event:
            start = Version(str(event["introduced"]))
        elif start is not None and ("fixed" in event or "last_affected" in event):
            yield start, Version(str(event.get("fixed") or event["last_affected"])), "fixed" not in event
            start = None
    if start is not None:
        yield start, None, False


def _within(version: Version, span: tuple[Version, Version | None, bool]) -> bool:
    start, end, included = span
    return version >= start and (end is None or version < end or (included and version == end))


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
