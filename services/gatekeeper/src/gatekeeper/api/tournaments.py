"""The HTTP API of the tournaments caused by drifts: reading them, and replaying them from their evidence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from chassis.auth.roles import Action
from chassis.auth.routes import allowed, guarded_router
from chassis.database import Database
from chassis.errors import Transient
from chassis.http import Problem, problems
from contracts.event import LARGEST_INTEGER
from contracts.policy import ModelPolicy
from gatekeeper.database import golden_datasets
from gatekeeper.database.tables import TournamentRow
from gatekeeper.promotion.commands import Decisions
from gatekeeper.read_models import View
from gatekeeper.replay import NoEvidence, Replayer

Number = Annotated[int, Field(ge=1, le=LARGEST_INTEGER)]


class DifferenceView(View):
    """`where` is a path into the verdict, such as `performance.details.se`."""

    model_config = ConfigDict(from_attributes=True)

    where: str
    then: Any
    now: Any


class TournamentReplayView(View):
    """A tournament reached again: who won, None when the champion stayed."""

    model_config = ConfigDict(from_attributes=True)

    then: int | None
    now: int | None
    reason: str | None
    unknown: str | None = Field(description="What the evidence does not hold; `now` is then only as far as it goes")
    agrees: bool = Field(description="To the last digit; for another policy it says nothing")
    differences: list[DifferenceView]


class TournamentView(View):
    """Retained versions against the champion on a golden dataset, because of a drift."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    id: str
    model_name: str
    golden_digest: str
    champion_version: int = Field(description="The champion that was challenged")
    winner: int | None = Field(description="None: the champion stayed")
    reason: str
    policy_digest: str
    drift_event_id: str | None
    played_at: datetime
    evidence: dict[str, Any]


class TournamentReplayRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    policy: ModelPolicy | None = Field(default=None, description="Another policy; without, that of then")


def tournaments_router(database: Database, decisions: Decisions, replayer: Replayer) -> APIRouter:
    router = guarded_router(tags=["evidence"])

    @router.get(
        "/models/{model_name}/golden/{number}/tournament", openapi_extra=allowed(Action.READ), responses=problems(404)
    )
    def show_tournament(model_name: str, number: Number) -> TournamentView:
        """The tournament of retained versions on a golden dataset that a drift caused."""
        decisions.known(model_name)
        with database.reading() as session:
            return TournamentView.model_validate(_row(session, model_name, number))

    @router.post(
        "/models/{model_name}/golden/{number}/tournament/replay",
        openapi_extra=allowed(Action.OPERATE),
        responses=problems(404, 409, 503),
    )
    def replay_tournament(model_name: str, number: Number, request: TournamentReplayRequest) -> TournamentReplayView:
        """Re-evaluate its stored evidence, under the original policy or another one; nothing is changed."""
        decisions.known(model_name)
        with database.reading() as session:
            evidence = dict(_row(session, model_name, number).evidence)
        with needed(f"the tournament on golden dataset {number} of {model_name} cannot be played again"):
            return TournamentReplayView.model_validate(replayer.replay_tournament(evidence, request.policy))

    return router


def _row(session: Session, model_name: str, number: int) -> TournamentRow:
    row = golden_datasets.tournament_by_id(session, golden_datasets.tournament_id(model_name, number))
    if row is None:
        title = f"no drift gave rise to a tournament on golden dataset {number} of {model_name}"
        raise Problem(404, "no such tournament", title)
    return row


@contextmanager
def needed(title: str) -> Iterator[None]:
    """Respond 409 without the evidence, 503 while MLflow is unavailable."""
    try:
        yield
    except NoEvidence as error:
        raise Problem(409, title, str(error)) from error
    except Transient as error:
        raise Problem(503, title, str(error)) from error
