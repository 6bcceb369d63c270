"""The HTTP API of evidence: replays of verdicts, what-if under another policy, and golden datasets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session
from starlette.background import BackgroundTask

from chassis.auth.roles import Action
from chassis.auth.routes import CallerOf, Scope, allowed, guarded_router
from chassis.database import Database
from chassis.digests import digest_file
from chassis.errors import Permanent, Transient
from chassis.http import Problem, problems
from chassis.parquet import columns_of
from contracts import Dataset, GateVerdict, overall
from contracts.policy import ModelPolicy
from gatekeeper.api.models import Text, Version
from gatekeeper.api.tournaments import DifferenceView, TournamentReplayView, needed
from gatekeeper.database import golden_datasets, queries, rollouts
from gatekeeper.database.tables import UNJUDGED, WAITING, CandidateRow, GoldenRow
from gatekeeper.evidence.store import EvidenceStore
from gatekeeper.export.bundle import EvidenceExport, TooLarge
from gatekeeper.promotion.commands import Decisions
from gatekeeper.read_models import View
from gatekeeper.refusals import CommandRefused
from gatekeeper.replay import Difference, NoEvidence, Replayer, TournamentReplay, VerdictReplay
from gatekeeper.rollout.replay import RolloutReplay, replay_rollout

LARGEST_UPLOAD = 1024 * 1024 * 1024


class StepReplayView(View):
    """One decision on a rollout, and the same reached again from its sums."""

    step: int
    stage: str
    then: str
    now: str | None = Field(description="null where nothing was computed: people, staging or another champion decided")
    differences: list[DifferenceView]


class RolloutReplayView(View):
    rollout_id: str
    agrees: bool = Field(description="To the last digit of every figure")
    steps: list[StepReplayView]


class ReplayView(View):
    """A verdict reached again from its evidence."""

    model_name: str
    model_version: int
    then: str = Field(description="The recorded outcome")
    now: str
    agrees: bool = Field(description="To the last digit of every gate, of the tournament and of the rollouts")
    differences: list[DifferenceView]
    versions: list[DifferenceView] = Field(description="Libraries that have changed since")
    verdicts: list[GateVerdict]
    tournament: TournamentReplayView | None = Field(description="The one on its golden rows; None: none was played")
    rollouts: list[RolloutReplayView] = Field(description="Its rollouts, the newest first, each step decided again")


class WhatIfRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")

    policy: ModelPolicy
    since: datetime | None = Field(default=None, description="Only candidates judged since then")
    limit: int = Field(default=100, ge=1, le=1000)


class Rejudged(View):
    """One candidate of the past under another policy. `problem` says why it could not be judged again."""

    model_version: int
    judged_at: datetime
    then: str
    now: str | None = None
    changed: list[str] = Field(default_factory=list, description="Gates that answer otherwise")
    reasons: dict[str, str] = Field(default_factory=dict)
    problem: str | None = None
    tournament: TournamentReplayView | None = Field(
        default=None, description="On its golden rows; None: with neither policy"
    )


class GoldenView(View):
    """A golden dataset that people made; `challengers` have been compared on it and have spent of its α."""

    model_name: str
    number: int
    digest: str
    uri: str
    rows: int
    created_at: datetime
    created_by: str
    note: str
    label: str | None = Field(description="Column that holds the truth, if whoever made it named one")
    entity: str | None = Field(description="Column of which equal values are not independent rows")
    event_time: str | None = Field(description="Column of the time of each row")
    challengers: int
    tournament: str | None = Field(description="Id of the one that a drift gave rise to")
    columns: dict[str, str] = Field(default_factory=dict)


def evidence_router(
    database: Database, decisions: Decisions, replayer: Replayer, kept: EvidenceStore, exporter: EvidenceExport
) -> APIRouter:
    router = guarded_router(tags=["evidence"])

    @router.post(
        "/models/{model_name}/candidates/{model_version}/replay",
        openapi_extra=allowed(Action.OPERATE),
        responses=problems(404, 409, 503),
    )
    def replay(model_name: str, model_version: Version) -> ReplayView:
        """Re-evaluate the stored evidence of a verdict, and report what differs."""
        decisions.known(model_name)
        with database.reading() as session:
            row = _judged(session, model_name, model_version)
            then, evidence = queries.verdicts(session, row), dict(row.evidence)
            rolled = [replay_rollout(each) for each in rollouts.of_candidate(session, row.id)]
        with needed(f"{model_name} v{model_version} cannot be replayed"):
            found = replayer.replay(evidence, then)
        return ReplayView(
            model_name=model_name,
            model_version=model_version,
            then=_outcome(then),
            now=found.outcome.value,
            agrees=found.agrees and all(each.agrees for each in rolled),
            differences=_views(found.differences),
            rollouts=[_rollout_view(each) for each in rolled],
            versions=_views(found.versions),
            verdicts=list(found.verdicts),
            tournament=_again_view(found.tournament),
        )

    @router.get(
        "/models/{model_name}/candidates/{model_version}/evidence.zip",
        openapi_extra=allowed(Action.READ),
        response_class=FileResponse,
        responses=problems(404, 409, 413, 503),
    )
    def export_evidence(
        model_name: str,
        model_version: Version,
        caller: CallerOf,
        rows: Annotated[bool, Query(description="With the golden rows, which the replay of the verdict needs")] = True,
    ) -> FileResponse:
        """What a verdict rests on and what was decided, as signed files that verify without Gauntlet."""
        if rows:  # data, not only what was decided
            caller.require(Action.OPERATE, model_name)
        decisions.known(model_name)
        folder = tempfile.mkdtemp(prefix="evidence-")
        path = Path(folder) / f"{model_name}-v{model_version}.zip"
        try:
            exporter.write(model_name, model_version, path, rows=rows)
        except BaseException as error:
            shutil.rmtree(folder)
            if isinstance(error, CommandRefused):
                raise Problem(409, "no evidence", str(error)) from error
            if isinstance(error, TooLarge):
                raise Problem(413, "too large", str(error)) from error
            raise
        done = BackgroundTask(shutil.rmtree, folder)
        return FileResponse(path, media_type="application/zip", filename=path.name, background=done)

    @router.post("/what-if", openapi_extra=allowed(Action.OPERATE, Scope.EACH), responses=problems(404))
    def what_if(request: WhatIfRequest, caller: CallerOf) -> list[Rejudged]:
        """Re-evaluate a model's stored evidence under another policy, newest version first; nothing is changed."""
        name = request.policy.model
        caller.require(Action.OPERATE, name)
        decisions.known(name)
        with database.reading() as session:
            rows = judged_verdicts(session, name, request.limit, request.since)
        return [rejudged(replayer, request.policy, row) for row in rows]

    @router.get("/models/{model_name}/golden", openapi_extra=allowed(Action.READ), responses=problems(404))
    def list_golden(model_name: str) -> list[GoldenView]:
        """The golden datasets of a model, newest first."""
        decisions.known(model_name)
        with database.reading() as session:
            return [_golden_view(session, row) for row in golden_datasets.all_of(session, model_name)]

    @router.post(
        "/models/{model_name}/golden",
        openapi_extra=allowed(Action.OPERATE),
        status_code=201,
        responses=problems(404, 409, 413, 503),
    )
    async def create_golden(
        model_name: str,
        request: Request,
        caller: CallerOf,
        note: Annotated[Text, Query(description="What it is, and why")],
        actor: Annotated[
            Text | None, Query(description="Who makes it: required with AUTH=off; otherwise the token's subject")
        ] = None,
        label: Annotated[str | None, Query(description="Its column that holds the truth")] = None,
        entity: Annotated[str | None, Query(description="Its column that identifies the entity of a row")] = None,
        event_time: Annotated[str | None, Query(description="Its column of the time of each row")] = None,
    ) -> GoldenView:
        """Store a golden dataset: a Parquet file with features and label, optionally entity and event time."""
        creator = caller.actor(actor, "query", "actor")
        named = {"label": label, "entity": entity, "event_time": event_time}
        with tempfile.TemporaryDirectory(prefix="golden-") as folder:
            path = Path(folder) / "upload.parquet"
            await _receive(request, path)
            given = {role: column for role, column in named.items() if column}
            return await run_in_threadpool(_create, model_name, path, creator, note, given)

    def _create(model_name: str, path: Path, actor: str, note: str, named_columns: Mapping[str, str]) -> GoldenView:
        decisions.known(model_name)
        rows, columns = _described(path)
        for role, column in named_columns.items():
            if column not in columns:
                raise Problem(
                    422,
                    "no golden dataset",
                    f"the file has no column {column!r}, which is to be its {role.replace('_', ' ')};"
                    f" it has {', '.join(columns)}",
                )
        digest = digest_file(path)
        named = path.rename(path.with_name(f"{digest.removeprefix('sha256:')}.parquet"))
        try:
            uri = kept.add(model_name, named, "golden")
        except Transient as error:
            raise Problem(503, "golden dataset not kept", str(error)) from error
        with database.transaction() as session:
            dataset = Dataset(uri=uri, digest=digest, rows=rows)
            try:
                row = golden_datasets.add(session, model_name, dataset, actor=actor, note=note, columns=named_columns)
            except Permanent as error:
                raise Problem(409, "another column", str(error)) from error
            session.flush()
            return _golden_view(session, row, columns)

    return router


