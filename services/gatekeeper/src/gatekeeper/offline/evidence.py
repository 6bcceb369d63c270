"""Exported evidence, verified without the gatekeeper's database, MLflow or a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chassis import record_files
from chassis.digests import digest_file
from chassis.errors import Malformed, NotFound, Permanent
from chassis.kafka import LARGEST_MESSAGE
from chassis.signing.dsse import NotVerified, Verifier
from chassis.signing.event_signature import verify_event
from contracts import GateFailed, GatePassed, GateVerdict, Promoted, overall
from contracts.cloudevents import Record, decode
from contracts.policy import ModelPolicy
from gatekeeper.database.evidence_formats import Unreadable, upgraded
from gatekeeper.export import layout
from gatekeeper.export.bundle import golden_of
from gatekeeper.export.model_files import tree_digest
from gatekeeper.offline.files import Fault, Manifest, read_json, verify_files
from gatekeeper.offline.trail import head_of
from gatekeeper.policy.hash_chain import Entry, digest_of, from_line
from gatekeeper.replay import NoEvidence, Replayer

OUTCOMES = {"passed": "Passed", "failed": "Failed", "inconclusive": "Inconclusive"}


class ExportedFiles:
    """Golden rows and arrays in the folder, for a replay. `golden`: a file of golden rows that is kept elsewhere."""

    def __init__(self, folder: Path, golden: Path | None) -> None:
        self._folder = folder
        self._golden = golden

    def dataset(self, uri: str, digest: str | None = None) -> tuple[Path, str]:
        path = self._folder / layout.object_path(digest or "")
        if not path.is_file() and self._golden is not None:
            path = self._golden
        if not path.is_file():
            raise NotFound(f"the golden rows {digest} ({uri}) are not in the folder")
        return path, digest_file(path)

    def load(self, _model_name: str, digest: str) -> bytes:
        path = self._folder / layout.object_path(digest)
        if not path.is_file() or digest_file(path) != digest:
            raise NotFound(f"{path.name} is not in the folder as it was kept")
        return path.read_bytes()


def verify(folder: Path, keys: Verifier | None, golden: Path | None = None) -> dict[str, Any]:
    """Return what was verified, and in `notes` what could not be. Raises Fault at the first thing that does not fit."""
    manifest = verify_files(folder, keys)
    notes: list[str] = []
    if keys is None:
        notes.append("signatures were not verified: --keys DIR")
    try:
        found = _verify(folder, manifest, keys, golden, notes)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise Fault(f"a file is not as Gauntlet writes it: {type(error).__name__}: {error}") from error
    return {
        "model": manifest.model_name,
        "version": manifest.model_version,
        "created_at": manifest.created_at,
        "key_id": manifest.key_id,
        "files": len(manifest.files),
        **found,
        "notes": notes,
    }


def _verify(
    folder: Path, manifest: Manifest, keys: Verifier | None, golden: Path | None, notes: list[str]
) -> dict[str, Any]:
    verdict = read_json(folder / layout.VERDICT)
    named = verdict["model_name"], verdict["model_version"]
    if named != (manifest.model_name, manifest.model_version):
        raise Fault(f"{layout.VERDICT} is of {named[0]} v{named[1]}, the manifest of another version")
    verdicts = tuple(GateVerdict.model_validate(each) for each in verdict["verdicts"])
    if OUTCOMES.get(verdict["state"], verdict["state"]) != overall(verdicts).value and verdict["state"] in OUTCOMES:
        raise Fault(f"{layout.VERDICT} is {verdict['state']}, and its gates together {overall(verdicts).value}")
    _verify_policy(folder, verdict)
    _verify_objects(folder)
    events = _verify_events(folder, verdict, keys, notes)
    rows, covered = _verify_audit(folder, verdict, keys, notes)
    _verify_decisions(folder, events, notes)
    _verify_model_files(folder, verdict, notes)
    replayed = _replay(folder, verdict, verdicts, golden, notes)
    return {
        "outcome": overall(verdicts).value,
        "events": len(events),
        "audit_rows": rows,
        "audit_head": covered,
        "replayed": replayed,
    }


def _verify_policy(folder: Path, verdict: Mapping[str, Any]) -> None:
    evidence, path = read_json(folder / layout.EVIDENCE), folder / layout.POLICY
    if not path.exists():
        return
    policy = read_json(path)
    if policy != evidence.get("policy"):
        raise Fault(f"{layout.POLICY} is not the policy of {layout.EVIDENCE}")
    recorded = {verdict["policy_digest"], evidence.get("policy_digest")}
    if len(recorded) != 1:
        raise Fault(f"{layout.VERDICT} and {layout.EVIDENCE} name different policies")
    measured = evidence.get("measured") or {}
    is_as_written = "problem_because" in measured and measured["problem_because"] is None
    if is_as_written and ModelPolicy.model_validate(policy).digest not in recorded:  # else the gates completed it
        raise Fault(f"{layout.POLICY} is not the policy {verdict['policy_digest']} of the verdict")


def _verify_objects(folder: Path) -> None:
    for path in sorted((folder / layout.OBJECTS).glob("*")):
        if f"{layout.OBJECTS}/{path.name}" != layout.object_path(digest_file(path)):
            raise Fault(f"{layout.OBJECTS}/{path.name} is not the file that its name is the digest of")


def _verify_events(
    folder: Path, verdict: Mapping[str, Any], keys: Verifier | None, notes: list[str]
) -> list[tuple[str, Any]]:
    """Return ids and data of the events as they were published."""
    found: list[tuple[str, Any]] = []
    for number, record in enumerate(_records(folder / layout.EVENTS), 1):
        where = f"{layout.EVENTS}, line {number}"
        try:
            envelope = decode(record, LARGEST_MESSAGE)
        except Malformed as error:
            raise Fault(f"{where}: {error}") from error
        event = envelope.data
        version = getattr(getattr(event, "tried", event), "model_version", None)
        if (event.model_name, version) != (verdict["model_name"], verdict["model_version"]):
            raise Fault(f"{where} is of {event.model_name} v{version}")
        if event.signed and keys is not None:
            try:
                verify_event(record, keys)
            except NotVerified as error:
                raise Fault(f"{where} ({type(event).__name__}): {error}") from error
        found.append((envelope.id, event))
    results = [event for _, event in found if isinstance(event, GatePassed | GateFailed)]
    if not results:
        notes.append("no event with the verdict was kept: it was published by an earlier build")
        return found
    last = results[-1].model_dump(mode="json")
    for key in ("verdicts", "artifact_digest", "reason", "champion_version"):
        if last[key] != verdict[key]:
            raise Fault(f"{layout.VERDICT} and the event with the verdict differ: {key}")
    return found


def _verify_audit(
    folder: Path, verdict: Mapping[str, Any], keys: Verifier | None, notes: list[str]
) -> tuple[int, int | None]:
    """Return how many rows there are, and how many rows of the whole trail the newest signed head covers."""
    text = (folder / layout.AUDIT).read_text().splitlines()
    entries: list[Entry] = []
    for number, line in enumerate(text, 1):
        entry, where = from_line(line), f"{layout.AUDIT}, line {number}"
        if digest_of(entry) != entry.digest:
            raise Fault(f"{where}: row {entry.sequence} of the trail is not what its digest was computed from")
        if entry.model_name != verdict["model_name"] or entry.model_version not in (None, verdict["model_version"]):
            raise Fault(f"{where}: row {entry.sequence} is of another version")
        if entries and entry.sequence <= entries[-1].sequence:
            raise Fault(f"{where}: row {entry.sequence} stands after row {entries[-1].sequence}")
        if entries and entry.sequence == entries[-1].sequence + 1 and entry.previous_digest != entries[-1].digest:
            raise Fault(f"{where}: row {entry.sequence} does not follow row {entries[-1].sequence}")
        entries.append(entry)
    if not any(entry.action == "judged" for entry in entries):
        notes.append("the audit trail has no row of the verdict")
    if not (folder / layout.AUDIT_HEAD).exists():
        notes.append("there was no signed head of the audit trail")
        return len(entries), None
    (record,) = _records(folder / layout.AUDIT_HEAD)
    head = head_of(record, keys)
    if head.problem is not None:
        raise Fault(f"{layout.AUDIT_HEAD}: {head.problem}")
    own = next((entry for entry in entries if entry.sequence == head.rows), None)
    if own is not None and own.digest != head.digest:
        raise Fault(f"{layout.AUDIT_HEAD}: row {head.rows} of {layout.AUDIT} is not the one whose digest was signed")
    later = sum(entry.sequence > head.rows for entry in entries)
    if later:
        notes.append(f"{later} rows of the audit trail are newer than its newest signed head")
    return len(entries), head.rows


def _verify_decisions(folder: Path, events: Sequence[tuple[str, Any]], notes: list[str]) -> None:
    published = {event_id: event for event_id, event in events if isinstance(event, Promoted)}
    for each in read_json(folder / layout.DECISIONS)["promotions"]:
        event = published.get(each["event_id"])
        if event is None:
            notes.append(f"the event of epoch {each['epoch']} was not kept")
            continue
        said = event.model_dump(mode="json")
        different = [key for key in said if key in each and said[key] != each[key]]
        if different:
            raise Fault(f"{layout.DECISIONS}: epoch {each['epoch']} differs from its event: {', '.join(different)}")


def _verify_model_files(folder: Path, verdict: Mapping[str, Any], notes: list[str]) -> None:
    files = read_json(folder / layout.MODEL_FILES)
    if files["problem"] is not None:
        notes.append(files["problem"])
        return
    if (found := tree_digest(files["files"])) != verdict["artifact_digest"]:
        raise Fault(
            f"{layout.MODEL_FILES}: its files make the digest {found}, the verdict is on {verdict['artifact_digest']}"
        )
    listed = {each["path"]: each["sha256"] for each in files["files"]}
    model = read_json(folder / layout.BOM)["metadata"]["component"]
    if {each["name"]: each["hashes"][0]["content"] for each in model.get("components", ())} != listed:
        raise Fault(f"{layout.BOM} does not name the files of {layout.MODEL_FILES}")


def _replay(
    folder: Path, verdict: Mapping[str, Any], verdicts: tuple[GateVerdict, ...], golden: Path | None, notes: list[str]
) -> bool:
    """Return whether the verdict was reached again. Raises Fault where another one is."""
    evidence = read_json(folder / layout.EVIDENCE)
    held = ExportedFiles(folder, golden)
    try:
        needed = golden_of(upgraded(evidence))
        if missing := [digest for digest, uri in needed.items() if not _holds(held, uri, digest)]:
            notes.append(
                f"the verdict was not reached again: the golden rows {missing[0]} are not here (--golden FILE)"
            )
            return False
        found = Replayer(held, held).replay(evidence, verdicts)
    except (NoEvidence, Unreadable) as error:
        if "measured" not in evidence:
            notes.append(f"the verdict was not reached again: {error}")
            return False
        raise Fault(f"{layout.EVIDENCE}: the verdict cannot be reached again: {error}") from error
    if not found.agrees:
        again = found.tournament.differences if found.tournament else ()
        first = (*found.differences, *again)
        what = (
            f"{first[0].where} is {first[0].now!r}, recorded is {first[0].then!r}"
            if first
            else "the tournament differs"
        )
        versions = ", ".join(f"{each.where} {each.then} → {each.now}" for each in found.versions)
        hint = f" (libraries have changed since: {versions})" if versions else ""
        raise Fault(f"{layout.VERDICT} does not follow from the kept measurements: {what}{hint}")
    if verdict["state"] not in OUTCOMES:
        notes.append(f"the version is {verdict['state']} by now")
    return True


def _holds(held: ExportedFiles, uri: str, digest: str) -> bool:
    try:
        return held.dataset(uri, digest)[1] == digest
    except NotFound:
        return False


def _records(path: Path) -> list[Record]:
    try:
        return list(record_files.read(path))
    except Permanent as error:
        raise Fault(str(error)) from error
