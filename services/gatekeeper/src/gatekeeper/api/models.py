"""The HTTP API of models: reading decisions, and manual decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.orm import InstrumentedAttribute, Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from contracts.event import LARGEST_INTEGER
from contracts.policy import ModelPolicy
from gatekeeper.database import audit_trail, model_rows, queries
from gatekeeper.database.tables import AuditRow
from gatekeeper.promotion.commands import Authority, Decisions, OverrideNotPermitted
from gatekeeper.read_models import (
    AuditProofView,
    AuditView,
    CandidateSummary,
    CandidateView,
    ModelView,
    PromotionView,
    audit_proof_view,
    audit_view,
    candidate_view,
    model_view,
    model_views,
    promotion_view,
    promotion_view_of,
    summary_views,
)
from gatekeeper.refusals import CommandRefused
from gatekeeper.report.page import render

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=r"^[^\x00]*$")]
Version = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]
StrictVersion = Annotated[Version, Field(strict=True)]
DIGEST_PATTERN = r"^sha256:[0-9a-f]{64}$"
Limit = Annotated[int, Query(ge=1, le=1000)]


class Decision(BaseModel):
    """Who decides, and why: both are kept in the audit trail."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    actor: Text | None = Field(
        default=None, description="Who decides: required with AUTH=off; otherwise it is the token's subject"
    )
    reason: Text


class PromoteRequest(Decision):
    model_version: StrictVersion


class RollbackRequest(Decision):
    to: StrictVersion | None = Field(default=None, description="An earlier champion; default: the previous one")


class FreezeView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    frozen: bool
    actor: str
    reason: str


