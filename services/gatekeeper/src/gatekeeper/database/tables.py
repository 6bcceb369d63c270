"""The gatekeeper's tables."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from chassis.columns import BigId, Json, UtcDateTime
from chassis.database import Base

REGISTERED, GATING, WAITING, SUPERSEDED = "registered", "gating", "waiting", "superseded"
BEING_JUDGED = (REGISTERED, GATING)
UNJUDGED = (*BEING_JUDGED, WAITING)
QUARANTINED = text("quarantine IS NOT NULL")


class ModelRow(Base):
    """A model that was frozen, or whose champion changed: this row is locked while its champion is decided."""

    __tablename__ = "models"

    name: Mapped[str] = mapped_column(String(200), primary_key=True)
    frozen_by: Mapped[str | None] = mapped_column(Text)
    frozen_reason: Mapped[str | None] = mapped_column(Text)
    frozen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    mirrored: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The aliases last written to MLflow; None while unknown."""
    rollout_revision: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Number of changes of the model's rollouts; of a restored database, at least that of the topic."""


class CandidateRow(Base):
    """A version to be gated. `state`: registered, gating, waiting, passed, failed, inconclusive, superseded.

    `reason`: of the verdict; of a waiting version, what it waits for.
    """

    __tablename__ = "candidates"
    __table_args__ = (
        UniqueConstraint("model_name", "model_version"),
        Index("ix_candidates_timeline", "model_name", "registered_at", "model_version"),
        Index("ix_candidates_judged", "model_name", "state", "judged_at", "model_version"),
        Index(
            "ix_candidates_quarantined",
            "model_name",
            "model_version",
            sqlite_where=QUARANTINED,
            postgresql_where=QUARANTINED,
        ),
    )

    id: Mapped[str] = mapped_column(String(220), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(20), index=True)
    reason: Mapped[str | None] = mapped_column(Text)
    event: Mapped[dict[str, Any]] = mapped_column(Json)
    """The envelope of its ModelRegistered, and the event completed from MLflow."""
    registered_at: Mapped[datetime] = mapped_column(UtcDateTime)
    judgement: Mapped[int] = mapped_column(Integer, default=1, server_default="1")
    """Number of its verdict, or of the one that is being reached: above 1 for a version that is judged again."""
    artifact_uri: Mapped[str | None] = mapped_column(Text)
    artifact_digest: Mapped[str | None] = mapped_column(String(80))
    serving_artifact: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Its location and digest: contracts.ServingArtifact."""
    output: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """How its gates read its predictions: contracts.OutputFormat."""
    golden_predictions: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Of a version that passed, golden rows with its predictions: contracts.Dataset."""
    importance: Mapped[dict[str, float] | None] = mapped_column(Json)
    """Of a version that passed, by how much the policy's metric is worse when a column is permuted."""
    champion_version: Mapped[int | None] = mapped_column(Integer)
    """The champion it was compared with."""
    golden_digest: Mapped[str | None] = mapped_column(String(80), index=True)
    """The dataset it was judged on."""
    policy_digest: Mapped[str | None] = mapped_column(String(80))
    metrics: Mapped[dict[str, float]] = mapped_column(Json)
    """Its own metrics on the golden rows."""
    evidence: Mapped[dict[str, Any]] = mapped_column(Json)
    gating_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    judged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    quarantine: Mapped[str | None] = mapped_column(Text)
    """Why only a person can have it promoted: it was rolled back, aborted or refused. None: it is not quarantined."""
    registered_by: Mapped[list[str] | None] = mapped_column(Json)
    """The people who are known to have registered or logged it; they cannot approve it."""


class CandidateCountRow(Base):
    """How many versions of a model are in a state. The database keeps it, by triggers on `candidates`."""

    __tablename__ = "candidate_counts"

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    state: Mapped[str] = mapped_column(String(20), primary_key=True)
    versions: Mapped[int] = mapped_column(Integer)


class VerdictRow(Base):
    """One gate's verdict on a candidate; `position` is the order of the gates."""

    __tablename__ = "verdicts"

    candidate_id: Mapped[str] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    gate: Mapped[str] = mapped_column(String(50), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)
    outcome: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(Text)
    metric: Mapped[str | None] = mapped_column(String(50))
    observed: Mapped[float | None] = mapped_column(Float)
    bound: Mapped[float | None] = mapped_column(Float)
    margin: Mapped[float | None] = mapped_column(Float)
    n: Mapped[int | None] = mapped_column(Integer)
    details: Mapped[dict[str, Any]] = mapped_column(Json)


