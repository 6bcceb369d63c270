"""A rollout: its arms, what was shown over time, what would end it and when, and who may decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from sqlalchemy.orm import Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action, who_may
from chassis.auth.routes import CallerOf, Scope, allowed
from chassis.http import Problem
from contracts import ArmSums, Mode, RolloutMeasured, Stage
from gatekeeper.charts.chart import Chart
from gatekeeper.charts.evidence import Moment, evidence_charts
from gatekeeper.console.pages import page
from gatekeeper.console.routes import page_router
from gatekeeper.console.site import Site
from gatekeeper.database import rollout_points, rollouts
from gatekeeper.database.rollout_tables import RolloutRow
from gatekeeper.policy.rollout import Step, counted, decided_by, findings
from gatekeeper.policy.rollout_endings import Ending, Look, Seen, endings
from gatekeeper.policy.rollout_figures import p95_ms, percent
from gatekeeper.rollout.views import RolloutView, rollout_view

PAST = 20
STAGES = {
    Stage.STAGING: "Staging: a replica loads it and predicts golden rows",
    Stage.SHADOW: "Shadow: it predicts every request, and no user sees it",
    Stage.CANARY: "Canary: it answers {share} of the entities",
    Stage.AB: "A/B test: it answers {share} of the entities",
    Stage.APPROVAL: "Approval by {people}",
    Stage.WATCH: "Watch: it is champion, and the former one predicts beside it",
}


@dataclass(frozen=True)
class ArmView:
    """One version in a step; numbers are since the step began."""

    role: str
    model_version: int
    share: str
    rows: int
    errors: int
    error_rate: float | None
    p95_ms: float | None
    labelled: int
    loss: float | None
    right: float | None


@dataclass(frozen=True)
class Approvers:
    """Who may approve: patterns of subjects, and those that are excepted. `everybody`: authentication is off."""

    everybody: bool
    granted: tuple[str, ...]
    denied: tuple[str, ...]


@dataclass(frozen=True)
class Screen:
    rollout: RolloutView
    words: tuple[str, ...]
    """Of each step."""
    shown: int
    """The step whose figures are shown."""
    arms: tuple[ArmView, ...]
    loss: str | None
    charts: tuple[Chart, ...]
    endings: tuple[Ending, ...]
    approvers: Approvers
    past: Sequence[RolloutRow]


def rollout_router(site: Site) -> APIRouter:
    router = page_router()

    @router.get("/console/models/{model_name}/rollout", openapi_extra=allowed(Action.READ), response_class=HTMLResponse)
    def rollout_of_model(
        request: Request, model_name: str, caller: CallerOf, step: Annotated[int | None, Query(ge=0, le=1000)] = None
    ) -> HTMLResponse:
        """The rollout of a model that runs, or else its newest."""
        site.decisions.known(model_name)
        with site.database.reading() as session:
            newest = rollouts.newest(session, model_name, None, 1)
            row = rollouts.running(session, model_name) or (newest[0] if newest else None)
            found = screen(session, row, step, caller, datetime.now(UTC)) if row else None
        return _page(request, caller, model_name, found)

    @router.get(
        "/console/rollouts/{rollout_id}", openapi_extra=allowed(Action.READ, Scope.EACH), response_class=HTMLResponse
    )
    def past_rollout(
        request: Request, rollout_id: str, caller: CallerOf, step: Annotated[int | None, Query(ge=0, le=1000)] = None
    ) -> HTMLResponse:
        """A rollout by its id, running or past."""
        with site.database.reading() as session:
            row = rollouts.by_id(session, rollout_id)
            if row is None or not caller.sees(row.model_name):
                raise Problem(404, "no such rollout", f"{rollout_id!r} is no rollout's id")
            found = screen(session, row, step, caller, datetime.now(UTC))
            name = row.model_name
        return _page(request, caller, name, found)

    def _page(request: Request, caller: Caller, model_name: str, found: Screen | None) -> HTMLResponse:
        policy = site.policies.get(model_name)
        return page(request, caller, "rollout.html", model_name=model_name, screen=found, policy=policy)

    return router


def screen(session: Session, row: RolloutRow, step: int | None, caller: Caller, now: datetime) -> Screen:
    """Return what is shown of a rollout; `step`: whose figures, default: the current step, or the last one measured."""
    plan = rollouts.plan_of(row)
    shown = _shown(row, plan) if step is None else min(step, len(plan) - 1)
    trial, measured = plan[shown].mode is not Mode.OFF, _measured(row, shown)
    moments = _moments(session, row, shown, plan[shown], measured) if trial else []
    ends: tuple[Ending, ...] = ()
    if trial and row.ended_at is None and shown == row.step:
        seen = [Seen(x.at, x.counted, x.total, {k: v.figure.n for k, v in x.findings.items()}) for x in moments]
        loss = rollouts.loss_of_step(row.loss, plan[shown])
        ends = endings(Look(plan[shown], row.step_began_at, measured, loss, seen, now))
    return Screen(
        rollout=rollout_view(session, row),
        words=tuple(words(each) for each in plan),
        shown=shown,
        arms=arms(plan[shown], measured),
        loss=None if row.loss is None else str(row.loss["kind"]),
        charts=tuple(evidence_charts(moments)),
        endings=ends,
        approvers=approvers(caller, row.model_name),
        past=rollouts.newest(session, row.model_name, None, PAST),
    )


def _moments(
    session: Session, row: RolloutRow, number: int, step: Step, measured: RolloutMeasured | None
) -> list[Moment]:
    """Return what was kept of a step, oldest first, and what its newest sums show."""
    moments = [
        Moment(each.at, rollout_points.findings_of(each), each.counted, each.total)
        for each in rollout_points.of_step(session, row.id, number)
    ]
    if measured is not None and (not moments or measured.measured_at > moments[-1].at):
        found = findings(step, measured, rollouts.loss_of_step(row.loss, step))
        _, enough, total = counted(step, decided_by(step, found), measured)
        moments.append(Moment(measured.measured_at, found, enough, total))
    return moments


def words(step: Step) -> str:
    """Return what a step of the plan does."""
    people = "one person" if step.people == 1 else f"{step.people} people"
    return STAGES[step.stage].format(share=percent(step.share), people=people)


def arms(step: Step, measured: RolloutMeasured | None) -> tuple[ArmView, ...]:
    """Return both versions of a step with what was measured of each; none before anything was."""
    if measured is None:
        return ()
    watch, split = step.stage is Stage.WATCH, step.mode is Mode.SPLIT
    shares = (percent(1 - step.share), percent(step.share)) if split else ("all", "all, unseen")
    roles = ("new champion", "former champion") if watch else ("champion", "challenger")
    return tuple(
        _arm(role, share, sums)
        for role, share, sums in zip(roles, shares, (measured.champion, measured.tried), strict=True)
    )


def _arm(role: str, share: str, sums: ArmSums) -> ArmView:
    return ArmView(
        role=role,
        model_version=sums.model_version,
        share=share,
        rows=sums.predictions,
        errors=sums.errors,
        error_rate=sums.errors / sums.predictions if sums.predictions else None,
        p95_ms=p95_ms(sums.latency) if sums.latency else None,
        labelled=sums.labelled,
        loss=sums.loss / sums.labelled if sums.labelled else None,
        right=sums.right / sums.labelled if sums.labelled else None,
    )


def approvers(caller: Caller, model_name: str) -> Approvers:
    if not caller.authenticated:
        return Approvers(True, (), ())
    return Approvers(False, *who_may(caller.rules, Action.APPROVE, model_name))


def _shown(row: RolloutRow, plan: Sequence[Step]) -> int:
    """Return the current step; where nothing is measured at it, the last one before that was a trial."""
    if plan[row.step].mode is not Mode.OFF:
        return row.step
    return next((n for n in range(row.step, -1, -1) if plan[n].mode is not Mode.OFF), row.step)


def _measured(row: RolloutRow, step: int) -> RolloutMeasured | None:
    """Return the newest sums of a step: of a past one, those that it was decided on."""
    if step == row.step:
        return rollouts.measured_of(row)
    entries: list[Mapping[str, Any]] = [each for each in row.history if each["step"] == step and each["measured"]]
    return RolloutMeasured.model_validate(entries[-1]["measured"]) if entries else None
