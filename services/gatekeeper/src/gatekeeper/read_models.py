"""Response models of the HTTP API, and how they are read from the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from contracts import Envelope, GateVerdict, Promoted
from contracts.policy import ModelPolicy
from gatekeeper.database import model_rows, queries, registrations
from gatekeeper.database.model_rows import ModelRows
from gatekeeper.database.tables import AuditRow, CandidateRow, PromotionRow, RegistrationRow, ReplicaRow
from gatekeeper.policy.hash_chain import Proof


class View(BaseModel):
    model_config = ConfigDict(protected_namespaces=())


class PromotionView(View):
    """One epoch of a model."""

    model_name: str
    model_version: int
    epoch: int
    previous_version: int | None
    cause: str = Field(description="gate, trial, tournament, approval, rollback or override")
    actor: str
    reason: str
    promoted_at: datetime
    artifact_uri: str
    artifact_digest: str
    evidence_id: str | None = Field(
        description="The candidate whose verdict it rests on, or the tournament on a golden dataset"
    )
    metric: str | None
    baseline: dict[str, float]
    restored: bool = Field(description="Learnt from the topic, not decided with this database")
    event_id: str


class CandidateSummary(View):
    """A version that asked to be champion."""

    id: str
    model_name: str
    model_version: int
    state: str = Field(description="registered, gating, waiting, passed, failed, inconclusive or superseded")
    reason: str | None = Field(description="Of the verdict; while it waits, what it waits for")
    judgement: int = Field(description="Number of its verdict: above 1 for a version that was judged again")
    champion_version: int | None = Field(description="The champion that it was compared with")
    metrics: dict[str, float]
    registered_at: datetime
    gating_at: datetime | None
    judged_at: datetime | None
    epochs: list[int] = Field(description="The promotions of this version")
    quarantine: str | None = Field(
        default=None,
        description="Why only a person can have it promoted: it was rolled back, aborted or refused; null: it was not",
    )


class RegistrationView(View):
    """One ModelRegistered of a version, and what came of it; neither is set until that is decided."""

    event_id: str
    at: datetime
    judgement: int | None = Field(description="Number of the verdict that it led to")
    kept: str | None = Field(description="Why the verdict that there was stands")


class EarlierVerdictView(View):
    """A verdict from before the version was judged again."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    judgement: int
    state: str
    reason: str | None
    champion_version: int | None
    golden_digest: str | None
    policy_digest: str | None
    judged_at: datetime
    verdicts: list[GateVerdict]


class CandidateView(CandidateSummary):
    """One candidate whole: every gate's verdict, and what it rests on."""

    run_id: str | None
    artifact_uri: str | None
    artifact_digest: str | None
    code_version: str | None
    policy_digest: str | None
    trigger: dict[str, Any] | None
    datasets: dict[str, Any] = Field(description="training, evaluation and reference, where known")
    verdicts: list[GateVerdict]
    evidence: dict[str, Any]
    correlation_id: str
    registrations: list[RegistrationView] = Field(description="The newest first")
    earlier: list[EarlierVerdictView] = Field(description="Verdicts before the last, the newest first")


class ReplicaView(View):
    """What a serving replica last said of a model."""

    replica: str
    role: str
    model_version: int | None
    epoch: int | None
    loaded_at: datetime | None
    lagging: bool = Field(description="A production replica that does not answer with the champion's epoch")
    failed_version: int | None
    failure: str | None
    failed_at: datetime | None


class ModelView(View):
    """A model: who answers, who wants to, and whether people have taken over."""

    model_name: str
    champion: PromotionView | None
    challenger: CandidateSummary | None = Field(description="Passed its gates since, and was not promoted")
    frozen: bool
    frozen_by: str | None
    frozen_reason: str | None
    frozen_at: datetime | None
    policy_digest: str | None = Field(description="None: no policy file, so nothing can be promoted by gates")
    metric: str | None
    strategy: str | None
    candidates: dict[str, int] = Field(description="How many, by state")
    replicas: list[ReplicaView]


class AuditView(View):
    """Who did what, to which version, why, when, on what evidence."""

    model_config = ConfigDict(from_attributes=True, protected_namespaces=())

    sequence: int
    at: datetime
    actor: str
    action: str
    model_name: str
    model_version: int | None
    reason: str
    evidence: dict[str, Any]
    correlation_id: str | None
    previous_digest: str
    digest: str


class AuditBreakView(View):
    """The first place at which the trail is not what was written."""

    model_config = ConfigDict(from_attributes=True)

    sequence: int
    kind: str = Field(description="changed, missing, reordered, added or truncated")
    what: str


