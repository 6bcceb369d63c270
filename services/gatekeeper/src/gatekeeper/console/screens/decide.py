"""People's decisions on a model: a page that says what will happen, and the form that decides it.

A form decides through the same objects as the API. It is bound to what its page showed: the champion's epoch, the
rollout, the digest of the evidence; and the same form sent twice decides once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict
from sqlalchemy.orm import Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action, roles_for
from chassis.auth.routes import CallerOf, allowed
from chassis.http import Problem, problem_of
from contracts import Cause, Stage
from contracts.event import LARGEST_INTEGER
from gatekeeper.api.models import Decision as DecisionRequest
from gatekeeper.api.models import PromoteRequest, RollbackRequest, authority_of, conflicts
from gatekeeper.api.rollouts import ApprovalRequest
from gatekeeper.console.consequences import (
    ACTIONS,
    Consequences,
    Decision,
    Running,
    Standing,
    of_abort,
    of_approval,
    of_freeze,
    of_promotion,
    of_refusal,
    of_rollback,
    of_unfreeze,
)
from gatekeeper.console.forms import actor_of, validated
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database import queries, rollouts
from gatekeeper.database.rollout_tables import GIVEN, RolloutRow
from gatekeeper.database.tables import AuditRow
from gatekeeper.policy.promotion import Promote
from gatekeeper.policy.rollout import watch_of
from gatekeeper.promotion.commands import request_of, rollback_of

TWICE = timedelta(minutes=1)
"""A form that is refused, and that the same person has sent with effect within it, was sent twice."""
LOOKED_AT = 20
"""Rows of the model's audit trail in which a decision that was just made is found."""

VersionGiven = Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER)]


@dataclass(frozen=True)
class Kind:
    """`audited`: the action under which the audit trail has it."""

    request: type[DecisionRequest]
    audited: str
    danger: bool = False


KINDS = {
    Decision.PROMOTE: Kind(PromoteRequest, "promoted"),
    Decision.ROLLBACK: Kind(RollbackRequest, "rolled back", danger=True),
    Decision.FREEZE: Kind(DecisionRequest, "frozen"),
    Decision.UNFREEZE: Kind(DecisionRequest, "unfrozen"),
    Decision.APPROVE: Kind(ApprovalRequest, "approved"),
    Decision.REFUSE: Kind(ApprovalRequest, "rollout refused", danger=True),
    Decision.ABORT: Kind(DecisionRequest, "rollout aborted", danger=True),
}


class Filled(BaseModel):
    """A form as it was sent: text, which the API's own requests judge. Empty fields are left out."""

    model_config = ConfigDict(protected_namespaces=())

    reason: str = ""
    actor: str | None = None
    version: str = ""
    epoch: str = ""
    verdict_digest: str = ""
    rollout_id: str = ""


@dataclass(frozen=True)
class Shown:
    """What a page shows, and what its form is bound to. `version`: that becomes champion, or that is tried."""

    consequences: Consequences
    standing: Standing
    version: int | None
    champion_since: datetime | None
    rollout: RolloutRow | None


def decide_router(site: Site) -> APIRouter:
    router = page_router()
    for decision in Decision:
        _add(router, site, decision)
    return router


def _add(router: APIRouter, site: Site, decision: Decision) -> None:
    declared = allowed(ACTIONS[decision])
    path = f"/console/models/{{model_name}}/decide/{decision.value}"

    @router.get(path, openapi_extra=declared, response_class=HTMLResponse)
    def confirm(request: Request, caller: CallerOf, model_name: str, version: VersionGiven = None) -> HTMLResponse:
        """What a decision will do, and the form for its reason. `version`: to promote, or to roll back to."""
        site.decisions.known(model_name)
        with site.database.reading() as session:
            shown = _shown(session, site, caller, decision, model_name, version)
        return _page(request, caller, decision, shown, Filled())

    @router.post(path, openapi_extra=declared, response_class=RedirectResponse)
    def decide(request: Request, caller: CallerOf, model_name: str, form: Annotated[Filled, Form()]) -> Response:
        """Decide, and go to the model's page, which shows what was done."""
        try:
            actor = _decide(site, caller, decision, model_name, form)
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                raise
            with site.database.reading() as session:
                given = int(form.version) if form.version.isdecimal() else None
                shown = _shown(session, site, caller, decision, model_name, given)
            return _page(request, caller, decision, shown, form, problem)
        with site.database.reading() as session:
            done = _done(session, decision, model_name, actor)
        found = f"?done={done.sequence}" if done is not None else ""
        return RedirectResponse(f"/console/models/{quote(model_name, safe='')}{found}", 303)


def _decide(site: Site, caller: Caller, decision: Decision, model_name: str, form: Filled) -> str:
    """Decide as the form says; return who decided. Raises Problem 403, 409, 422, 503."""
    wanted = _request(KINDS[decision].request, form)
    actor = actor_of(caller, wanted, "not decided")
    site.ready()
    site.decisions.known(model_name)
    epoch = int(form.epoch) if form.epoch.isdecimal() else None
    try:
        with conflicts("not decided"):
            _carry_out(site, caller, decision, model_name, wanted, actor, epoch, form.rollout_id or None)
    except Problem as problem:
        if problem.status != 409:
            raise
        with site.database.reading() as session:
            if _done(session, decision, model_name, actor, wanted) is None:
                raise
    return actor


