"""`python -m support.audit [FOLDER]`: known vulnerabilities of the packages in requirements.lock, but for those listed.

Asks pip-audit, which asks the package index, or looks in a FOLDER of OSV advisories (as `gauntlet advisories update`
fills it). What is found and not listed in vulnerabilities.toml fails; so does what is listed for no reason any more.
Where nothing can be asked it says so and does not fail: CI must not depend on a service of somebody else's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK, LISTED = ROOT / "requirements.lock", ROOT / "vulnerabilities.toml"
SECONDS = 600


@dataclass(frozen=True)
class Found:
    package: str
    version: str
    ids: frozenset[str]
    summary: str = ""

    def __str__(self) -> str:
        return f"{self.package} {self.version}: {', '.join(sorted(self.ids))} {self.summary}".rstrip()


@dataclass(frozen=True)
class Accepted:
    """`until`: the day on which it is looked at again."""

    id: str
    package: str
    reason: str
    until: date


class NotChecked(Exception):
    """Nothing could be asked; the message says what was tried."""


def locked(text: str) -> dict[str, str]:
    """Return the versions of the packages that a lock installs on this machine."""
    lines = [re.split(r"\s+(?:--hash|\\)", line)[0] for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]
    found = [Requirement(line.rstrip(" \\")) for line in lines]
    here = [each for each in found if each.marker is None or each.marker.evaluate()]
    return {canonicalize_name(each.name): next(iter(each.specifier)).version for each in here}


def accepted(text: str) -> list[Accepted]:
    """Read vulnerabilities.toml. Raises ValueError, KeyError and TypeError for an entry without a reason or a day."""
    found = [Accepted(**each) for each in tomllib.loads(text).get("accepted", [])]
    if lacking := [each for each in found if not each.reason.strip() or not isinstance(each.until, date)]:
        raise ValueError(f"without a reason, or a day: {lacking}")
    return found


def problems(found: Iterable[Found], listed: Iterable[Accepted], today: date) -> list[str]:
    """Return a sentence for each vulnerability that is not listed, and for each entry that is over or needless."""
    found, listed = list(found), list(listed)
    entries = {(canonicalize_name(each.package), each.id): each for each in listed}
    said, used = [], set()
    for each in found:
        matching = [key for key in ((each.package, name) for name in each.ids) if key in entries]
        used |= set(matching)
        if not matching:
            said.append(f"{each}: not listed in vulnerabilities.toml")
        elif all(entries[key].until < today for key in matching):
            said.append(f"{each}: was accepted until {entries[matching[0]].until}; look again")
    for key, entry in entries.items():
        if key not in used:
            said.append(f"{entry.package} {entry.id} is listed, and the lock no longer has it: remove it")
    return said


def from_index(versions: Mapping[str, str]) -> list[Found]:
    """Ask pip-audit. Raises NotChecked where the index has no answer, or not for all packages."""
    first = dict(list(versions.items())[:1])
    _audited(first)  # an index that serves no vulnerabilities is not asked for each package
    return _audited(versions)


def _audited(versions: Mapping[str, str]) -> list[Found]:
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in versions.items()))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(wanted), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off"]
        try:
            made = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
            said = json.loads(made.stdout)
        except subprocess.TimeoutExpired as error:
            raise NotChecked(f"pip-audit took more than {SECONDS} s") from error
        except ValueError as error:
            last = (made.stderr.strip().splitlines() or ["it gave no reason"])[-1]
            raise NotChecked(f"pip-audit could ask nothing: {last}") from error
    return of_audit(said)


def of_audit(said: Mapping[str, Any]) -> list[Found]:
    skipped = [each["name"] for each in said["dependencies"] if "version" not in each]
    if skipped:
        raise NotChecked(f"the index that pip-audit asks serves no vulnerabilities of {', '.join(skipped[:5])}")
    return [
        Found(canonicalize_name(each["name"]), each["version"], frozenset({vuln["id"], *vuln["aliases"]}))
        for each in said["dependencies"]
        for vuln in each["vulns"]
    ]


def from_folder(folder: Path, versions: Mapping[str, str]) -> list[Found]:
    """Look in a folder of advisories. Raises NotChecked where there are none."""
    from gatekeeper.artifacts.advisories import Advisories

    count, found = Advisories(folder).look_up(versions)
    if count is None:
        raise NotChecked(f"{folder} has no advisories of all packages")
    return [Found(each.package, each.version, frozenset({each.advisory}), each.summary) for each in found]


def main(arguments: list[str]) -> int:
    versions, listed = locked(LOCK.read_text()), accepted(LISTED.read_text())
    try:
        found = from_folder(Path(arguments[0]), versions) if arguments else from_index(versions)
    except NotChecked as error:
        sys.stdout.write(f"known vulnerabilities: not checked: {error}\n")
        return 0
    said = problems(found, listed, datetime.now(UTC).date())
    for line in said:
        sys.stdout.write(f"{line}\n")
    sys.stdout.write(
        f"known vulnerabilities: {len(versions)} packages checked, {len(found)} found, {len(said)} to do\n"
    )
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
