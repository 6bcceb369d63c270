"""HTTP: the drift state of each model, and `score` to judge a window before it is full."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from chassis.auth.access import Caller
from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.http import Problem, problems
from contracts import MODEL_NAME_PATTERN
from contracts.event import LARGEST_INTEGER
from drift.api.views import (
    ChampionView,
    LabelsView,
    LimitsView,
    ModelView,
    RolloutStepView,
    RulesView,
    ScoreAccepted,
    WindowView,
    labels_view,
    window_view,
)
from drift.database import delays, store
from drift.database.tables import ModelRow, VersionRow, WindowRow
from drift.handlers import Handlers
from drift.policies import DriftPolicies
from drift.policy.windows import MINIMUM_ROWS, refusal
from drift.reports.drawings import Drawings
from drift.reports.page import page_of
from drift.rollouts.measures import measured
from drift.rollouts.open_step import OpenStep
from drift.rollouts.rollouts import Rollouts
from drift.rollouts.store import newest_steps
from drift.rollouts.tables import StepRow
from drift.scoring.basis import compared_with

WINDOW_ID = r"^[A-Za-z0-9._-]{1,250}$"

SANDBOX = {"Content-Security-Policy": "sandbox allow-scripts allow-downloads", "X-Content-Type-Options": "nosniff"}
"""A report contains scripts and values from requests: it may run, but must not reach this origin."""


def build_router(
    database: Database,
    handlers: Handlers,
    rollouts: Rollouts,
    policies: DriftPolicies,
    drawings: Drawings,
    public_url: str,
) -> APIRouter:
    router = guarded_router(tags=["drift"])

    @router.get("/models", openapi_extra=allowed(Action.READ, Scope.EACH))
    def models(caller: CallerOf) -> list[ModelView]:
        """Every model that has a promotion or predictions, and that the caller may read."""
        with database.reading() as session:
            found = session.scalars(select(ModelRow).order_by(ModelRow.model_name)).all()
            visible = [model for model in found if caller.sees(model.model_name)]
            return [_model_view(session, model, policies, handlers, public_url) for model in visible]

    @router.get("/models/{name}", openapi_extra=allowed(Action.READ), responses=problems(404))
    def model(name: str) -> ModelView:
        """The champion's open window, and its newest verdicts."""
        with database.reading() as session:
            return _model_view(session, model_of(session, name), policies, handlers, public_url)

    @router.get("/models/{name}/windows", openapi_extra=allowed(Action.READ), responses=problems(404))
    def windows(
        name: str,
        version: Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER, description="Of this version only")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    ) -> list[WindowView]:
        """The windows of a model, newest first."""
        with database.reading() as session:
            model = model_of(session, name)
            found = store.newest_windows(session, model.model_name, version, limit)
            return [window_view(window, public_url) for window in found]

    @router.get("/models/{name}/limits", openapi_extra=allowed(Action.READ), responses=problems(404))
    def limits(
        name: str,
        version: Annotated[int | None, Query(ge=1, le=LARGEST_INTEGER, description="Of this version only")] = None,
    ) -> list[LimitsView]:
        """The calibrated limits of a model's versions, by size of the windows, newest first."""
        with database.reading() as session:
            found = store.limits_kept(session, model_of(session, name).model_name, version)
            return [
                LimitsView(model_version=row.model_version, calibrated_at=row.calibrated_at, **row.limits)
                for row in found
            ]

    @router.get("/windows/{window_id}", openapi_extra=allowed(Action.READ, Scope.EACH), responses=problems(404))
    def window(window_id: str, caller: CallerOf) -> WindowView:
        """A window with its scores and verdicts."""
        with database.reading() as session:
            return window_view(_window(session, window_id, caller), public_url)

    @router.get(
        "/reports/{window_id}",
        openapi_extra=allowed(Action.READ, Scope.EACH),
        response_class=HTMLResponse,
        responses=problems(404),
    )
    def report(
        window_id: str,
        caller: CallerOf,
        again: Annotated[bool, Query(description="Draw once more what could not be drawn")] = False,
    ) -> Response:
        """The verdicts of a window as an HTML page, with Evidently's report.

        The first request has the window drawn: the page shows the verdicts at once, and loads itself again until
        the report is there.
        """
        with database.reading() as session:
            found = _window(session, window_id, caller)
            if found.data_outcome is None and found.performance_outcome is None:
                detail = (
                    f"window {window_id!r} is {found.state}, with {found.rows} of {found.size} rows; no verdict yet"
                )
                raise Problem(404, "no report yet", detail)
            look = drawings.look(session, found)
        if look.wanted or (again and look.again):
            with database.transaction() as session:
                drawings.want(session, _window(session, window_id, caller), again=again)
        if again:
            return RedirectResponse(f"{public_url}/reports/{window_id}", status_code=303)
        return HTMLResponse(page_of(found, look), headers=SANDBOX)

    @router.get("/rollouts", openapi_extra=allowed(Action.READ, Scope.EACH))
    def steps(
        caller: CallerOf,
        model_name: Annotated[str | None, Query(description="Of this model only")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    ) -> list[RolloutStepView]:
        """The steps of rollouts with their sums, of the models that the caller may read, newest first."""
        if model_name is not None:
            caller.require(Action.READ, model_name)
        with database.reading() as session:
            visible = caller.visible(session.scalars(select(StepRow.model_name).distinct()))
            found = newest_steps(session, model_name, limit, visible)
            return [_step_view(rollouts.open_step(session, row)) for row in found]

    @router.post(
        "/models/{name}/score", openapi_extra=allowed(Action.OPERATE), status_code=202, responses=problems(404, 409)
    )
    def score(name: str) -> ScoreAccepted:
        """Close the champion's window with the rows it has, and judge it; refused below 200 rows."""
        with database.transaction() as session:
            model_of(session, name)
            model = store.lock_model(session, name)
            if model.champion_version is None:
                detail = f"no promotion of {name!r} is known: there is no reference and no baseline to compare with"
                raise Problem(409, "no champion", detail)
            window = store.open_window(session, store.version_of(session, name, model.champion_version))
            rows = window.rows if window else 0
            refused = refusal(rows)
            if refused is not None or window is None:
                detail = f"{refused} of {name!r} version {model.champion_version}; wait for more predictions"
                raise Problem(409, "not enough rows", detail, rows=rows, minimum=MINIMUM_ROWS)
            job = handlers.close_now(session, window)
            return ScoreAccepted(window=window.id, rows=rows, job=job, location=f"{public_url}/windows/{window.id}")

    return router


def model_of(session: Session, name: str) -> ModelRow:
    found = session.get(ModelRow, name) if re.fullmatch(MODEL_NAME_PATTERN, name) else None
    if found is None:
        raise Problem(
            404, "no such model", f"drift knows no model {name!r}: it was neither promoted nor has it predicted"
        )
    return found


def _window(session: Session, window_id: str, caller: Caller) -> WindowRow:
    found = store.window_by_id(session, window_id) if re.fullmatch(WINDOW_ID, window_id) else None
    if found is None or not caller.sees(found.model_name):
        raise Problem(404, "no such window", f"there is no window {window_id!r}; see /models/{{name}}/windows")
    return found


def _model_view(
    session: Session, model: ModelRow, policies: DriftPolicies, handlers: Handlers, public_url: str
) -> ModelView:
    rules = policies.drift(model.model_name)
    newest = store.newest_windows(session, model.model_name, None, 1)
    judged = store.newest_judged(session, model.model_name, model.champion_version)
    champion = None
    if model.champion_version is not None:
        version = session.get(VersionRow, (model.model_name, model.champion_version))
        champion = _champion_view(version, policies, _labels(session, model, version, handlers)) if version else None
    return ModelView(
        model_name=model.model_name,
        champion=champion,
        rules=RulesView(
            window_rows=rules.window.rows,
            budget=rules.budget.in_words if rules.drift_share is None else None,
            after=str(rules.after),
            drift_share=rules.drift_share,
            retrain=rules.retrain,
            metric_drop=rules.metric_drop,
            alerts=dict(rules.alerts),
            cooldown_seconds=rules.cooldown.total_seconds(),
        ),
        newest_window=window_view(newest[0], public_url) if newest else None,
        newest_verdict=window_view(judged, public_url) if judged else None,
    )


def _step_view(step: OpenStep) -> RolloutStepView:
    row = step.row
    return RolloutStepView(
        model_name=row.model_name,
        rollout_id=row.rollout_id,
        step=row.step,
        stage=step.changed.stage,
        state=row.state,
        recounting=row.recounting,
        ended_at=row.ended_at,
        measured=measured(step, row.measured_at or row.created_at),
    )


def _labels(session: Session, model: ModelRow, version: VersionRow, handlers: Handlers) -> LabelsView:
    newest = store.newest_performance(session, version)
    return labels_view(handlers.maturity(session, model), delays.delays_of(model), newest)


def _champion_view(version: VersionRow, policies: DriftPolicies, labels: LabelsView) -> ChampionView:
    cooldown = policies.drift(version.model_name).cooldown
    until: datetime | None = version.last_detected_at + cooldown if version.last_detected_at else None
    return ChampionView(
        model_version=version.model_version,
        epoch=version.epoch,
        promoted_at=version.promoted_at,
        metric=policies.metric(version.model_name, version.metric),
        baseline=version.baseline,
        reference_uri=(version.reference or {}).get("uri"),
        features=compared_with(version),
        labels=labels,
        last_detected_at=version.last_detected_at,
        cooling_until=until,
    )