def _carry_out(
    site: Site,
    caller: Caller,
    decision: Decision,
    model_name: str,
    wanted: DecisionRequest,
    actor: str,
    epoch: int | None,
    rollout_id: str | None,
) -> None:
    who = {"actor": actor, "reason": wanted.reason}
    match wanted:
        case PromoteRequest():
            authority = authority_of(caller, model_name)
            site.decisions.promote(model_name, wanted.model_version, authority=authority, epoch=epoch, **who)
        case RollbackRequest():
            site.decisions.roll_back(model_name, wanted.to, epoch=epoch, **who)
        case ApprovalRequest():
            decide = site.approvals.approve if decision is Decision.APPROVE else site.approvals.refuse
            decide(model_name, verdict_digest=wanted.verdict_digest, **who)
        case _ if decision is Decision.ABORT:
            site.approvals.abort(model_name, rollout_id=rollout_id, **who)
        case _:
            simple: Callable[..., Any] = (
                site.decisions.freeze if decision is Decision.FREEZE else site.decisions.unfreeze
            )
            simple(model_name, **who)


def _request(kind: type[DecisionRequest], form: Filled) -> DecisionRequest:
    """Return what the form wants, as the API's request. Raises Problem 422 with the field that is wrong."""
    version: Any = int(form.version) if form.version.isdecimal() else form.version or None
    values: dict[str, Any] = {"reason": form.reason, "actor": form.actor or None}
    if kind is PromoteRequest:
        values["model_version"] = version
    elif kind is RollbackRequest:
        values["to"] = version
    elif kind is ApprovalRequest:
        values["verdict_digest"] = form.verdict_digest or None
    return validated(kind, values, "not decided")


def _shown(
    session: Session, site: Site, caller: Caller, decision: Decision, model_name: str, version: int | None
) -> Shown:
    champion, row = queries.champion(session, model_name), rollouts.running(session, model_name)
    standing = _standing(session, site, model_name, row)
    about = row.model_version if row is not None else None
    found: Consequences
    match decision:
        case Decision.PROMOTE:
            about = version
            found = _promotion(session, caller, standing, version)
        case Decision.ROLLBACK:
            decided = rollback_of(session, model_name, version)
            about = decided[0] if isinstance(decided, tuple) else version
            found = of_rollback(standing, decided)
        case _:
            of = {
                Decision.FREEZE: of_freeze,
                Decision.UNFREEZE: of_unfreeze,
                Decision.APPROVE: of_approval,
                Decision.REFUSE: of_refusal,
                Decision.ABORT: of_abort,
            }[decision]
            found = of(standing)
    return Shown(found, standing, about, champion.promoted_at if champion is not None else None, row)


def _promotion(session: Session, caller: Caller, standing: Standing, version: int | None) -> Consequences:
    title = f"Promote a version of {standing.model_name}"
    if version is None:
        return Consequences(title, "Promote", impossible="choose a version on the model's page")
    row = queries.candidate(session, standing.model_name, version)
    if row is None:
        return Consequences(title, "Promote", impossible=f"v{version} was never registered")
    decided = request_of(row, standing.state)
    found = of_promotion(standing, version, decided)
    overrides = isinstance(decided, Promote) and decided.cause is Cause.OVERRIDE
    if overrides and not caller.may(Action.OVERRIDE, standing.model_name):
        why = f"v{version} did not pass its gates: to promote it needs the role {roles_for(Action.OVERRIDE)}"
        return Consequences(found.title, found.button, impossible=why)
    return found


def _standing(session: Session, site: Site, model_name: str, row: RolloutRow | None) -> Standing:
    model, policy = queries.model(session, model_name), site.policies.get(model_name)
    running, watched = None, policy is not None and watch_of(policy) is not None
    if row is not None:
        plan = rollouts.plan_of(row)
        given = sum(each.decision == GIVEN for each in rollouts.approvals(session, row.id, row.verdict_digest))
        stage = Stage(row.stage)
        running = Running(row.model_version, stage, row.step + 1, len(plan), plan[row.step].people, given)
        if stage is Stage.APPROVAL:
            watched = any(step.stage is Stage.WATCH for step in plan[row.step + 1 :])
    return Standing(
        model_name,
        queries.state(session, model_name),
        running,
        replicas=sum(each.role == "production" for each in queries.replicas(session, model_name)),
        watched=watched,
        frozen_by=model.frozen_by if model is not None else None,
        frozen_reason=model.frozen_reason if model is not None else None,
    )


def _done(
    session: Session, decision: Decision, model_name: str, actor: str, wanted: DecisionRequest | None = None
) -> AuditRow | None:
    """Return the row of the audit trail that has this decision of this person; `wanted`: of this form, just now."""
    version = getattr(wanted, "model_version", None) or getattr(wanted, "to", None)
    for row in queries.audit(session, model_name, LOOKED_AT):
        if row.action != KINDS[decision].audited or row.actor != actor:
            continue
        if wanted is None:
            return row
        same = row.reason.startswith(wanted.reason) and version in (None, row.model_version)
        if same and datetime.now(UTC) - row.at < TWICE:
            return row
    return None


def _page(
    request: Request, caller: Caller, decision: Decision, shown: Shown, form: Filled, problem: Problem | None = None
) -> HTMLResponse:
    return page(
        request,
        caller,
        "decide.html",
        status=problem.status if problem is not None else 200,
        model_name=shown.standing.model_name,
        decision=decision.value,
        kind=KINDS[decision],
        roles=roles_for(ACTIONS[decision]),
        shown=shown,
        form=form,
        problem=problem,
        field=problem.extra.get("field") if problem is not None else None,
    )
