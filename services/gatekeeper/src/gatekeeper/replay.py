"""Re-evaluate stored evidence, under the original policy or another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from chassis.errors import NotFound, Permanent
from contracts import GateVerdict, Outcome, overall
from contracts.policy import ModelPolicy
from gatekeeper.database.evidence_formats import Unreadable, upgraded
from gatekeeper.evaluation import golden_rows
from gatekeeper.evaluation.gate_runner import run_gates
from gatekeeper.evaluation.golden_rows import GoldenRows, Unusable
from gatekeeper.evaluation.measurements import Measurements
from gatekeeper.evidence import document as evidence
from gatekeeper.policy import tournament
from gatekeeper.tournaments import comparison
from gatekeeper.tournaments.comparison import TournamentDecision, TournamentInput


class NoEvidence(ValueError):
    """The verdict cannot be re-evaluated; the message names what is missing."""


@dataclass(frozen=True)
class Difference:
    """A changed value. `where` is a path into the verdict, such as `performance.details.se`."""

    where: str
    then: Any
    now: Any


@dataclass(frozen=True)
class TournamentReplay:
    """A replayed tournament: the original winner (`then`) and the new one (`now`), None when the champion stays.

    `unknown` names what the evidence lacks; `now` then covers only what the evidence supports.
    """

    then: int | None
    now: int | None = None
    reason: str | None = None
    unknown: str | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def agrees(self) -> bool:
        return not self.differences and self.unknown is None


@dataclass(frozen=True)
class VerdictReplay:
    """`agrees`: there is no difference at all. `versions`: libraries that have changed since.

    `tournament`: the one on the verdict's golden rows; None if none was played.
    """

    verdicts: tuple[GateVerdict, ...]
    differences: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    tournament: TournamentReplay | None = None

    @property
    def outcome(self) -> Outcome:
        return overall(self.verdicts)

    @property
    def agrees(self) -> bool:
        return not self.differences and (self.tournament is None or self.tournament.agrees)


class Datasets(Protocol):
    """Where golden rows are: the gatekeeper's `Artifacts`, or exported files."""

    def dataset(self, uri: str, digest: str | None = None) -> tuple[Path, str]: ...


class Arrays(Protocol):
    """Where the arrays of evidence are: the gatekeeper's `EvidenceStore`, or exported files."""

    def load(self, model_name: str, digest: str) -> bytes: ...