@dataclass(frozen=True)
class JudgedVerdict:
    """A verdict with its evidence."""

    model_version: int
    judged_at: datetime
    evidence: Mapping[str, Any]
    verdicts: tuple[GateVerdict, ...]


def judged_verdicts(
    session: Session, model_name: str, limit: int, since: datetime | None = None
) -> list[JudgedVerdict]:
    """Return the verdicts on the newest `limit` versions, without those before `since`; newest version first."""
    return [
        JudgedVerdict(row.model_version, row.judged_at, dict(row.evidence), queries.verdicts(session, row))
        for row in queries.candidates(session, model_name, limit)
        if row.judged_at is not None and (since is None or row.judged_at >= since)
    ]


def rejudged(replayer: Replayer, policy: ModelPolicy, row: JudgedVerdict) -> Rejudged:
    """Return what `policy` would have decided, and what it did not."""
    version, at, then = row.model_version, row.judged_at, row.verdicts
    try:
        found = replayer.what_if(row.evidence, then, policy)
    except (NoEvidence, Transient) as error:
        return Rejudged(model_version=version, judged_at=at, then=_outcome(then), problem=str(error))
    changed = _changed(then, found)
    return Rejudged(
        model_version=version,
        judged_at=at,
        then=_outcome(then),
        now=found.outcome.value,
        changed=changed,
        reasons={verdict.gate: verdict.reason for verdict in found.verdicts if verdict.gate in changed},
        tournament=_again_view(found.tournament),
    )