class AuditProofView(View):
    """The chain, followed from its first row to its end or its first broken place."""

    model_config = ConfigDict(from_attributes=True)

    rows: int = Field(description="Rows verified")
    digest: str | None = Field(
        description="The last row's, of a trail that is whole: note it elsewhere, ask with it later"
    )
    broken: AuditBreakView | None
    noted_at: int | None = Field(description="The verified row whose digest is the one asked for (`head`)")


def promotion_view(row: PromotionRow) -> PromotionView:
    own = {"promoted_at": row.promoted_at, "restored": row.restored, "event_id": row.event_id}
    return PromotionView.model_validate({**row.event, **own})


def promotion_view_of(envelope: Envelope[Promoted]) -> PromotionView:
    """View of a promotion that was decided just now."""
    own = {"promoted_at": envelope.time, "restored": False, "event_id": envelope.id}
    return PromotionView.model_validate({**envelope.data.model_dump(mode="json"), **own})


def summary_views(session: Session, rows: Sequence[CandidateRow]) -> list[CandidateSummary]:
    """Return the views of several versions, with their promotions in one query."""
    epochs = model_rows.epochs_of(session, ((row.model_name, row.model_version) for row in rows))
    return [_summary_view(row, epochs.get((row.model_name, row.model_version), ())) for row in rows]


def candidate_view(session: Session, row: CandidateRow) -> CandidateView:
    envelope = queries.envelope_of(row)
    event = envelope.data
    datasets = {"training": event.training, "evaluation": event.evaluation, "reference": event.reference}
    return CandidateView.model_validate(
        {
            **_summary(row, queries.epochs_of(session, row.model_name, row.model_version)),
            "run_id": event.run_id,
            "artifact_uri": row.artifact_uri,
            "artifact_digest": row.artifact_digest,
            "code_version": event.code_version,
            "policy_digest": row.policy_digest,
            "trigger": event.trigger.model_dump() if event.trigger else None,
            "datasets": {name: dataset.model_dump() for name, dataset in datasets.items() if dataset},
            "verdicts": queries.verdicts(session, row),
            "evidence": row.evidence,
            "correlation_id": envelope.correlation_id,
            "registrations": [_registration(each) for each in registrations.newest(session, row.id)],
            "earlier": [
                EarlierVerdictView.model_validate(each) for each in registrations.earlier_verdicts(session, row.id)
            ],
        }
    )


def model_view(session: Session, model_name: str, policy: ModelPolicy | None) -> ModelView:
    policies = {} if policy is None else {model_name: policy}
    return model_views(session, [model_name], policies)[0]


def model_views(session: Session, names: Sequence[str], policies: Mapping[str, ModelPolicy]) -> list[ModelView]:
    """Return the views of these models, in this order, in a constant number of queries."""
    found = model_rows.rows_of(session, names)
    return [_model_view(found[name], policies.get(name)) for name in names]


def _model_view(rows: ModelRows, policy: ModelPolicy | None) -> ModelView:
    champion, challenger, row = rows.champion, rows.challenger, rows.model
    epoch = champion.epoch if champion else 0
    return ModelView(
        model_name=rows.name,
        champion=promotion_view(champion) if champion else None,
        challenger=_summary_view(challenger, rows.challenger_epochs) if challenger else None,
        frozen=row is not None and row.frozen_at is not None,
        frozen_by=row.frozen_by if row else None,
        frozen_reason=row.frozen_reason if row else None,
        frozen_at=row.frozen_at if row else None,
        policy_digest=policy.digest if policy else None,
        metric=policy.metric if policy else None,
        strategy=policy.strategy_in_words if policy else None,
        candidates=dict(rows.counts),
        replicas=[_replica_view(item, epoch) for item in rows.replicas],
    )


def audit_proof_view(proof: Proof) -> AuditProofView:
    return AuditProofView.model_validate(proof)


def audit_view(row: AuditRow) -> AuditView:
    return AuditView.model_validate(row)


def _summary_view(row: CandidateRow, epochs: Sequence[int]) -> CandidateSummary:
    return CandidateSummary.model_validate(_summary(row, epochs))


def _summary(row: CandidateRow, epochs: Sequence[int]) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in model_rows.SUMMARY} | {"epochs": epochs}


def _registration(row: RegistrationRow) -> RegistrationView:
    return RegistrationView(event_id=row.event_id, at=row.at, judgement=row.judgement, kept=row.kept)


def _replica_view(row: ReplicaRow, epoch: int) -> ReplicaView:
    columns = ("replica", "role", "model_version", "epoch", "loaded_at", "failed_version", "failure", "failed_at")
    lagging = row.role == "production" and (row.epoch or 0) < epoch
    return ReplicaView.model_validate({name: getattr(row, name) for name in columns} | {"lagging": lagging})