class Replayer:
    """Re-evaluates verdicts from the evidence and the golden snapshot, without the models or their training data."""

    def __init__(self, artifacts: Datasets, kept: Arrays) -> None:
        self._artifacts = artifacts
        self._kept = kept

    def replay(self, document: Mapping[str, Any], verdicts: tuple[GateVerdict, ...]) -> VerdictReplay:
        """Re-evaluate under the original policy. Raises NoEvidence, and Transient when MLflow is unavailable."""
        document, measurements, policy = self._read(document)
        now = run_gates(measurements, policy)
        again = self._again(document, measurements, now, policy)
        return self._compare(document, verdicts, now, again)

    def what_if(
        self, document: Mapping[str, Any], verdicts: tuple[GateVerdict, ...], policy: ModelPolicy
    ) -> VerdictReplay:
        """Re-evaluate the original golden rows and predictions under another policy. Raises as `replay`."""
        document, measurements, then = self._read(document)
        measurements.problem = policy.problem
        now = run_gates(measurements, policy)
        return self._compare(document, verdicts, now, self._otherwise(document, measurements, now, then, policy))

    def replay_tournament(self, document: Mapping[str, Any], policy: ModelPolicy | None = None) -> TournamentReplay:
        """Re-evaluate a tournament caused by a drift, under the original policy or another. Raises as `replay`."""
        document, measurements, then = self._read(document)
        if policy is None:
            again = self._again(document, measurements, (), then)
        else:
            measurements.problem = policy.problem
            again = self._otherwise(document, measurements, (), then, policy)
        if again is None:
            raise NoEvidence("no tournament was played")
        return again

    def measured(self, document: Mapping[str, Any], model_version: int) -> tuple[Measurements, ModelPolicy]:
        """Return what was measured of a version, and the policy then: in its own verdict, or as the best of the
        tournament on those rows. Raises NoEvidence, and Transient."""
        document, own, policy = self._read(document)
        if own.event.model_version == model_version and own.probe is not None:
            return own, policy
        played = document.get("tournament")
        gated = None if played is None else self._contest(played, own, policy)[1]
        if gated is None or gated.event.model_version != model_version:
            raise NoEvidence(f"it holds no measurements of v{model_version}")
        return gated, policy

    def _again(
        self,
        document: Mapping[str, Any],
        measurements: Measurements,
        candidate: Sequence[GateVerdict],
        policy: ModelPolicy,
    ) -> TournamentReplay | None:
        """The tournament under the original policy, compared to the last digit."""
        played = document.get("tournament")
        if played is None:
            return None
        try:
            decided, _ = self._decided(*self._contest(played, measurements, policy), measurements, candidate, policy)
        except NoEvidence as error:
            return TournamentReplay(played["winner"], unknown=str(error))
        now = decided.document()
        then = {key: played.get(key) for key in now}
        found = tuple(differences(then, now, "tournament"))
        return TournamentReplay(played["winner"], decided.ending.winner, decided.ending.reason, differences=found)

    def _otherwise(
        self,
        document: Mapping[str, Any],
        measurements: Measurements,
        candidate: Sequence[GateVerdict],
        then: ModelPolicy,
        policy: ModelPolicy,
    ) -> TournamentReplay | None:
        """The tournament under another policy, as far as the evidence allows; None where neither policy has one."""
        played = document.get("tournament")
        if tournament.comparison(policy) is None:
            reason = "this policy compares no retained versions"
            return None if played is None else TournamentReplay(played["winner"], reason=reason)
        if played is None:
            why = "no tournament was played then, so the predictions of earlier versions on these rows are unknown"
            return TournamentReplay(None, unknown=why) if measurements.champion_answers is not None else None
        if policy.problem != then.problem:
            return TournamentReplay(
                played["winner"], unknown=f"the original predictions are for a {then.problem} problem"
            )
        try:
            asked, gated = self._contest(played, measurements, then)
        except NoEvidence as error:
            return TournamentReplay(played["winner"], unknown=str(error))
        unknown = comparison.not_asked(asked, then, policy)
        decided, ungated = self._decided(comparison.wanted(asked, policy), gated, measurements, candidate, policy)
        if ungated is not None:
            unknown = f"v{ungated} would be the best, but its other gates were not run on these rows"
            return TournamentReplay(played["winner"], None, decided.standing.result.reason, unknown)
        return TournamentReplay(played["winner"], decided.ending.winner, decided.ending.reason, unknown)

    def _contest(
        self, played: Mapping[str, Any], measurements: Measurements, policy: ModelPolicy
    ) -> tuple[TournamentInput, Measurements | None]:
        """The tournament's input and the measurements of the best. `policy`: the original one. Raises NoEvidence."""
        try:
            found, gated = comparison.read(played, partial(self._kept.load, measurements.event.model_name))
            if gated is not None:
                gated.golden = self._golden_rows(gated, policy)
        except (Unreadable, Permanent, Unusable) as error:
            raise NoEvidence(f"the tournament cannot be played again: {error}") from error
        return found, gated

    def _decided(
        self,
        asked: TournamentInput,
        gated: Measurements | None,
        measurements: Measurements,
        candidate: Sequence[GateVerdict],
        policy: ModelPolicy,
    ) -> tuple[TournamentDecision, int | None]:
        """The decision, and the best version if its gates decide but were not run originally."""
        settings = tournament.comparison(policy)
        assert settings is not None, "the policy wants a tournament"
        standing = comparison.rank(measurements, asked, policy, settings)
        best = standing.result.winner
        wanted = best is not None and tournament.outdoes(standing.result.verdicts[best], candidate)
        own = gated if wanted and gated is not None and gated.event.model_version == best else None
        decided = comparison.decide(measurements, asked, standing, candidate, own, policy)
        return decided, best if wanted and own is None else None

    def _read(self, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], Measurements, ModelPolicy]:
        """Also returns the document, upgraded to the current format."""
        if "measured" not in document:
            raise NoEvidence("it was judged before evidence was kept, or by nothing that could be measured")
        try:
            document = upgraded(document)
            name = document["measured"]["event"]["model_name"]
            measurements, policy = evidence.read(document, partial(self._kept.load, name))
            if document["golden"] is not None:
                measurements.golden = self._golden_rows(measurements, policy)
        except (Unreadable, Permanent, Unusable) as error:
            raise NoEvidence(str(error)) from error
        return document, measurements, policy

    def _golden_rows(self, measurements: Measurements, policy: ModelPolicy) -> GoldenRows:
        path, source = self._golden(measurements), measurements.golden_source
        return golden_rows.read(path, measurements.description, policy, source)

    def _golden(self, measurements: Measurements) -> Path:
        digest = measurements.golden_digest
        path, found = self._artifacts.dataset(measurements.golden_uri or "", digest)
        if found != digest:
            raise NotFound(f"the golden dataset {digest} has changed: its digest is {found}")
        return path

    def _compare(
        self,
        document: Mapping[str, Any],
        then: tuple[GateVerdict, ...],
        now: tuple[GateVerdict, ...],
        again: TournamentReplay | None,
    ) -> VerdictReplay:
        before = {verdict.gate: verdict.model_dump(mode="json") for verdict in then}
        after = {verdict.gate: verdict.model_dump(mode="json") for verdict in now}
        versions = differences(dict(document.get("versions", {})), evidence.versions(), "")
        return VerdictReplay(now, tuple(differences(before, after, "")), tuple(versions), again)


def differences(then: Any, now: Any, where: str) -> Iterator[Difference]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *(key for key in now if key not in then)]:
            yield from differences(then.get(key), now.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{where}[{number}]")
    elif then != now:
        yield Difference(where, then, now)
