"""Verdicts reached again from what was kept: under the policy of then, or under another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from chassis.errors import NotFound
from contracts import GateVerdict, Outcome, overall
from contracts.policy import ModelPolicy
from gatekeeper import evidence, golden
from gatekeeper.artifacts import ArtifactCache
from gatekeeper.evidence_store import EvidenceStore
from gatekeeper.golden import Unusable
from gatekeeper.judging import judge
from gatekeeper.measured import Measured


class NoEvidence(ValueError):
    """The verdict cannot be reached again; the text says what is missing."""


@dataclass(frozen=True)
class Difference:
    """Something that is not as it was. `where` is a path into the verdict, such as `performance.details.se`."""

    where: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Replayed:
    """`agrees` when there is no difference at all. `versions` are the libraries that have changed since."""

    verdicts: tuple[GateVerdict, ...]
    differences: tuple[Difference, ...]
    versions: tuple[Difference, ...]

    @property
    def outcome(self) -> Outcome:
        return overall(self.verdicts)

    @property
    def agrees(self) -> bool:
        return not self.differences


class Replayer:
    """Needs the evidence and the golden snapshot, neither the models nor their training data."""

    def __init__(self, artifacts: ArtifactCache, kept: EvidenceStore) -> None:
        self._artifacts = artifacts
        self._kept = kept

    def replay(self, document: Mapping[str, Any], verdicts: tuple[GateVerdict, ...]) -> Replayed:
        """Under the policy of then. Raises NoEvidence, and Transient when MLflow is away."""
        measured, policy = self._read(document)
        return self._compare(document, verdicts, judge(measured, policy))

    def what_if(self, document: Mapping[str, Any], verdicts: tuple[GateVerdict, ...], policy: ModelPolicy) -> Replayed:
        """Under another policy, on the golden rows and answers of then. Raises as `replay`."""
        measured, _ = self._read(document)
        measured.problem = policy.problem
        return self._compare(document, verdicts, judge(measured, policy))

    def _read(self, document: Mapping[str, Any]) -> tuple[Measured, ModelPolicy]:
        if "measured" not in document:
            raise NoEvidence("it was judged before evidence was kept, or by nothing that could be measured")
        name = document["measured"]["event"]["model_name"]
        try:
            measured, policy = evidence.read(document, partial(self._kept.load, name))
            if document["golden"] is not None:
                measured.golden = golden.read(self._golden(measured), measured.description, policy)
        except (evidence.Unreadable, NotFound, Unusable) as error:
            raise NoEvidence(str(error)) from error
        return measured, policy

    def _golden(self, measured: Measured) -> Path:
        digest = measured.golden_digest
        path, found = self._artifacts.dataset(measured.golden_uri or "", digest)
        if found != digest:
            raise NotFound(f"the golden dataset {digest} has changed: its digest is {found}")
        return path

    def _compare(
        self, document: Mapping[str, Any], then: tuple[GateVerdict, ...], now: tuple[GateVerdict, ...]
    ) -> Replayed:
        before = {verdict.gate: verdict.model_dump(mode="json") for verdict in then}
        after = {verdict.gate: verdict.model_dump(mode="json") for verdict in now}
        versions = _differences(dict(document.get("versions", {})), evidence.versions(), "")
        return Replayed(now, tuple(_differences(before, after, "")), tuple(versions))


def _differences(then: Any, now: Any, where: str) -> Iterator[Difference]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            yield from _differences(then.get(key), now.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from _differences(one, other, f"{where}[{number}]")
    elif then != now:
        yield Difference(where, then, now)