class EarlierVerdictRow(Base):
    """A verdict that a version had before it was judged again; `verdicts`: of its gates, as in GateFailed."""

    __tablename__ = "earlier_verdicts"

    candidate_id: Mapped[str] = mapped_column(ForeignKey("candidates.id"), primary_key=True)
    judgement: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    model_name: Mapped[str] = mapped_column(String(200))
    state: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str | None] = mapped_column(Text)
    event: Mapped[dict[str, Any]] = mapped_column(Json)
    artifact_digest: Mapped[str | None] = mapped_column(String(80))
    champion_version: Mapped[int | None] = mapped_column(Integer)
    golden_digest: Mapped[str | None] = mapped_column(String(80), index=True)
    policy_digest: Mapped[str | None] = mapped_column(String(80))
    metrics: Mapped[dict[str, float]] = mapped_column(Json)
    evidence: Mapped[dict[str, Any]] = mapped_column(Json)
    verdicts: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    judged_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RegistrationRow(Base):
    """One ModelRegistered of a version, and what came of it: the number of its verdict, or why the last one stands.

    Neither is set until that is decided.
    """

    __tablename__ = "registrations"

    source: Mapped[str] = mapped_column(String(500), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    candidate_id: Mapped[str] = mapped_column(ForeignKey("candidates.id"), index=True)
    event: Mapped[dict[str, Any]] = mapped_column(Json)
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    judgement: Mapped[int | None] = mapped_column(Integer)
    kept: Mapped[str | None] = mapped_column(Text)


class PromotionRow(Base):
    """One epoch of one model. `gated_candidate` is set when the gates promoted it: at most once per verdict."""

    __tablename__ = "promotions"
    __table_args__ = (
        Index("ix_promotions_timeline", "model_name", "promoted_at", "epoch"),
        Index("ix_promotions_version", "model_name", "model_version", "epoch"),
        Index(
            "ix_promotions_restored",
            "model_name",
            "promoted_at",
            sqlite_where=text("restored IS 1"),
            postgresql_where=text("restored IS true"),
        ),
    )

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    model_version: Mapped[int] = mapped_column(Integer)
    cause: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(Text)
    promoted_at: Mapped[datetime] = mapped_column(UtcDateTime)
    restored: Mapped[bool] = mapped_column(Boolean)
    """Restored from the topic, not decided with this database."""
    gated_candidate: Mapped[str | None] = mapped_column(String(220), unique=True)
    event_id: Mapped[str] = mapped_column(Text)
    event: Mapped[dict[str, Any]] = mapped_column(Json)


class AuditRow(Base):
    """Actor, action, version, reason, time and evidence of a decision. Append-only; each row links to the last."""

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_model_name_sequence", "model_name", "sequence"),
        Index("ix_audit_actor_sequence", "actor", "sequence"),
        Index("ix_audit_action_sequence", "action", "sequence"),
        Index("ix_audit_correlation_id", "correlation_id", postgresql_using="hash"),
    )

    sequence: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    """From 1, without gaps."""
    at: Mapped[datetime] = mapped_column(UtcDateTime)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(50))
    model_name: Mapped[str] = mapped_column(String(200))
    model_version: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    evidence: Mapped[dict[str, Any]] = mapped_column(Json)
    correlation_id: Mapped[str | None] = mapped_column(Text)
    previous_digest: Mapped[str] = mapped_column(String(80))
    digest: Mapped[str] = mapped_column(String(80))


class AuditHeadRow(Base):
    """One row: the end of the trail. It is locked during an append, and reveals whether last rows were removed."""

    __tablename__ = "audit_head"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    count: Mapped[int] = mapped_column(BigId)
    digest: Mapped[str] = mapped_column(String(80))


class GoldenRow(Base):
    """A golden dataset created by a person; `number` counts per model, from 1 on.

    `label`, `entity`, `event_time`: names of its columns, None where the person named none.
    """

    __tablename__ = "golden"
    __table_args__ = (UniqueConstraint("model_name", "number"),)

    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    digest: Mapped[str] = mapped_column(String(80), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    uri: Mapped[str] = mapped_column(Text)
    rows: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_by: Mapped[str] = mapped_column(Text)
    note: Mapped[str] = mapped_column(Text)
    label: Mapped[str | None] = mapped_column(Text)
    entity: Mapped[str | None] = mapped_column(Text)
    event_time: Mapped[str | None] = mapped_column(Text)


class TournamentRow(Base):
    """A tournament caused by a drift: retained versions against the champion, once per golden dataset."""

    __tablename__ = "tournaments"
    __table_args__ = (UniqueConstraint("model_name", "golden_digest"),)

    id: Mapped[str] = mapped_column(String(240), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200))
    golden_digest: Mapped[str] = mapped_column(String(80))
    champion_version: Mapped[int] = mapped_column(Integer)
    """The champion that was challenged."""
    winner: Mapped[int | None] = mapped_column(Integer)
    reason: Mapped[str] = mapped_column(Text)
    policy_digest: Mapped[str] = mapped_column(String(80))
    drift_event_id: Mapped[str | None] = mapped_column(Text)
    played_at: Mapped[datetime] = mapped_column(UtcDateTime)
    evidence: Mapped[dict[str, Any]] = mapped_column(Json)
    """Evidence as of a candidate, with the champion in its place."""


class ReplicaRow(Base):
    """The last report of a serving replica on a model: the loaded version, and the last failure to load one."""

    __tablename__ = "replicas"

    replica: Mapped[str] = mapped_column(Text, primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(Text)
    model_version: Mapped[int | None] = mapped_column(Integer)
    epoch: Mapped[int | None] = mapped_column(Integer)
    loaded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_version: Mapped[int | None] = mapped_column(Integer)
    failure: Mapped[str | None] = mapped_column(Text)
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    tried_version: Mapped[int | None] = mapped_column(Integer)
    """The version that was last loaded beside the champion, for the rollout `tried_rollout`."""
    tried_rollout: Mapped[str | None] = mapped_column(String(250))
    tried_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
