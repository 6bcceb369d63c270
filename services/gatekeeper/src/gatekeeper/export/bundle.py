"""Collects the evidence of a version into one zip file: everything that the verdict rests on, and what was decided."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chassis.database import Database
from chassis.digests import digest_file
from chassis.errors import NotFound, Permanent
from chassis.record_files import to_line
from chassis.signing.dsse import Signer, signed
from contracts import AuditHeadSigned
from contracts.cloudevents import Record
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.database import audit_trail, kept_events, queries, rollouts
from gatekeeper.database.evidence_formats import Unreadable, upgraded
from gatekeeper.database.kept_events import KeptEventRow
from gatekeeper.database.tables import UNJUDGED, WAITING
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.export import layout, model_card, model_files
from gatekeeper.export.bom import ml_bom
from gatekeeper.policy.hash_chain import to_line as audit_line
from gatekeeper.read_models import candidate_view, promotion_view
from gatekeeper.refusals import CommandRefused
from gatekeeper.rollout.views import rollout_view

LARGEST = 1024 * 1024 * 1024
"""Bytes of all files together."""


class TooLarge(Permanent):
    """The files are larger than what is exported; the message says what to leave out."""


@dataclass
class Collected:
    """What the database holds of a version: the contents of files, by path, and what is still to be fetched."""

    files: dict[str, bytes] = field(default_factory=dict)
    verdict: dict[str, Any] = field(default_factory=dict)
    evidence: dict[str, Any] = field(default_factory=dict)
    decisions: dict[str, Any] = field(default_factory=dict)


class EvidenceExport:
    """Writes zip files, one at a time. Raises NotFound, CommandRefused for a version without a verdict, TooLarge, and
    Transient when MLflow is unavailable."""

    def __init__(
        self, database: Database, artifacts: Artifacts, kept: EvidenceStore, signers: Sequence[Signer] = ()
    ) -> None:
        self._database = database
        self._artifacts = artifacts
        self._kept = kept
        self._signers = signers
        self._one = threading.Lock()

    def write(self, model_name: str, model_version: int, path: Path, *, rows: bool = True) -> None:
        """Write the zip file. `rows`: with the golden rows, which the replay of the verdict needs."""
        with self._one:
            found = self._collect(model_name, model_version)
            with zipfile.ZipFile(path, "x", zipfile.ZIP_DEFLATED) as file:
                sizes: dict[str, tuple[str, int]] = {}
                for name, content in self._contents(found, model_name, rows):
                    sizes[name] = _described(content)
                    if sum(size for _, size in sizes.values()) > LARGEST:
                        raise TooLarge(
                            f"the evidence of {model_name} v{model_version} has more than {LARGEST:,} bytes;"
                            " without the golden rows it may have fewer (rows=false, --without-rows)"
                        )
                    if isinstance(content, Path):
                        file.write(content, layout.safe_path(name))
                    else:
                        file.writestr(layout.safe_path(name), content)
                created = datetime.now(UTC).isoformat(timespec="seconds")
                manifest = layout.manifest_of(model_name, model_version, created, sizes)
                file.writestr(layout.MANIFEST, manifest)
                if self._signers:
                    file.writestr(layout.ENVELOPE, signed(layout.PAYLOAD_TYPE, manifest, self._signers).to_json())

    def _collect(self, model_name: str, model_version: int) -> Collected:
        label = f"{model_name} v{model_version}"
        with self._database.reading() as session:
            row = queries.candidate(session, model_name, model_version)
            if row is None:
                raise NotFound(f"{label} was never registered")
            if row.judged_at is None or row.state in UNJUDGED:
                state = row.reason if row.state == WAITING else f"is {row.state}"
                raise CommandRefused(f"{label} has no verdict, so there is no evidence: it {state}")
            verdict = candidate_view(session, row).model_dump(mode="json")
            evidence = verdict.pop("evidence")
            promoted = [each for each in queries.promotions(session, model_name) if each.model_version == model_version]
            tried = rollouts.of_candidate(session, row.id)
            decisions = {
                "promotions": [promotion_view(each).model_dump(mode="json") for each in reversed(promoted)],
                "rollouts": [rollout_view(session, each).model_dump(mode="json") for each in tried],
            }
            events = [_record(each) for each in kept_events.of_version(session, model_name, model_version)]
            head = kept_events.newest(session, AuditHeadSigned)
            audit = audit_trail.of_version(session, model_name, model_version)
        found = Collected(verdict=verdict, evidence=evidence, decisions=decisions)
        found.files[layout.VERDICT] = layout.to_json(verdict)
        found.files[layout.EVIDENCE] = layout.to_json(evidence)
        found.files[layout.DECISIONS] = layout.to_json(decisions)
        if evidence.get("policy"):
            found.files[layout.POLICY] = layout.to_json(evidence["policy"])
        found.files[layout.EVENTS] = _lines(to_line(each) for each in events)
        found.files[layout.AUDIT] = _lines(audit_line(each) for each in audit)
        if head is not None:
            found.files[layout.AUDIT_HEAD] = _lines([to_line(_record(head))])
        return found

    def _contents(self, found: Collected, model_name: str, rows: bool) -> Iterator[tuple[str, bytes | Path]]:
        yield from found.files.items()
        files = self._model_files(found.verdict)
        yield layout.MODEL_FILES, layout.to_json(files)
        card = model_card.card(found.verdict, found.evidence, found.evidence.get("policy"), files, found.decisions)
        yield layout.CARD, layout.to_json(card)
        yield layout.CARD_TEXT, model_card.in_words(card).encode()
        yield layout.BOM, layout.to_json(ml_bom(card, files, _installed(found.evidence)))
        yield layout.DATASETS, layout.to_json(card["data"])
        try:
            document = upgraded(found.evidence)
        except Unreadable:
            return
        for digest in sorted(arrays_of(document)):
            yield layout.object_path(digest), self._kept.load(model_name, digest)
        for digest, uri in sorted(golden_of(document).items() if rows else ()):
            yield layout.object_path(digest), self._golden(uri, digest)

    def _golden(self, uri: str, digest: str) -> Path:
        path, now = self._artifacts.dataset(uri, digest)
        if now != digest:
            raise NotFound(f"the golden dataset {digest} has changed: its digest is {now}; export it without rows")
        return path

    def _model_files(self, verdict: Mapping[str, Any]) -> dict[str, Any]:
        uri, digest = verdict["artifact_uri"], verdict["artifact_digest"]
        if uri is None or digest is None:
            return model_files.unread("there was no artifact that could be read when it was judged")
        try:
            folder, now = self._artifacts.model(uri, digest)
            if now != digest:
                return model_files.unread(f"the artifact's digest is {now} by now")
            return model_files.read(folder)
        except (Permanent, ValueError) as error:  # gone, or at an address that is not opened (any more)
            return model_files.unread(str(error))


def _described(content: bytes | Path) -> tuple[str, int]:
    """Return SHA-256 and size."""
    if isinstance(content, Path):
        return digest_file(content).removeprefix("sha256:"), content.stat().st_size
    return layout.digest_of(content), len(content)


def arrays_of(value: Any) -> set[str]:
    """Return the digests of the arrays that a document of evidence names."""
    if isinstance(value, Mapping):
        own = {value["parquet"]} if isinstance(value.get("parquet"), str) else set()
        return own.union(*(arrays_of(each) for each in value.values()))
    return set().union(*(arrays_of(each) for each in value)) if isinstance(value, list) else set()


def golden_of(value: Any) -> dict[str, str]:
    """Return the URIs of the golden rows that a document of evidence names, by digest."""
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        digest, uri = value.get("golden_digest"), value.get("golden_uri")
        if isinstance(digest, str) and isinstance(uri, str):
            found[digest] = uri
    for each in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        found |= golden_of(each)
    return found


def _installed(evidence: Mapping[str, Any]) -> dict[str, str]:
    facts = (evidence.get("measured") or {}).get("integrity") or {}
    return {
        str(each["package"]): str(each["installed"]) for each in facts.get("dependencies", ()) if each.get("installed")
    }


def _record(row: KeptEventRow) -> Record:
    headers = tuple((name, value.encode()) for name, value in row.headers)
    return Record(row.topic, row.model_name.encode(), row.value, headers)


def _lines(lines: Iterator[str] | Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