def _changed(then: tuple[GateVerdict, ...], found: VerdictReplay) -> list[str]:
    before = {verdict.gate: verdict.outcome for verdict in then}
    after = {verdict.gate: verdict.outcome for verdict in found.verdicts}
    return [gate for gate in dict.fromkeys([*before, *after]) if before.get(gate) != after.get(gate)]


def _judged(session: Session, model_name: str, model_version: int) -> CandidateRow:
    row = queries.candidate(session, model_name, model_version)
    if row is None:
        raise Problem(404, "no such candidate", f"{model_name} v{model_version} was never registered")
    if row.state in UNJUDGED:
        state = row.reason if row.state == WAITING else "is still being gated"
        raise Problem(409, "not judged yet", f"{model_name} v{model_version} {state}")
    return row


def _outcome(verdicts: tuple[GateVerdict, ...]) -> str:
    return overall(verdicts).value


def _views(differences: tuple[Difference, ...]) -> list[DifferenceView]:
    return [DifferenceView.model_validate(each) for each in differences]


def _again_view(again: TournamentReplay | None) -> TournamentReplayView | None:
    return None if again is None else TournamentReplayView.model_validate(again)


def _golden_view(session: Session, row: GoldenRow, columns: Mapping[str, str] | None = None) -> GoldenView:
    fields = ("model_name", "number", "digest", "uri", "rows", "created_at", "created_by", "note")
    fields += golden_datasets.NAMED
    played = golden_datasets.tournament_on(session, row.model_name, row.digest)
    more = {
        "challengers": golden_datasets.challengers(session, row.model_name, row.digest),
        "tournament": None if played is None else played.id,
        "columns": dict(columns or {}),
    }
    return GoldenView.model_validate({name: getattr(row, name) for name in fields} | more)


async def _receive(request: Request, path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        async for chunk in request.stream():
            size += len(chunk)
            if size > LARGEST_UPLOAD:
                raise Problem(413, "too large", f"a golden dataset has at most {LARGEST_UPLOAD} bytes")
            file.write(chunk)


def _described(path: Path) -> tuple[int, dict[str, str]]:
    try:
        about = pq.read_metadata(path)
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise Problem(422, "no golden dataset", f"the body is no Parquet file: {error}") from error
    if about.num_rows == 0:
        raise Problem(422, "no golden dataset", "the file has no rows")
    return about.num_rows, columns_of(schema)


def _rollout_view(found: RolloutReplay) -> RolloutReplayView:
    steps = [
        StepReplayView(
            step=each.step, stage=each.stage, then=each.then, now=each.now, differences=_views(each.differences)
        )
        for each in found.steps
    ]
    return RolloutReplayView(rollout_id=found.rollout_id, agrees=found.agrees, steps=steps)
