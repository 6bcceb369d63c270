"""The evidence of a version as a folder: fetched for `gauntlet evidence`, unpacked, and verified in a process."""

from __future__ import annotations

import json
import shutil
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

from gauntlet.errors import CliError


def export(name: str, version: int, folder: Path, client: Any, *, rows: bool) -> int:
    """Write the evidence into a new folder, completely or not at all; return the number of files. Raises CliError."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CliError(f"{folder} exists and is not empty", "Evidence is kept as it was exported: name a new folder.")
    try:
        parent = folder.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=".evidence-") as scratch:
            archive, draft = Path(scratch) / "evidence.zip", Path(scratch) / "files"
            with archive.open("wb") as file:
                client.save(f"/models/{name}/candidates/{version}/evidence.zip", file, rows=str(rows).lower())
            count = _unpack(archive, draft)
            draft.replace(folder)
    except OSError as error:
        raise CliError(f"{folder} cannot be written: {error.strerror or error}") from error
    return count


def verify(folder: Path, keys: Path | None, golden: Path | None) -> dict[str, Any]:
    """Verify a folder; return what was found. Raises CliError with the first thing that does not fit."""
    from gauntlet.modules import run

    arguments = [str(folder)]
    arguments += [] if keys is None else ["--keys", str(keys)]
    arguments += [] if golden is None else ["--golden", str(golden)]
    try:
        found: dict[str, Any] = json.loads(run(["gatekeeper.offline", "evidence", *arguments], {}))
    except CliError as error:
        reason = error.message.removeprefix("gatekeeper.offline: ")
        raise CliError(f"{folder} is not the evidence that was exported: {reason}") from error
    return found


def _unpack(archive: Path, folder: Path) -> int:
    """Unpack below `folder`. Raises CliError for an archive that is broken, or names a file outside."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                parts = PurePosixPath(member.filename).parts
                if not parts or member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
                    raise CliError(f"the gatekeeper sent a file outside of the folder: {member.filename!r}")
                path = folder.joinpath(*parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as content, path.open("wb") as out:
                    shutil.copyfileobj(content, out)
            return len(file.infolist())
    except zipfile.BadZipFile as error:
        raise CliError(
            f"the gatekeeper sent no zip file: {error}", "Is that really the gatekeeper of Gauntlet?"
        ) from error
