"""Manual decisions: promote, roll back, freeze, unfreeze. Each runs in one transaction and is audited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from chassis.database import Database
from chassis.errors import NotFound
from chassis.policy_store import PolicyStore
from chassis.registry import Registry
from contracts import Cause, Envelope, Promoted
from gatekeeper.artifacts.cache import Artifacts
from gatekeeper.database import queries, registrations
from gatekeeper.database.candidate_verdict import STATES
from gatekeeper.database.promotions import promoted_again
from gatekeeper.database.recorder import Recorder
from gatekeeper.database.tables import BEING_JUDGED, CandidateRow, ModelRow
from gatekeeper.policy.promotion import Promote, Refuse, State, on_request, on_rollback
from gatekeeper.refusals import CommandRefused


class OverrideNotPermitted(CommandRefused):
    """The version did not pass its gates, and who wants to promote it may only approve."""


@dataclass(frozen=True)
class Authority:
    """What the roles of a person permit: to promote what did not pass, and what they registered themselves."""

    overrides: bool
    own: bool


ANY = Authority(overrides=True, own=True)

OUTCOMES = {state: outcome for outcome, state in STATES.items()}


class Decisions:
    """Manual commands. All methods block; they raise NotFound, CommandRefused, and Transient when MLflow or the
    database is unavailable.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        artifacts: Artifacts,
        recorder: Recorder,
        policies: PolicyStore,
    ) -> None:
        self._database = database
        self._registry = registry
        self._artifacts = artifacts
        self._recorder = recorder
        self._policies = policies

    def promote(
        self,
        model_name: str,
        model_version: int,
        *,
        actor: str,
        reason: str,
        authority: Authority = ANY,
        epoch: int | None = None,
    ) -> Envelope[Promoted]:
        """Make a version champion, whatever its verdict; the cause records whether it had passed its gates.

        `epoch`: that the person saw; None: whatever it is.

        Raises OverrideNotPermitted, and OwnApproval for a version that `actor` registered, as `authority` says.
        """
        try:
            return self._promote(model_name, model_version, actor, reason, authority, epoch)
        except (OverrideNotPermitted, registrations.OwnApproval) as refused:
            with self._database.transaction() as session:
                why = str(refused)
                queries.add_audit(session, "promotion not allowed", model_name, model_version, actor=actor, reason=why)
            raise

    def _promote(
        self, model_name: str, model_version: int, actor: str, reason: str, authority: Authority, epoch: int | None
    ) -> Envelope[Promoted]:
        self.known(model_name)
        digest, uri = self._digest_of(model_name, model_version)
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            row = self._candidate(session, model_name, model_version)
            decision = request_of(row, queries.state(session, model_name))
            if isinstance(decision, Refuse):
                raise CommandRefused(f"{model_name}: {decision.reason}")
            _require_epoch(decision, epoch)
            if decision.cause is Cause.OVERRIDE and not authority.overrides:
                raise OverrideNotPermitted(
                    f"{model_name} v{model_version} did not pass its gates: {actor} needs the role admin to promote it"
                )
            if not authority.own:
                registrations.require_other(session, row, actor, "promote")
            row.artifact_digest, row.artifact_uri = digest, uri
            policy = self._policies.get(model_name)
            return self._recorder.promote(session, row, decision, actor=actor, reason=reason, policy=policy)

    def roll_back(
        self, model_name: str, to: int | None, *, actor: str, reason: str, epoch: int | None = None
    ) -> Envelope[Promoted]:
        """Make an earlier champion (by default the previous one) champion again. Allowed while frozen.

        `epoch`: that the person saw; None: whatever it is.
        """
        self.known(model_name)
        with self._database.reading() as session:
            target, _ = _rollback(session, model_name, to)
            earlier = queries.promotion_of(session, model_name, target)
        digest, uri = (None, None) if earlier else self._fetch(model_name, target)
        with self._database.transaction() as session:
            queries.lock(session, model_name)
            decided, decision = _rollback(session, model_name, to)
            _require_epoch(decision, epoch)
            if decided != target:
                raise CommandRefused(f"{model_name}: the champion has just changed; look again")
            current = queries.champion(session, model_name)
            event = promoted_again(
                model_name, target, earlier, decision, actor=actor, reason=reason, uri=uri, digest=digest
            )
            if current is not None and event.metric is None:
                event = event.model_copy(update={"metric": current.event.get("metric")})
            return self._recorder.record_promotion(session, event)

    def freeze(self, model_name: str, *, actor: str, reason: str) -> ModelRow:
        """Stop automatic promotions: only manual commands change the champion."""
        self.known(model_name)
        with self._database.transaction() as session:
            row = queries.lock(session, model_name)
            if row.frozen_at is not None:
                raise CommandRefused(f"{model_name} is frozen already, by {row.frozen_by}: {row.frozen_reason}")
            row.frozen_by, row.frozen_reason, row.frozen_at = actor, reason, datetime.now(UTC)
            queries.add_audit(session, "frozen", model_name, None, actor=actor, reason=reason)
            return row

    def unfreeze(self, model_name: str, *, actor: str, reason: str) -> ModelRow:
        self.known(model_name)
        with self._database.transaction() as session:
            row = queries.lock(session, model_name)
            if row.frozen_at is None:
                raise CommandRefused(f"{model_name} is not frozen")
            row.frozen_by = row.frozen_reason = row.frozen_at = None
            queries.add_audit(session, "unfrozen", model_name, None, actor=actor, reason=reason)
            return row

    def known(self, model_name: str) -> None:
        """Raise NotFound for a model that has no policy and no history, and that MLflow does not have; Transient when
        MLflow would have to be asked and is unavailable."""
        if model_name in self._policies:
            return
        with self._database.reading() as session:
            if queries.has_rows(session, model_name):
                return
        try:
            self._registry.aliases(model_name)
        except NotFound:
            raise NotFound(
                f"model {model_name!r} is unknown: it has no policy, and MLflow has no model of this name; add"
                f" {self._policies.folder}{model_name}.yaml, or register a version in MLflow"
            ) from None

    def _candidate(self, session: Session, model_name: str, model_version: int) -> CandidateRow:
        row = queries.candidate(session, model_name, model_version)
        if row is None:
            raise CommandRefused(
                f"{model_name} v{model_version} was never gated; register it first"
                f" (gauntlet register {model_name} {model_version})"
            )
        return row

    def _digest_of(self, model_name: str, model_version: int) -> tuple[str, str]:
        """Digest and URI of a version's artifact, fetched if its gates never ran. Raises NotFound, CommandRefused."""
        version = self._registry.version(model_name, model_version)
        with self._database.reading() as session:
            row = self._candidate(session, model_name, model_version)
            if row.artifact_digest and row.artifact_uri:
                return row.artifact_digest, row.artifact_uri
            if row.state in BEING_JUDGED:
                raise CommandRefused(f"{model_name}: v{model_version} is still being gated; wait for its verdict")
        return self._fetch(model_name, model_version, version.source)

    def _fetch(self, model_name: str, model_version: int, uri: str | None = None) -> tuple[str, str]:
        uri = uri or self._registry.version(model_name, model_version).source
        try:
            _, digest = self._artifacts.model(uri)
        except ValueError as error:
            raise CommandRefused(f"{model_name} v{model_version} cannot be served: {error}") from error
        return digest, uri


def request_of(row: CandidateRow, state: State) -> Promote | Refuse:
    """Return what policy says of a person who wants to promote this version now."""
    return on_request(row.model_version, OUTCOMES.get(row.state), row.state in BEING_JUDGED, state)


def rollback_of(session: Session, model_name: str, to: int | None) -> tuple[int, Promote] | Refuse:
    """Return the version that a rollback leads to, and what policy says of it."""
    current = queries.champion(session, model_name)
    previous: int | None = current.event.get("previous_version") if current else None
    return on_rollback(to, previous, queries.past_champions(session, model_name), queries.state(session, model_name))


def _rollback(session: Session, model_name: str, to: int | None) -> tuple[int, Promote]:
    decision = rollback_of(session, model_name, to)
    if isinstance(decision, Refuse):
        raise CommandRefused(f"{model_name}: {decision.reason}")
    return decision


def _require_epoch(decision: Promote, seen: int | None) -> None:
    if seen is not None and decision.epoch != seen + 1:
        raise CommandRefused(
            f"the champion has changed since the page was shown: the epoch is {decision.epoch - 1} now, not {seen};"
            " look again"
        )
