"""The folder of known vulnerabilities that the gatekeeper reads: where it is, its state, and how it is filled."""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from gauntlet.errors import CliError

OSV = "https://storage.googleapis.com/osv-vulnerabilities/PyPI/all.zip"
"""OSV's export of all advisories of PyPI: https://google.github.io/osv.dev/data/"""
LARGEST_DOWNLOAD = 2 * 1024**3
OLD = timedelta(days=30)
OFFLINE = (
    "Where there is a network, fetch that file, or run `pip-audit --format json --output audit.json` in the"
    " gatekeeper's environment; then: gauntlet advisories update --from FILE"
)


@dataclass(frozen=True)
class Advisories:
    """`as_of`: the newest change of an advisory. `covered`: packages of an audit; None for a database of all."""

    folder: Path
    source: str
    updated_at: datetime
    as_of: datetime
    advisories: int
    packages: int
    covered: int | None

    @property
    def age(self) -> timedelta:
        return datetime.now(UTC) - self.as_of

    @property
    def is_old(self) -> bool:
        return self.age > OLD

    def sentence(self) -> str:
        of = f"{self.packages} packages" if self.covered is None else f"{self.covered} audited packages, and no others"
        return f"{self.advisories} advisories of {of}, as of {self.as_of:%Y-%m-%d} ({self.age.days} days ago)"


def folder_of(data_dir: Path) -> Path:
    """Return the folder that a gatekeeper with this data directory reads."""
    from gauntlet.endpoints import stack_settings

    return (stack_settings().advisories_dir or data_dir / "advisories").absolute()


def state_in(folder: Path) -> Advisories | None:
    """Return the state that `update` left; None if it never filled this folder."""
    try:
        return _state(folder, json.loads((folder / "state.json").read_text()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def filled(folder: Path, source: str | None) -> Advisories:
    """Fill the folder from a file, a folder or an address; by default from OSV. Raises CliError."""
    from gauntlet.modules import run

    with tempfile.TemporaryDirectory(prefix="gauntlet-advisories-") as scratch:
        url = source or OSV
        path = _downloaded(url, Path(scratch)) if url.startswith(("http://", "https://")) else Path(url)
        if not path.exists():
            raise CliError(f"there is no {path.absolute()}", "Name a file, a folder or an address with --from.")
        module = ["gatekeeper.artifacts.update_advisories", str(folder), str(path.absolute()), url]
        return _state(folder, json.loads(run(module, {})))


def _downloaded(url: str, folder: Path) -> Path:
    path = folder / (url.rstrip("/").rpartition("/")[2].partition("?")[0] or "advisories")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer, path.open("wb") as file:
            left = LARGEST_DOWNLOAD
            while block := answer.read(min(1024 * 1024, left + 1)):
                left -= len(block)
                if left < 0:
                    raise CliError(f"{url} has more than {LARGEST_DOWNLOAD >> 20} MiB", "Is that an export of OSV?")
                file.write(block)
    except (OSError, ValueError, urllib.error.URLError) as error:
        reason = getattr(error, "reason", error)
        raise CliError(f"not updated: {url} cannot be fetched: {reason}", OFFLINE) from error
    return path


def _state(folder: Path, said: dict[str, Any]) -> Advisories:
    covers = said["covers"]
    return Advisories(
        folder=folder,
        source=said["source"],
        updated_at=datetime.fromisoformat(said["updated_at"]),
        as_of=datetime.fromisoformat(said["as_of"]),
        advisories=said["advisories"],
        packages=said["packages"],
        covered=None if covers is None else len(covers),
    )
