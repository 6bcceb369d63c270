"""The HTTP API of rollouts: where they stand, people's decisions on them, and the replicas of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from gatekeeper.api.models import DIGEST_PATTERN, Decision, Limit, conflicts, readable
from gatekeeper.database import rollouts
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.promotion.commands import Decisions
from gatekeeper.rollout.approvals import Approvals
from gatekeeper.rollout.views import FleetView, RolloutsView, RolloutView, fleet_view, rollout_view


class ApprovalRequest(Decision):
    verdict_digest: str | None = Field(
        default=None,
        pattern=DIGEST_PATTERN,
        description="Of the evidence that was looked at; 409 if it has changed",
    )


def rollouts_router(
    database: Database, decisions: Decisions, approvals: Approvals, ready: Callable[[], None]
) -> APIRouter:
    """`ready` raises Transient until the history is restored: no decision is made on an incomplete one."""
    router = guarded_router(tags=["rollouts"])

    @router.get("/rollouts", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def list_rollouts(
        caller: CallerOf,
        model_name: Annotated[str | None, Query(description="Only of this model")] = None,
        active: Annotated[bool | None, Query(description="Only those that run, or only those that ended")] = None,
        limit: Limit = 100,
    ) -> RolloutsView:
        """Rollouts and watches of the models that the caller may read, the newest first."""
        if model_name is not None:
            caller.require(Action.READ, model_name)
            decisions.known(model_name)
        with database.reading() as session:
            visible = readable(session, caller, RolloutRow.model_name)
            found = rollouts.newest(session, model_name, active, limit, visible)
            return RolloutsView(rollouts=[rollout_view(session, row) for row in found])

    @router.get("/rollouts/{rollout_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def show_rollout(rollout_id: str, caller: CallerOf) -> RolloutView:
        """One rollout: its steps, what was measured, and who approved."""
        return _view(rollout_id, caller.sees)

    @router.get("/models/{model_name}/fleet", openapi_extra=allowed(Action.READ), responses=problems(404))
    def fleet(model_name: str) -> FleetView:
        """The replicas of a model: the version that each should have and has, since when, and what it tries."""
        decisions.known(model_name)
        with database.reading() as session:
            return fleet_view(session, model_name)

    @router.post(
        "/models/{model_name}/rollout/approve", openapi_extra=allowed(Action.APPROVE), responses=problems(404, 409, 503)
    )
    def approve(model_name: str, request: ApprovalRequest, caller: CallerOf) -> RolloutView:
        """Approve the version that waits for people; the last one who is needed promotes it."""
        return _decided("not approved", approvals.approve, model_name, request, caller)

    @router.post(
        "/models/{model_name}/rollout/refuse", openapi_extra=allowed(Action.APPROVE), responses=problems(404, 409, 503)
    )
    def refuse(model_name: str, request: ApprovalRequest, caller: CallerOf) -> RolloutView:
        """Refuse the version that waits for people: its rollout ends, and the champion stays."""
        return _decided("not refused", approvals.refuse, model_name, request, caller)

    @router.post(
        "/models/{model_name}/rollout/abort", openapi_extra=allowed(Action.OPERATE), responses=problems(404, 409, 503)
    )
    def abort(model_name: str, request: Decision, caller: CallerOf) -> RolloutView:
        """End the running rollout: the champion stays."""
        return _decided("not aborted", approvals.abort, model_name, request, caller)

    def _decided(
        title: str, decide: Callable[..., str], model_name: str, request: Decision, caller: Caller
    ) -> RolloutView:
        actor = caller.actor(request.actor)
        with conflicts(title):
            ready()
            decisions.known(model_name)
            rollout_id = decide(model_name, **request.model_dump() | {"actor": actor})
        return _view(rollout_id)

    def _view(rollout_id: str, sees: Callable[[str], bool] = lambda _: True) -> RolloutView:
        with database.reading() as session:
            row = rollouts.by_id(session, rollout_id)
            if row is None or not sees(row.model_name):
                raise Problem(404, "no such rollout", f"{rollout_id!r} is no rollout's id; GET /rollouts lists them")
            return rollout_view(session, row)

    return router
