"""The audit trail and its signed heads for `gauntlet audit`: fetched, kept in files, verified in a process."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gauntlet.errors import CliError

if TYPE_CHECKING:
    from contracts.cloudevents import Record

OFFLINE = "gatekeeper.offline"
NO_HEADS = "The gatekeeper signs them once GATEKEEPER_SIGNING_KEY names a key (gauntlet keys create)."


def heads_on_topic(data_dir: Path, kafka: str | None) -> list[Record]:
    """Return every head that the topic holds."""
    from contracts import AuditHeadSigned
    from gauntlet.broker import Broker

    received = Broker(data_dir, kafka).read_whole(AuditHeadSigned.topic)
    return [each.record for each in received if each.record.value is not None]


def kept_heads(file: Path) -> list[Record]:
    """Return the heads in a file. Raises CliError."""
    from chassis import record_files
    from chassis.errors import Permanent

    try:
        return list(record_files.read(file))
    except Permanent as error:
        raise CliError(str(error), "It is to be a file that gauntlet audit heads --output has written.") from error


def keep_heads(file: Path, found: Iterable[Record]) -> tuple[int, int]:
    """Add heads to a file, which may exist; return how many it has, and how many of them are new."""
    from chassis import record_files

    before = kept_heads(file) if file.exists() else []
    known = {(each.key, each.value, each.headers) for each in before}
    new = [each for each in found if (each.key, each.value, each.headers) not in known]
    with _written(file):
        record_files.write(file, [*before, *new])
    return len(before) + len(new), len(new)


def export_to(file: Path, client: Any) -> None:
    """Write the whole trail to a new file, completely or not at all."""
    if file.exists():
        raise CliError(f"{file} exists", "An export is kept as it was made: name a new file.")
    with _written(file), tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".export-") as folder:
        draft = Path(folder) / file.name
        with draft.open("wb") as out:
            client.save("/audit/export", out)
        os.link(draft, file)


def verified(client: Any, heads: Iterable[Record], keys: Path | None, kept: Path | None) -> dict[str, Any]:
    """Export the trail and verify it here. The heads are to be read before: the trail may only be longer than they."""
    with tempfile.TemporaryDirectory(prefix="gauntlet-audit-") as folder:
        export = Path(folder) / "trail.jsonl"
        export_to(export, client)
        more = [] if kept is None else ["--kept", str(kept)]
        found: dict[str, Any] = _offline("trail", [str(export), *more], heads, keys)
        return found


def described(heads: Iterable[Record], keys: Path | None) -> list[dict[str, Any]]:
    """Return heads as JSON, by their rows; `problem`: why the signature of one does not hold."""
    found: list[dict[str, Any]] = _offline("heads", [], heads, keys)
    return sorted(found, key=lambda head: (head["rows"], head["at"]))


def _offline(command: str, arguments: list[str], heads: Iterable[Record], keys: Path | None) -> Any:
    from chassis import record_files
    from gauntlet.modules import run

    with tempfile.TemporaryDirectory(prefix="gauntlet-heads-") as folder:
        file = Path(folder) / "heads.jsonl"
        record_files.write(file, heads)
        named = [str(file)] if command == "heads" else ["--heads", str(file)]
        trusted = [] if keys is None else ["--keys", str(keys)]
        return json.loads(run([OFFLINE, command, *arguments, *named, *trusted], {}))


def fault_of(found: Mapping[str, Any]) -> CliError | None:
    """Return the first thing that is wrong with a trail, or with its heads."""
    if (broken := found["broken"]) is not None:
        return CliError(
            f"the audit trail is broken at row {broken['sequence']} ({broken['kind']}): {broken['what']}",
            f"{found['rows']:,} rows before it are linked. Compare with a backup of the database.",
        )
    if (differs := found["differs"]) is not None:
        return CliError(
            f"the audit trail was written anew: {differs['what']}{_change(differs['fields'])}",
            "The trail is consistent in itself, but it is not the one that was kept.",
        )
    heads = found["heads"]
    if (rewritten := heads["rewritten"]) is not None:
        return CliError(
            f"the audit trail was written anew ({rewritten['kind']}): {rewritten['what']}",
            "The trail is consistent in itself, but it is not the one whose heads were signed. An earlier export"
            " (--kept FILE) names the row.",
        )
    if heads["refused"]:
        return CliError(
            f"{len(heads['refused'])} heads are not believed: {heads['refused'][0]}",
            "Is the public key of that time in --keys? Keep old public keys there. All other heads match the trail.",
        )
    if heads["heads"] == 0:
        return CliError("there are no signed heads to compare the audit trail with", NO_HEADS)
    return None


def _change(fields: Mapping[str, Any]) -> str:
    shown = {name: pair for name, pair in fields.items() if not name.endswith("digest")}
    return "".join(f"; {name} was {before!r}, is {after!r}" for name, (before, after) in list(shown.items())[:3])


@contextmanager
def _written(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CliError(f"{file} cannot be written: {error.strerror or error}") from error