class PolicyView(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    digest: str
    policy: dict[str, Any] = Field(description="As it is written, without defaults")


def reading_router(database: Database, decisions: Decisions, policies: Mapping[str, ModelPolicy]) -> APIRouter:
    router = guarded_router(tags=["reading"])

    @router.get("/models", openapi_extra=allowed(Action.READ, Scope.EACH))
    def list_models(caller: CallerOf) -> list[ModelView]:
        """Every model that has a policy or a registered version, and that the caller may read."""
        with database.reading() as session:
            names = sorted(filter(caller.sees, queries.model_names(session) | policies.keys()))
            return model_views(session, names, policies)

    @router.get("/models/{model_name}", openapi_extra=allowed(Action.READ), responses=problems(404))
    def show_model(model_name: str) -> ModelView:
        """Champion and challenger of a model, and whether it is frozen."""
        decisions.known(model_name)
        with database.reading() as session:
            return model_view(session, model_name, policies.get(model_name))

    @router.get("/models/{model_name}/policy", openapi_extra=allowed(Action.READ), responses=problems(404))
    def show_policy(model_name: str) -> PolicyView:
        """The policy in force: what a version of the model must prove."""
        decisions.known(model_name)
        if (policy := policies.get(model_name)) is None:
            raise Problem(404, "no policy", f"{model_name} has no policy: write policies/{model_name}.yaml")
        written = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return PolicyView(model_name=model_name, digest=policy.digest, policy=written)

    @router.get("/models/{model_name}/candidates", openapi_extra=allowed(Action.READ), responses=problems(404))
    def list_candidates(model_name: str, limit: Limit = 100) -> list[CandidateSummary]:
        """The candidates of a model, newest version first."""
        decisions.known(model_name)
        with database.reading() as session:
            found = queries.candidates(session, model_name, limit, model_rows.SUMMARY)
            return summary_views(session, found)

    @router.get(
        "/models/{model_name}/candidates/{model_version}", openapi_extra=allowed(Action.READ), responses=problems(404)
    )
    def show_candidate_of(model_name: str, model_version: Version) -> CandidateView:
        """A candidate with its verdict, gate by gate."""
        decisions.known(model_name)
        return _candidate(queries.candidate_id(model_name, model_version), f"{model_name} v{model_version}")

    @router.get("/candidates/{candidate_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def show_candidate(candidate_id: str, caller: CallerOf) -> CandidateView:
        """The same, by the candidate's id."""
        return _candidate(candidate_id, repr(candidate_id), caller.sees)

    def _candidate(candidate_id: str, label: str, sees: Callable[[str], bool] = lambda _: True) -> CandidateView:
        with database.reading() as session:
            row = queries.candidate_by_id(session, candidate_id)
            if row is None or not sees(row.model_name):
                raise Problem(404, "no such candidate", f"{label} is not a candidate: no such version was registered")
            return candidate_view(session, row)

    @router.get(
        "/models/{model_name}/candidates/{model_version}/report",
        openapi_extra=allowed(Action.READ),
        response_class=HTMLResponse,
        responses=problems(404),
    )
    def report(model_name: str, model_version: Version) -> HTMLResponse:
        """The verdict as an HTML page: the decision, what each gate observed, and what is missing to pass."""
        decisions.known(model_name)
        found = _candidate(queries.candidate_id(model_name, model_version), f"{model_name} v{model_version}")
        return HTMLResponse(render(found))

    @router.get("/models/{model_name}/promotions", openapi_extra=allowed(Action.READ), responses=problems(404))
    def list_promotions(model_name: str, limit: Limit = 100) -> list[PromotionView]:
        """The promotions of a model, newest epoch first."""
        decisions.known(model_name)
        with database.reading() as session:
            return [promotion_view(row) for row in queries.promotions(session, model_name, limit)]

    @router.get("/audit", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def list_audit(
        caller: CallerOf,
        model: Annotated[str | None, Query(description="Only of this model")] = None,
        limit: Limit = 100,
    ) -> list[AuditView]:
        """The audit trail of the models that the caller may read, newest row first."""
        if model is not None:
            caller.require(Action.READ, model)
            decisions.known(model)
        with database.reading() as session:
            visible = readable(session, caller, AuditRow.model_name)
            return [audit_view(row) for row in queries.audit(session, model, limit, visible)]

    @router.get("/audit/verify", openapi_extra=allowed(Action.READ, Scope.ALL))
    def verify_audit(
        head: Annotated[
            str | None, Query(pattern=r"^sha256:[0-9a-f]{64}$", description="A digest noted before")
        ] = None,
    ) -> AuditProofView:
        """Verify the chain of digests through the whole audit trail."""
        with database.reading() as session:
            return audit_proof_view(audit_trail.verified(session, head))

    @router.get("/audit/export", openapi_extra=allowed(Action.READ, Scope.ALL), response_class=StreamingResponse)
    def export_audit() -> StreamingResponse:
        """The whole audit trail, oldest row first: one row a line, as its digest is computed, and last the head."""
        return StreamingResponse(audit_trail.lines(database), media_type="application/x-ndjson")

    return router


def deciding_router(decisions: Decisions, ready: Callable[[], None]) -> APIRouter:
    """`ready` raises Transient until the history is restored: no decision is made on an incomplete one."""
    router = guarded_router(tags=["people's decisions"], responses=problems(404, 409, 503))

    @router.post("/models/{model_name}/promote", openapi_extra=allowed(Action.APPROVE))
    def promote(model_name: str, request: PromoteRequest, caller: CallerOf) -> PromotionView:
        """Make a version the champion: cause `approval` if it passed its gates, `override` if it did not.

        With authentication, an override needs the role admin, and who registered a version cannot promote it.
        """
        actor = caller.actor(request.actor)
        authority = authority_of(caller, model_name)
        with conflicts("not promoted"):
            ready()
            decided = decisions.promote(
                model_name, request.model_version, actor=actor, reason=request.reason, authority=authority
            )
            return promotion_view_of(decided)

    @router.post("/models/{model_name}/rollback", openapi_extra=allowed(Action.OPERATE))
    def roll_back(model_name: str, request: RollbackRequest, caller: CallerOf) -> PromotionView:
        """Make an earlier champion the champion again, with a new epoch; allowed while the model is frozen."""
        actor = caller.actor(request.actor)
        with conflicts("not rolled back"):
            ready()
            decided = decisions.roll_back(model_name, request.to, actor=actor, reason=request.reason)
            return promotion_view_of(decided)

    @router.post("/models/{model_name}/freeze", openapi_extra=allowed(Action.OPERATE))
    def freeze(model_name: str, request: Decision, caller: CallerOf) -> FreezeView:
        """Stop automatic promotions: gates go on judging, but only people change the champion."""
        actor = caller.actor(request.actor)
        with conflicts("not frozen"):
            ready()
            decisions.freeze(model_name, actor=actor, reason=request.reason)
        return FreezeView(model_name=model_name, frozen=True, actor=actor, reason=request.reason)

    @router.post("/models/{model_name}/unfreeze", openapi_extra=allowed(Action.OPERATE))
    def unfreeze(model_name: str, request: Decision, caller: CallerOf) -> FreezeView:
        """Allow automatic promotions again."""
        actor = caller.actor(request.actor)
        with conflicts("not unfrozen"):
            ready()
            decisions.unfreeze(model_name, actor=actor, reason=request.reason)
        return FreezeView(model_name=model_name, frozen=False, actor=actor, reason=request.reason)

    return router


def readable(session: Session, caller: Caller, column: InstrumentedAttribute[str]) -> list[str] | None:
    """Return the models of a column that the caller may read; None when they may read all."""
    return None if caller.may(Action.READ, None) else caller.visible(queries.distinct(session, column))


def authority_of(caller: Caller, model_name: str) -> Authority:
    """Return what a caller may promote: against the verdict, and what they have registered themselves."""
    return Authority(overrides=caller.may(Action.OVERRIDE, model_name), own=not caller.authenticated)


@contextmanager
def conflicts(title: str) -> Iterator[Any]:
    """A decision that is refused within is Problem 409; one that the caller is not permitted to make, 403."""
    try:
        yield
    except OverrideNotPermitted as refused:
        raise Problem(403, "not permitted", str(refused)) from refused
    except CommandRefused as refused:
        raise Problem(409, title, str(refused)) from refused
